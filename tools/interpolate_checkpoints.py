"""Write the weights between a folded checkpoint and its fine-tuning."""
from yolo_world_rep_cli.main import run_tool

if __name__ == '__main__':
    run_tool('interpolate')
