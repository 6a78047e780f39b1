"""AP of held-out classes before and after fine-tuning a folded model."""
from yolo_world_rep_cli.main import run_tool

if __name__ == '__main__':
    run_tool('retention')
