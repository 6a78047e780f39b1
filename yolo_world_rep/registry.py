"""Registration in mmyolo's registries, with a collision named in full.

Everything of ours goes into mmyolo's own registries and not into a child
of them: a config that inherits ``mmyolo::…`` is stamped with
``_scope_='mmyolo'``, and a child registry would not be searched.
"""
from typing import Callable, TypeVar

from mmengine.registry import Registry

T = TypeVar('T')


def register(registry: Registry) -> Callable[[T], T]:
    """Decorator: register a class or function under its own name.

    Args:
        registry (Registry): One of mmyolo's registries.

    Returns:
        Callable: The decorator; it returns its argument unchanged.

    Raises:
        ImportError: If another package has registered the name already.
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
