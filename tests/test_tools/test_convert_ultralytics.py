"""The converter of Ultralytics' files as a command."""
import runpy
import sys
from pathlib import Path

import pytest
import torch
from ultralytics_files import rename, save_pickled, tiny_state_dict

TOOL = Path(__file__).parents[2] / 'tools' / 'convert_ultralytics.py'


@pytest.fixture(scope='module')
def theirs():
    return rename(tiny_state_dict())


@pytest.fixture
def convert(tmp_path, monkeypatch, capsys):
    """Run the command on a file; status, out and err."""

    def run(model, *args):
        argv = [
            str(TOOL), '--model', str(model),
            '--out', str(tmp_path / 'ours.pth'), *args
        ]
        monkeypatch.setattr(sys, 'argv', argv)
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(TOOL), run_name='__main__')
        return (end.value.code, *capsys.readouterr())

    return run


def test_convert(convert, theirs, tmp_path):
    path = tmp_path / 'yolov8s-worldv2.pt'
    save_pickled(path, theirs)
    status, out, err = convert(path)
    assert status == 0
    assert err == ''
    assert f'wrote {tmp_path / "ours.pth"}' in out
    assert '411 tensors' in out
    meta = torch.load(tmp_path / 'ours.pth', weights_only=True)['meta']
    assert meta['yolo_world_rep']['source']['layout'] == 'ultralytics'
    status, _, err = convert(path)
    assert status == 2
    assert '--overwrite' in err
    assert convert(path, '--overwrite')[0] == 0


def missing(path, theirs):
    pass


def damaged(path, theirs):
    save_pickled(path, theirs)
    path.write_bytes(path.read_bytes()[:-1000])


def world_v1(path, theirs):
    torch.save(
        {
            **theirs, 'model.16.projections.0.weight': torch.zeros(1)
        }, path)


def unactivated(path, theirs):

    def change(model):
        model.get_submodule('model.9.cv1').act = torch.nn.Identity()

    save_pickled(path, theirs, change=change)


@pytest.mark.parametrize(('make', 'message'), [
    (missing, 'no such file'),
    (damaged, 'truncated'),
    (world_v1, 'YOLO-World v1'),
    (unactivated, 'model.9.cv1'),
])
def test_refusals_are_one_line(convert, theirs, tmp_path, make, message):
    path = tmp_path / 'file.pt'
    make(path, theirs)
    status, out, err = convert(path)
    assert status == 2
    assert out == ''
    assert err.startswith('error: ')
    assert err.count('\n') == 1
    assert message in err
    assert not (tmp_path / 'ours.pth').exists()
