"""Registration in mmyolo's registries, when one of them is first asked.

Everything of ours goes into mmyolo's own registries and not into a child
of them: a config that inherits ``mmyolo::…`` is stamped with
``_scope_='mmyolo'``, and a child registry would not be searched.

``import yolo_world_rep``, all that ``custom_imports`` does, loads nothing
heavy. A registry of mmengine has a list of locations, modules that it
imports at its first lookup; :func:`offer_to_mmyolo` adds our rooms to those
of mmyolo's. If mmyolo's registries do not exist yet, a finder adds them as
soon as the module that makes them has run, so that the order of imports
does not matter.
"""
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import TYPE_CHECKING, Any, Callable, Optional, TypeVar

from .compat import check_versions

if TYPE_CHECKING:
    from mmengine.registry import Registry

T = TypeVar('T')
MMYOLO = 'mmyolo.registry'
#: The rooms that register something.
ROOMS = tuple(f'{__package__}.{room}'
              for room in ('datasets', 'engine', 'models', 'report'))


def register(registry: 'Registry') -> Callable[[T], T]:
    """Decorator: register a class or function under its own name.

    A name that another package has registered is an ImportError.
    """

    def add(obj: T) -> T:
        name = obj.__name__
        present = registry.module_dict.get(name)
        if present is not None and present.__module__ != obj.__module__:
            raise ImportError(
                f'yolo_world_rep cannot register {name!r} in mmyolo\'s '
                f'{registry.name!r} registry: {present.__module__} has '
                f'registered that name already. Name only one of the two '
                f'packages in custom_imports (docs/migration.md says which '
                f'classes of the original yolo_world_rep has).')
        # The same module comes twice only when it is reloaded.
        registry.register_module(module=obj, force=present is not None)
        return obj

    return add


def _add_locations(module: ModuleType) -> None:
    """Have each registry of a module look into our rooms as well."""
    from mmengine.registry import Registry
    for registry in vars(module).values():
        # Its imports of mmengine's own are of another scope.
        if isinstance(registry, Registry) and registry.scope == 'mmyolo':
            ours = [room for room in ROOMS if room not in registry._locations]
            registry._locations = [*registry._locations, *ours]
            registry._imported = False


class _MmyoloFinder(MetaPathFinder):
    """Checks versions before mmyolo runs, adds our rooms to its registries.
    """

    def find_spec(self, fullname: str, path: Any = None,
                  target: Optional[ModuleType] = None
                  ) -> Optional[ModuleSpec]:
        if fullname == 'mmyolo':
            check_versions()
        spec = PathFinder.find_spec(
            fullname, path) if fullname == MMYOLO else None
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            _add_locations(module)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def offer_to_mmyolo() -> None:
    """Let mmyolo's registries find what this package registers."""
    if MMYOLO in sys.modules:
        check_versions()
        _add_locations(sys.modules[MMYOLO])
    elif not any(isinstance(each, _MmyoloFinder) for each in sys.meta_path):
        sys.meta_path.insert(0, _MmyoloFinder())
