"""Files of Ultralytics: whole pickled modules, which nobody runs."""
import io

import pytest
import torch
from hostile import Marker, attempt, damages, inputs, scratch
from hostile_checkpoints import repacked, spoils
from hypothesis import given
from hypothesis import strategies as st
from ultralytics_files import rename, save_pickled, tiny_state_dict

from yolo_world_rep.reparam.ultralytics_file import convert_ultralytics


@pytest.fixture(scope='module')
def ours():
    """A detector of ours with narrow layers."""
    return tiny_state_dict()


@pytest.fixture(scope='module')
def pickled(ours):
    buffer = io.BytesIO()
    save_pickled(buffer, rename(ours))
    return buffer.getvalue()


def convert(surface, folder, check=lambda result: None):
    return attempt(
        surface,
        lambda: convert_ultralytics(folder / 'u.pt',
                                    folder / 'out' / 'x.pth'),
        folder, folder / 'out', names=['u.pt'], check=check)


def require_same(path, expected):
    found = torch.load(path, weights_only=True)['state_dict']
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, rtol=0, atol=0)


@inputs(0.4)
@given(damage=damages(), inside=st.booleans())
def test_bytes(ours, pickled, damage, inside):
    """Of the file, and of the pickle in it with the checksum right."""
    with scratch() as folder:
        data = repacked(pickled, damage) if inside else damage(pickled)
        (folder / 'u.pt').write_bytes(data)

        def check(result):
            if not inside:
                require_same(result.path, ours)

        convert('Ultralytics: pickled' if inside else 'Ultralytics: bytes',
                folder, check)


@inputs(0.4)
@given(spoil=spoils())
def test_state_dicts(ours, spoil):
    theirs = spoil(rename(ours))
    with scratch() as folder:
        torch.save(theirs, folder / 'u.pt')
        convert('Ultralytics: tensors', folder)


@pytest.mark.parametrize('how', range(5))
def test_code(ours, how, tmp_path):
    with scratch() as folder:
        save_pickled(folder / 'u.pt', rename(ours),
                     optimizer=Marker(folder / 'marker', how))
        convert('Ultralytics: runs code', folder,
                lambda result: require_same(result.path, ours))
