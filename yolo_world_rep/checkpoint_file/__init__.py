"""Checkpoint files, read as data: nothing that a file names is called."""
from .pickle_values import Name, Ordered, Record
from .reading import budget_of, check_torchscript, read

__all__ = ['Name', 'Ordered', 'Record', 'budget_of', 'check_torchscript',
           'read']
