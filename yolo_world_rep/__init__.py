"""Reparameterized YOLO-World for mmyolo.

Importing the package registers everything a config can name, so
``custom_imports = dict(imports=['yolo_world_rep'],
allow_failed_imports=False)`` is all a config needs.
"""
from .compat import check_versions, install_mmcv_ops
from .moved import keep_old_paths
from .version import __version__

check_versions()
keep_old_paths()
install_mmcv_ops()  # before the first import of mmdet.models below

from . import datasets, engine, models, report  # noqa: E402

__all__ = ['__version__', 'datasets', 'engine', 'models', 'report']
