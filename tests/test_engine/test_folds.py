"""K trainings: which images each sees, and how they go on."""
import json

import pytest
from own_data import write_data

from yolo_world_rep.config.composition import Wishes
from yolo_world_rep.config.data_layouts import find_data
from yolo_world_rep.config.own_data import read_own_data
from yolo_world_rep.engine import folds
from yolo_world_rep.engine.finetune import Finetuned


@pytest.fixture(scope='module')
def layout(tmp_path_factory):
    root = tmp_path_factory.mktemp('pets')
    write_data(root, train=7)
    return find_data(root)


@pytest.fixture
def trained(monkeypatch):
    """What is trained, in place of a training that dies at ``dying``."""
    done = []

    def finetune(model, layout, work_dir, resume=None, **options):
        if len(done) == done.dying:
            raise KeyboardInterrupt
        data = read_own_data(layout, work_dir / 'config.py')
        done.append((work_dir.name, resume, *(
            {image['file_name'] for image in split.images}
            for split in (data.train, data.val))))
        return Finetuned(None, work_dir, None, dict(AP=len(done) / 10))

    class Done(list):
        dying = None

    done = Done()
    monkeypatch.setattr(folds, 'finetune', finetune)
    return done


def test_each_image_is_held_out_once(layout, trained, tmp_path):
    scores = folds.cross_validate('m.pth', layout, 3, tmp_path)
    assert scores == [dict(AP=0.1), dict(AP=0.2), dict(AP=0.3)]
    assert [name for name, *_ in trained] == ['fold_1', 'fold_2', 'fold_3']
    held = [val for *_, val in trained]
    assert sorted(map(len, held)) == [2, 2, 3]
    assert len(set().union(*held)) == 7
    for _, _, train, val in trained:
        assert not train & val
        assert len(train | val) == 7
    folds.cross_validate('m.pth', layout, 3, tmp_path / 'other',
                         wishes=Wishes(seed=4))
    assert [val for *_, val in trained[3:]] != held


def test_it_goes_on_where_it_ended(layout, trained, tmp_path):
    trained.dying = 1
    with pytest.raises(KeyboardInterrupt):
        folds.cross_validate('m.pth', layout, 3, tmp_path)
    (tmp_path / 'fold_2').mkdir()
    (tmp_path / 'fold_2' / 'last.pth').write_bytes(b'not empty')
    trained.dying = None
    scores = folds.cross_validate('m.pth', layout, 3, tmp_path, resume=True)
    assert [row[:2] for row in trained] == [
        ('fold_1', None), ('fold_2', 'auto'), ('fold_3', None)]
    assert json.loads((tmp_path / 'folds.json').read_text()) == dict(
        folds=3, seed=0, scores=scores)
    with pytest.raises(ValueError, match='of other folds than 4'):
        folds.cross_validate('m.pth', layout, 4, tmp_path, resume=True)


@pytest.mark.parametrize('count', [1, 8])
def test_more_folds_than_images(layout, trained, tmp_path, count):
    with pytest.raises(ValueError, match='`folds` .: expected 2 to 7'):
        folds.cross_validate('m.pth', layout, count, tmp_path)
