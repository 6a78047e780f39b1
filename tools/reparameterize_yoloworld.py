"""Fold text embeddings into a YOLO-World checkpoint."""
from yolo_world_rep_cli.main import run_tool

if __name__ == '__main__':
    run_tool('reparameterize')
