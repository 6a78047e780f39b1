"""Modules that were somewhere else in version 0.1: old paths still import.

The old path gives the very module of the new one, with a warning that names
it. Remove an entry no earlier than the version after the next.
"""
import sys
import warnings
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Callable, Mapping, Optional

PACKAGE = __name__.rpartition('.')[0]
MOVED = {
    'deploy.forms': 'models.fused_layers',
    'deploy.fusion': 'detector.fusion',
    'deploy.layout': 'models.fused_layers',
    'deploy.loading': 'detector.loading',
    'engine.bindings': 'config.bindings',
    'engine.classes': 'text.names',
    'engine.fit': 'reparam.fit',
    'engine.hooks.training_report_hook': 'report.training_report_hook',
    'engine.migration': 'config.migration',
    'engine.new_config': 'config.new_config',
    'engine.own_data': 'config.own_data',
    'engine.recipes': 'config.recipes',
    'engine.remedies': 'detector.remedies',
    'engine.report': 'report',
    'engine.report.evaluation': 'report.mistakes',
    'engine.report.figures': 'report.figures',
    'engine.report.history': 'report.history',
    'engine.report.page': 'report.page',
    'engine.retention': 'report.retention',
    'engine.schedule': 'config.schedule',
    'engine.source': 'config.source',
    'engine.variables': 'config.variables',
    'inference.backends.pytorch': 'detector.pytorch_backend',
    'inference.evaluation': 'detector.evaluation',
    'inference.from_config': 'detector.spec_of_config',
    'reparam.folded': 'reparam.folded_model',
    'reparam.original': 'reparam.original_checkpoints',
    'reparam.requirements': 'reparam.tensor_checks',
    'reparam.verification': 'reparam.conversion_check',
    'reparam.weights': 'reparam.tensor_checks',
}
# What became of those that are not in the package any more.
BENCHMARKS = 'it is in benchmarks/ of the repository now, not in the package'
GONE = {'demo.evaluation': 'see yolo_world_rep.detector.detections',
        'demo.processes': BENCHMARKS, 'demo.small_coco': BENCHMARKS,
        'demo.summary': BENCHMARKS, 'demo.timing': BENCHMARKS,
        'demo.tuning': BENCHMARKS}


class _MovedModules(MetaPathFinder, Loader):
    """Finds the modules of :data:`MOVED`, refuses those of :data:`GONE`."""

    def find_spec(self, fullname: str, *_: Any) -> Optional[ModuleSpec]:
        package, _, name = fullname.partition('.')
        if package != PACKAGE or name not in (*MOVED, *GONE):
            return None
        if name in GONE:
            raise ImportError(f'{fullname} is gone: {GONE[name]}.')
        return ModuleSpec(fullname, self, origin=f'{PACKAGE}.{MOVED[name]}')

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        new = str(spec.origin)
        warnings.warn(f'{spec.name} is {new} now; the old name will go.',
                      FutureWarning, stacklevel=2)
        module = import_module(new)
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        # It has run under its own name; importlib has just given it another.
        assert module.__spec__ is not None
        module.__spec__ = module.__spec__.loader_state


def keep_old_paths() -> None:
    """Let the modules of :data:`MOVED` be imported by their old names."""
    if not any(isinstance(each, _MovedModules) for each in sys.meta_path):
        # First, or what looks into folders would load a module twice.
        sys.meta_path.insert(0, _MovedModules())


def moved_names(module: str, names: Mapping[str, str]) -> Callable[[str], Any]:
    """The ``__getattr__`` of a module for names that it no longer has.

    ``names`` maps them to new ones, with their module in this package.
    """

    def getattr_of_module(name: str) -> Any:
        if name not in names:
            raise AttributeError(
                f'module {module!r} has no attribute {name!r}')
        new = f'{PACKAGE}.{names[name]}'
        warnings.warn(f'{module}.{name} is {new} now; the old name will go.',
                      FutureWarning, stacklevel=2)
        where, _, attribute = new.rpartition('.')
        return getattr(import_module(where), attribute)

    return getattr_of_module
