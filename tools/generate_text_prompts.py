"""Embed the names of classes: a .npy of unit rows and its sidecar."""
from yolo_world_rep_cli.main import run_tool

if __name__ == '__main__':
    run_tool('embed')
