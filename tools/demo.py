#!/usr/bin/env python
"""Train, fold, verify, fine-tune and compare on images made on the fly."""
from yolo_world_rep_cli.main import run_tool

if __name__ == '__main__':
    run_tool('demo')
