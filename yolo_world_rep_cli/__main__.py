"""``python -m yolo_world_rep_cli`` is ``yolo-world-rep``."""
from .main import main

if __name__ == '__main__':
    main()
