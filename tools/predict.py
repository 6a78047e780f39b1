#!/usr/bin/env python
"""Detect in images, folders and videos, with any form of a model."""
from yolo_world_rep_cli.main import run_tool

if __name__ == '__main__':
    run_tool('predict')
