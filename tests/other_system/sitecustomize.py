"""Takes away from each Python below what is not there on other systems.

With this folder in PYTHONPATH Python imports it when it starts. It is a
simulation of Windows and of poor file systems: paths keep their slashes, and
what the packages below us do on Windows stays unknown.
"""
import builtins
import errno
import multiprocessing
import os

# NumPy and torch ask for more where sys.platform is linux.
FUNCTIONS = ('fork', 'forkpty', 'getpgid', 'killpg', 'link', 'mkfifo',
             'setsid', 'wait4')
MODULES = ('fcntl', 'resource', 'termios')

# It asks the platform before it imports such a one.
ALLOWED = 'mmengine'

_os_open, _open, _import = os.open, builtins.open, builtins.__import__


def _check(path: object) -> str:
    text = os.fsdecode(path) if isinstance(
        path, (str, bytes, os.PathLike)) else ''
    if text.startswith('/proc/self/'):
        raise FileNotFoundError(errno.ENOENT, 'no /proc here', text)
    return text


def _os_open_no_folder(path, *args, **kwargs):
    text = _check(path)
    if text and os.path.isdir(text):
        raise PermissionError(errno.EACCES, 'no folder is opened here', text)
    return _os_open(path, *args, **kwargs)


def _open_no_proc(path, *args, **kwargs):
    _check(path)
    return _open(path, *args, **kwargs)


def _import_no_posix(name, namespace=None, *args, **kwargs):
    importer = (namespace or {}).get('__name__') or ''
    if name in MODULES and importer.partition('.')[0] != ALLOWED:
        raise ImportError(f'no {name} here')
    return _import(name, namespace, *args, **kwargs)


for _name in FUNCTIONS:
    delattr(os, _name)
os.open = _os_open_no_folder
builtins.open = _open_no_proc
builtins.__import__ = _import_no_posix
multiprocessing.set_start_method('spawn')
