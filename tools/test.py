#!/usr/bin/env python
"""Test a checkpoint with a config file."""
from yolo_world_rep_cli.main import run_tool

if __name__ == '__main__':
    run_tool('test')
