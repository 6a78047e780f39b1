"""The gate for versions of the packages below us.

It can go when the installed metadata is enough, that is when nobody
installs this package with ``--no-deps`` any more.
"""
from importlib import metadata, util
from typing import Mapping, Optional, Tuple

from packaging.version import Version

# name: (first version that works, first one that does not, distributions)
SUPPORTED: Mapping[str, Tuple[str, Optional[str], Tuple[str, ...]]] = {
    'torch': ('2.1', None, ('torch', )),
    'mmengine': ('0.10.0', '1.0.0', ('mmengine', 'mmengine-lite')),
    'mmcv': ('2.0.0rc4', '2.1.0', ('mmcv', 'mmcv-lite')),
    'mmdet': ('3.0.0', '4.0.0', ('mmdet', )),
    'mmyolo': ('0.6.0', '0.7.0', ('mmyolo', )),
}


def installed_version(distributions: Tuple[str, ...]) -> Optional[str]:
    """Version of the first of ``distributions`` that is installed."""
    for name in distributions:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return None


def has_pkg_resources() -> bool:
    """Whether setuptools is there and still has its ``pkg_resources``."""
    return util.find_spec('pkg_resources') is not None


def check_versions() -> None:
    """Compare what is installed with what this package works on.

    Raises:
        ImportError: With the name, the version found, the range expected
            and the command that installs it.
    """
    for name, (first, end, distributions) in SUPPORTED.items():
        wanted = f'>={first}' + (f',<{end}' if end else '')
        found = installed_version(distributions)
        if found is None:
            raise ImportError(f'yolo_world_rep needs {name}{wanted}, and it '
                              f'is not installed. Install it: pip install '
                              f'"{distributions[-1]}{wanted}"')
        version = Version(found)
        if version < Version(first) or (end and version >= Version(end)):
            raise ImportError(f'yolo_world_rep needs {name}{wanted}, and '
                              f'{found} is installed. Install one that fits: '
                              f'pip install "{distributions[-1]}{wanted}"')
        if (name == 'mmengine' and version < Version('0.11.0rc0')
                and not has_pkg_resources()):
            # It would fail later, when a config with a base is read. An
            # installer that takes no pre-releases of itself, as uv, ends
            # here.
            raise ImportError(
                f'mmengine {found} reads configs through pkg_resources, which '
                f'setuptools has no longer from version 82 on. Install an '
                f'mmengine that does without: '
                f'pip install "{distributions[0]}>=0.11.0rc3"')
