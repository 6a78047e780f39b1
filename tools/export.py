"""Export a folded detector to a file for a runtime, and check the file."""
from yolo_world_rep_cli.main import run_tool

if __name__ == '__main__':
    run_tool('export')
