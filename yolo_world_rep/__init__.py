"""Reparameterized YOLO-World for mmyolo.

``custom_imports = dict(imports=['yolo_world_rep'],
allow_failed_imports=False)`` is all that a config needs: mmyolo's registries
then find everything that it can name (see :mod:`.registry`). The import
itself loads nothing heavy, not even torch.
"""
from importlib import import_module
from typing import TYPE_CHECKING, Any

from .compat import install_mmcv_ops
from .moved import keep_old_paths
from .registry import ROOMS, offer_to_mmyolo
from .version import __version__

if TYPE_CHECKING:
    from .api import YOLOWorld

keep_old_paths()
install_mmcv_ops()
offer_to_mmyolo()

__all__ = ['YOLOWorld', '__version__']


def __getattr__(name: str) -> Any:
    """``YOLOWorld``, and the rooms that came with the package in 0.1."""
    if name == 'YOLOWorld':
        from .api import YOLOWorld
        return YOLOWorld
    if f'{__name__}.{name}' in ROOMS:
        return import_module(f'.{name}', __name__)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
