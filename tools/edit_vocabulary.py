"""Change the classes of a folded checkpoint, fine-tuned or not."""
from yolo_world_rep_cli.main import run_tool

if __name__ == '__main__':
    run_tool('edit')
