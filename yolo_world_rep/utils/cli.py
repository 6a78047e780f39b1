"""How a command ends; the command line has it, as it ends there first."""
from yolo_world_rep_cli.ending import one_line, printable, run

__all__ = ['one_line', 'printable', 'run']
