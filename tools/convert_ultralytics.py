"""Write an Ultralytics YOLO-World-v2 file as a checkpoint of this package."""
from yolo_world_rep_cli.main import run_tool

if __name__ == '__main__':
    run_tool('convert-ultralytics')
