"""Messages of the library."""
import logging
import sys


def log(message: str, level: int = logging.INFO) -> None:
    """Log to mmengine's current logger, or where it is not loaded to ours."""
    if 'mmengine' in sys.modules:
        from mmengine.logging import print_log
        print_log(message, 'current', level)
    else:
        logging.getLogger('yolo_world_rep').log(level, message)
