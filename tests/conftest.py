"""Where the tests find data, and the tiny models they are about."""
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

import yolo_world_rep  # noqa: F401  registers the models

REPOSITORY = Path(__file__).resolve().parents[1]
GOLDEN = ('v2_bn', 'v2_bn_unnormalized', 'v1_l2norm', 'v1_dual_l2norm')


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


class Golden:
    """One golden model: how it is built, its weights, text and outputs."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self.config = json.loads((folder / f'{name}.json').read_text())
        self.path = folder / f'{name}.pth'
        self.text_path = folder / f'{name}_text.npy'
        self.state_dict = torch.load(
            self.path, weights_only=True)['state_dict']
        self.text = torch.from_numpy(np.load(self.text_path))
        self.io = {
            key: torch.from_numpy(value)
            for key, value in np.load(folder / f'{name}_io.npz').items()
        }

    @property
    def outputs(self):
        """The expected outputs, by name."""
        return {k: v for k, v in self.io.items() if k != 'image'}


@pytest.fixture(params=GOLDEN)
def golden(request, golden_dir) -> Golden:
    """Each of the golden models."""
    return Golden(golden_dir, request.param)


@pytest.fixture(params=[name for name in GOLDEN if 'dual' not in name])
def golden_pafpn(request, golden_dir) -> Golden:
    """The golden models whose neck folds."""
    return Golden(golden_dir, request.param)
