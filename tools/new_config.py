#!/usr/bin/env python
"""Check your own data and write the config that fine-tunes on them."""
from yolo_world_rep_cli.main import run_tool

if __name__ == '__main__':
    run_tool('new-config')
