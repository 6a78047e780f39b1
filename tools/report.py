#!/usr/bin/env python
"""Write the report on a training: curves, classes, mistakes, commands."""
from yolo_world_rep_cli.main import run_tool

if __name__ == '__main__':
    run_tool('report')
