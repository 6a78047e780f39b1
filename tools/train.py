#!/usr/bin/env python
"""Train a detector from a config file."""
from yolo_world_rep_cli.main import run_tool

if __name__ == '__main__':
    run_tool('train')
