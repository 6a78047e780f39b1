#!/usr/bin/env python
"""Average precision of any form of a model on data in COCO's format."""
from yolo_world_rep_cli.main import run_tool

if __name__ == '__main__':
    run_tool('evaluate')
