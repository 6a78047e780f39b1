"""Takes away from each Python below what is not there on other systems.

With this folder in PYTHONPATH Python imports it when it starts. It is a
simulation of Windows and of poor file systems: paths keep their slashes, and
what the packages below us do on Windows stays unknown.
"""
import builtins
import errno
import multiprocessing
import os
import sys

# NumPy and torch ask for more where sys.platform is linux.
FUNCTIONS = ('fork', 'forkpty', 'getpgid', 'killpg', 'link', 'mkfifo',
             'setsid', 'wait4')
MODULES = ('fcntl', 'grp', 'pwd', 'resource', 'termios')

_os_open, _open = os.open, builtins.open


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


for _name in FUNCTIONS:
    delattr(os, _name)
for _name in MODULES:
    sys.modules[_name] = None  # its import fails
os.open = _os_open_no_folder
builtins.open = _open_no_proc
multiprocessing.set_start_method('spawn')
