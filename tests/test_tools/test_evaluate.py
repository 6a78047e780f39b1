"""Evaluating from the command line."""
import json
import runpy
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from tiny_exports import NAMES, SIZE, save_brightness

TOOL = Path(__file__).parents[2] / 'tools' / 'evaluate.py'


@pytest.fixture
def data(tmp_path):
    """Two images of which one is taken for another class."""
    boxes = dict(a=(10, 'dark'), b=(250, 'grey'))
    images, annotations = [], []
    for number, (name, (value, label)) in enumerate(boxes.items(), 1):
        cv2.imwrite(
            str(tmp_path / f'{name}.png'),
            np.full((*SIZE, 3), value, np.uint8))
        images.append(dict(id=number, file_name=f'{name}.png'))
        annotations.append(
            dict(
                id=number,
                image_id=number,
                category_id=NAMES.index(label) + 1,
                bbox=[10, 10, 40, 30],
                area=1200,
                iscrowd=0))
    categories = [dict(id=i, name=name) for i, name in enumerate(NAMES, 1)]
    path = tmp_path / 'truth.json'
    path.write_text(
        json.dumps(
            dict(
                images=images, annotations=annotations,
                categories=categories)))
    return tmp_path


@pytest.fixture
def evaluate(data, monkeypatch, capsys):
    """Run the command; status, out, err."""
    save_brightness(data)
    threads = cv2.getNumThreads()

    def run(*args):
        monkeypatch.setattr(sys, 'argv', [
            str(TOOL), str(data / 'brightness.torchscript'),
            str(data / 'truth.json'), str(data), *map(str, args)
        ])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(TOOL), run_name='__main__')
        return (end.value.code, *capsys.readouterr())

    yield run
    cv2.setNumThreads(threads)


def test_the_figures(evaluate, data):
    code, out, err = evaluate('--per-class', '--json-out', data / 'f.json')
    assert (code, err) == (0, '')
    assert 'AP             0.5000' in out
    assert '1.0000 dark' in out
    figures = json.loads((data / 'f.json').read_text())
    assert figures['AP'] == pytest.approx(0.5)
    assert figures['AP_large'] is None
    assert figures['per_class'] == dict(
        dark=pytest.approx(1), grey=0, bright=None)
    assert (figures['images'], figures['detections']) == (2, 2)
    assert (figures['runtime'], figures['precision']) == ('TorchScript',
                                                          'f32')


def test_only_some_classes(evaluate, data):
    """The figures are of these; the rest may differ."""
    save_brightness(data, classes=('dark', 'grey', 'white'))
    code, out, err = evaluate('--only', 'dark', '--per-class', '--json-out',
                              data / 'f.json')
    assert (code, err) == (0, '')
    figures = json.loads((data / 'f.json').read_text())
    assert figures['per_class'] == dict(dark=pytest.approx(1))
    assert figures['AP'] == pytest.approx(1)
    assert figures['detections'] == 1
    for name, message in (('dakr', "Did you mean 'dark'"),
                          ('white', "--only 'white': the data have no such "
                           "class. There are, among others, 'dark'")):
        code, out, err = evaluate('--only', name)
        assert (code, err.count('\n')) == (2, 1)
        assert message in err


def test_classes_of_the_data_are_chosen(evaluate, data):
    """As `train` takes them; what is left must be the model's."""
    path = data / 'truth.json'
    content = json.loads(path.read_text())
    content['categories'] += [dict(id=8, name='pale'), dict(id=9, name='x')]
    content['annotations'][0]['category_id'] = 8
    path.write_text(json.dumps(content))
    code, _, err = evaluate()
    assert (code, err.count('\n')) == (2, 1)
    code, out, err = evaluate('--join-classes', 'dark,pale=dark',
                              '--drop-class', 'x')
    assert (code, err) == (0, '')
    assert 'AP             0.5000' in out
    code, _, err = evaluate('--join-classes', 'dark')
    assert (code, err.count('\n')) == (2, 1)
    assert 'expected cat,dog=pet' in err


def test_other_classes_are_refused_in_one_line(evaluate, data):
    save_brightness(data, classes=('dark', 'grey', 'white'))
    code, _, err = evaluate('--json-out', data / 'f.json')
    assert code == 2
    assert err.count('\n') == 1
    assert "former has 'white'" in err
    assert "latter has 'bright'" in err
    assert not (data / 'f.json').exists()


def test_options_of_folders_go_with_data(evaluate, data):
    code, _, err = evaluate('--exif', 'stored')
    assert (code, err) == (2, 'error: --exif goes with --data.\n')


def test_a_missing_image_is_refused(evaluate, data):
    (data / 'b.png').unlink()
    code, _, err = evaluate()
    assert code == 2
    assert 'b.png' in err


def test_annotations_that_are_none_are_refused(evaluate, data):
    (data / 'truth.json').write_text('{}')
    code, _, err = evaluate()
    assert code == 2
    assert 'expected a COCO file' in err
