"""Files that are whole, and what is found when one is not."""
import errno
import os
from pathlib import Path
from unittest.mock import MagicMock

import pytest
import torch
from mmengine.fileio import LocalBackend, get_file_backend
from mmengine.runner import save_checkpoint

from yolo_world_rep.engine import SafeCheckpointHook
from yolo_world_rep.engine.checkpoints import (
    ATOMIC,
    checkpoint_to_resume,
    is_truncated,
    remove_leftovers,
)


def save(path: Path, age: int = 0, bytes_lost: int = 0) -> str:
    torch.save(dict(state_dict=torch.rand(300)), path)
    if bytes_lost:
        os.truncate(path, path.stat().st_size - bytes_lost)
    os.utime(path, (1e9 - age, 1e9 - age))
    return str(path)


def test_truncated_files_are_told_from_whole_and_old_ones(tmp_path):
    whole = save(tmp_path / 'whole.pth')
    assert not is_truncated(whole)
    for lost in (1, 30, 900):
        assert is_truncated(save(tmp_path / 'cut.pth', bytes_lost=lost))
    (tmp_path / 'empty.pth').touch()
    assert is_truncated(str(tmp_path / 'empty.pth'))
    # The form of files before torch 1.6 has no end to look for.
    torch.save({}, tmp_path / 'old.pth', _use_new_zipfile_serialization=False)
    assert not is_truncated(str(tmp_path / 'old.pth'))


def test_last_checkpoint_is_the_noted_one(tmp_path):
    noted = save(tmp_path / 'epoch_3.pth', age=9)
    save(tmp_path / 'epoch_80.pth')  # of another run in the same folder
    note = tmp_path / 'last_checkpoint'
    note.write_text(noted)
    assert checkpoint_to_resume(str(tmp_path)) == noted
    note.write_text('/moved/away/epoch_3.pth')
    assert checkpoint_to_resume(str(tmp_path)) == noted


def test_a_truncated_one_gives_way_to_the_one_before(tmp_path):
    folder = str(tmp_path)
    assert checkpoint_to_resume(folder) is None
    assert checkpoint_to_resume(str(tmp_path / 'none')) is None
    save(tmp_path / 'best_coco_bbox_mAP_epoch_9.pth')  # has no optimizer
    assert checkpoint_to_resume(folder) is None
    save(tmp_path / 'epoch_80.pth', age=99)  # of a run before
    before = save(tmp_path / 'epoch_2.pth', age=9)
    cut = save(tmp_path / 'epoch_3.pth', bytes_lost=100)
    note = tmp_path / 'last_checkpoint'
    for text in (cut, '', '/gone/epoch_7.pth'):
        note.write_text(text)
        assert checkpoint_to_resume(folder) == before
    note.unlink()
    assert checkpoint_to_resume(folder) == before


def test_nothing_but_truncated_ones_is_refused(tmp_path):
    save(tmp_path / 'epoch_1.pth', bytes_lost=100)
    with pytest.raises(ValueError, match=r'epoch_1\.pth is truncated'):
        checkpoint_to_resume(str(tmp_path))


@pytest.mark.parametrize('backend_args', [None, dict(backend='local')])
def test_the_hook_writes_whole_files_and_leaves_mmengine_as_it_is(
        tmp_path, backend_args):
    hook = SafeCheckpointHook(backend_args=backend_args)
    hook.before_train(MagicMock(work_dir=str(tmp_path)))
    assert hook.backend_args == dict(backend=ATOMIC)
    assert type(get_file_backend(str(tmp_path))) is LocalBackend


def test_mmengine_writes_whole_files_or_none(tmp_path, monkeypatch):
    path = tmp_path / 'sub' / 'epoch_1.pth'
    atomic = dict(backend=ATOMIC)
    save_checkpoint(
        dict(state_dict={}, number=1), str(path), backend_args=atomic)

    def full(handle):
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr('os.fsync', full)
    with pytest.raises(OSError, match='No space left'):
        save_checkpoint(
            dict(state_dict={}, number=2), str(path), backend_args=atomic)
    assert torch.load(path)['number'] == 1
    assert os.listdir(path.parent) == ['epoch_1.pth']


def test_what_a_killed_process_began_is_removed(tmp_path):
    names = ['.epoch_2.pth.ab12_x.tmp.pth', '.last_checkpoint.k3_l.tmp']
    kept = ['epoch_1.pth', '.hidden', '.notes.txt.ab.tmp.txt']
    for name in names + kept:
        (tmp_path / name).touch()
    assert sorted(remove_leftovers(str(tmp_path))) == names
    assert sorted(os.listdir(tmp_path)) == sorted(kept)
