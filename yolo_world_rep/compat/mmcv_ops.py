"""A stand-in for ``mmcv._ext``, the compiled half of mmcv.

``mmdet.models`` and ``mmyolo.models`` import it through ``mmcv.ops``. The
wheel ``mmcv-lite`` has none, and the versions of mmcv that mmyolo 0.6 accepts
are published as sources only. A YOLO needs one operator of it, non-maximum
suppression. It can go when mmyolo accepts an mmcv that is published as wheels.
"""
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Optional

EXTENSION = 'mmcv._ext'


class _MissingExtension(ModuleType):
    """``mmcv._ext`` with ``nms``; other operators raise when called."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith('__'):
            raise AttributeError(name)
        if name == 'nms':
            from .nms import nms
            return nms

        def missing(*args: Any, **kwargs: Any) -> None:
            raise NotImplementedError(
                f'mmcv.ops needs its compiled operator {name!r} for this, and '
                f'the mmcv installed here has none (mmcv-lite, or no build '
                f'for this torch). yolo_world_rep stands in for \'nms\' only. '
                f'Install a compiled mmcv>=2.0.0,<2.1.0 to use {name!r}.')

        return missing


class _Finder(MetaPathFinder, Loader):
    """Finds ``mmcv._ext`` when nothing before it in the path did."""

    def find_spec(self, fullname: str, *_: Any) -> Optional[ModuleSpec]:
        if fullname != EXTENSION:
            return None
        return ModuleSpec(fullname, self, origin=__name__)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _MissingExtension(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing to run: the class is the content."""


def install_mmcv_ops() -> None:
    """Put the stand-in at the end of the import path, once.

    Last, so that a really compiled ``mmcv._ext`` is found before it.
    """
    if not any(type(finder).__name__ == _Finder.__name__
               and type(finder).__module__ == __name__
               for finder in sys.meta_path):
        sys.meta_path.append(_Finder())
