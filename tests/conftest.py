"""Where the tests find data."""
import os
from pathlib import Path

import pytest
from builders import GOLDEN, Golden
from tiny_clip import save_tiny_clip

import yolo_world_rep  # noqa: F401  mmyolo finds our models

REPOSITORY = Path(__file__).resolve().parents[1]


def _folder(variable: str, name: str) -> Path:
    """A folder of development data, or a skip that says what is missing."""
    folder = Path(os.environ.get(variable) or
                  REPOSITORY.parent / 'shared' / name)
    if not folder.is_dir():
        pytest.skip(f'no development data at {folder}; set {variable} to '
                    f'the folder that holds it')
    return folder


@pytest.fixture(scope='session')
def shared_data() -> Path:
    """COCO images and CLIP embeddings for development."""
    return _folder('YWR_TEST_DATA', 'data')


@pytest.fixture(scope='session')
def golden_dir() -> Path:
    """Outputs of the original text-conditioned model."""
    return _folder('YWR_TEST_GOLDEN', 'golden')


@pytest.fixture(params=GOLDEN)
def golden(request, golden_dir) -> Golden:
    """Each of the golden models."""
    return Golden(golden_dir, request.param)


@pytest.fixture(scope='session')
def clip_folder(tmp_path_factory) -> Path:
    """A tiny CLIP text model, saved as transformers does."""
    pytest.importorskip(
        'transformers',
        reason='transformers is not installed: pip install '
        '"yolo-world-rep[clip]" to run CLIP here')
    return save_tiny_clip(tmp_path_factory.mktemp('clip'))
