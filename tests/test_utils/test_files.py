import os

import pytest

from yolo_world_rep.utils.files import atomic_path


def test_file_appears_only_when_it_is_whole(tmp_path):
    path = tmp_path / 'folder' / 'file.txt'
    with atomic_path(path) as temporary:
        with open(temporary, 'w') as file:
            file.write('whole')
        assert not path.exists()
    assert path.read_text() == 'whole'
    assert os.listdir(path.parent) == ['file.txt']


def test_failure_leaves_the_old_file_and_no_litter(tmp_path):
    path = tmp_path / 'file.txt'
    path.write_text('old')

    def fail():
        with atomic_path(path) as temporary:
            temporary.write_text('half')
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == 'old'
    assert os.listdir(tmp_path) == ['file.txt']
