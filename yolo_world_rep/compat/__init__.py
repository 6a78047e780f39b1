"""Workarounds for third-party versions, and nothing else.

Each file says which version it is for and when to delete it.
"""
from .mmcv_ops import install_mmcv_ops


def check_versions() -> None:
    """As :func:`.versions.check_versions`; it loads what it needs."""
    from . import versions
    versions.check_versions()


__all__ = ['check_versions', 'install_mmcv_ops']
