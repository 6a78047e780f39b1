"""Say what a checkpoint is; nothing in it is executed."""
from yolo_world_rep_cli.main import run_tool

if __name__ == '__main__':
    run_tool('inspect')
