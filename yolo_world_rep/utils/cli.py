"""How a command of this package ends: one line for a user's error.

The command line has it in its own package, since it ends there before this
one is imported.
"""
from yolo_world_rep_cli.ending import one_line, printable, run

__all__ = ['one_line', 'printable', 'run']
