"""Run first by mutations.py, in a copy of the repository."""
import os
from pathlib import Path

import yolo_world_rep


def test_the_copy_is_imported():
    found = Path(yolo_world_rep.__file__).resolve().parent
    assert found == Path(os.environ['YWR_TEST_PACKAGE'])
