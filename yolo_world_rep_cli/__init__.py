"""The command line, ``yolo-world-rep``.

It is a package of its own since importing ``yolo_world_rep`` loads torch
and mmyolo and registers everything a config can name. Nothing here imports
them, or anything else that takes time, before a command runs: help, errors
and completion come at once.
"""
