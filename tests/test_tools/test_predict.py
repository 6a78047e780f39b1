"""Detecting from the command line."""
import contextlib
import io
import json
import runpy
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from builders import build_detector, randomize, text_state
from pycocotools.coco import COCO
from tiny_deploy import NAMES as CLASSES
from tiny_deploy import SMALL, write_files
from tiny_exports import SIZE, save_brightness

from yolo_world_rep.reparam import convert_checkpoint
from yolo_world_rep.text import embed_words

TOOL = Path(__file__).parents[2] / 'tools' / 'predict.py'


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / 'images'
    folder.mkdir()
    for name, value in (('1', 10), ('2', 120), ('3', 250)):
        cv2.imwrite(
            str(folder / f'{name}.png'), np.full((*SIZE, 3), value, np.uint8))
    return folder


@pytest.fixture
def predict(tmp_path, monkeypatch, capsys):
    """Run the command; status, out, err."""
    save_brightness(tmp_path)
    threads = cv2.getNumThreads()

    def run(*args, model='brightness.torchscript', stdin=''):
        monkeypatch.setattr(sys, 'stdin', io.StringIO(stdin))
        monkeypatch.setattr(
            sys, 'argv',
            [str(TOOL), str(tmp_path / model), *map(str, args)])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(TOOL), run_name='__main__')
        return (end.value.code, *capsys.readouterr())

    yield run
    cv2.setNumThreads(threads)


def test_all_it_writes(predict, images, tmp_path):
    code, out, err = predict(images, '--save-dir', tmp_path / 'p', '--json',
                             tmp_path / 'r.json', '--txt', tmp_path / 't',
                             '--batch', 2, '--workers', 1, '--threads', 1)
    assert (code, err) == (0, '')
    assert 'TorchScript in f32: brightness.torchscript, 3 classes' in out
    assert '3 images' in out
    rows = json.loads((tmp_path / 'r.json').read_text())
    assert [(row['image_id'], row['category_id'], row['category_name'])
            for row in rows] == [(1, 0, 'dark'), (2, 1, 'grey'),
                                 (3, 2, 'bright')]
    assert rows[0]['bbox'] == [10, 10, 40, 30]
    assert (tmp_path / 't/2.txt').read_text().startswith('1 0.3125')
    picture = cv2.imread(str(tmp_path / 'p/1.jpg'))
    assert picture.max() > 100  # a box in the dark


def test_without_a_place_to_write_it_says_what_it_found(predict, images):
    code, out, _ = predict(images / '3.png', images / '1.png')
    assert code == 0
    first, second = out.splitlines()[1:3]
    assert first.endswith('3.png: 1 bright')
    assert second.endswith('1.png: 1 dark')


def test_a_broken_image_is_skipped_and_the_rest_is_done(predict, images,
                                                        tmp_path):
    (images / '2a.png').write_bytes(b'nothing')
    code, out, err = predict(images, '--json', tmp_path / 'r.json')
    assert code == 1
    assert err.startswith('skipped: ')
    assert err.count('\n') == 1
    assert '2a.png: not an image' in err
    assert '3 images' in out
    assert '1 skipped' in out
    # 2a is no number, yet it is not there: the others' ids stay.
    rows = json.loads((tmp_path / 'r.json').read_text())
    assert [row['image_id'] for row in rows] == [1, 2, 3]


def test_a_list_on_standard_input(predict, images):
    code, out, err = predict(
        '-', stdin=f'{images}/2.png\n{images}/none.png\n{images}/1.png\n')
    assert code == 1
    assert 'none.png: cannot be read' in err
    assert '1 grey' in out
    assert '2 images' in out


def test_score_and_classes(predict, images):
    _, out, _ = predict(images, '--score', 0.81)
    assert ' 0 detections' in out
    for option in ('--only', '--classes'):  # the name of version 0.1
        _, out, _ = predict(images, option, 'bright')
        assert ' 1 detections' in out


def test_a_score_of_a_class(predict, images):
    code, out, _ = predict(images, '--score', 0.1, '--score', 'grey=0.81')
    assert code == 0
    assert ' 2 detections' in out
    assert 'grey' not in out


def test_a_list_that_is_cut_is_said(predict, images):
    code, out, err = predict(images, '--max-det', 1)
    assert code == 0
    assert '3 image(s) have 1 detections, the most that are kept' in err


def test_ids_of_a_coco_file(predict, images, tmp_path):
    truth = dict(
        images=[dict(id=f'{name}x', file_name=f'some\\folder\\{name}.png')
                for name in '123'],
        categories=[dict(id=number, name=name) for number, name in (
            (5, 'bright'), (7, 'grey'), (9, 'dark'))], annotations=[])
    path, results = tmp_path / 'truth.json', tmp_path / 'r.json'
    path.write_text(json.dumps(truth))
    code, *_ = predict(images, '--json', results, '--ids-from', path)
    assert code == 0
    with contextlib.redirect_stdout(io.StringIO()):
        found = COCO(str(path)).loadRes(str(results)).dataset['annotations']
    assert [(row['image_id'], row['category_id']) for row in found] == [
        ('1x', 9), ('2x', 7), ('3x', 5)]
    truth['categories'].pop()
    path.write_text(json.dumps(truth))
    results.unlink()
    code, _, err = predict(images, '--json', results, '--ids-from', path)
    assert code == 2
    assert "no category 'dark'" in err
    assert '--only' in err
    assert not results.exists()


@pytest.mark.parametrize('args, message', [
    (['nowhere.png'], 'source nowhere.png: no such file'),
    (['IMAGES', '--only', 'brihgt'], "Did you mean 'bright'"),
    (['IMAGES', '--batch', '0'], '--batch 0'),
    (['IMAGES', '--score', '1'], 'threshold 1'),
    (['IMAGES', '--score', 'grye=.5'], "Did you mean 'grey'"),
    (['IMAGES', '--score', 'grey=2'], "threshold of 'grey' 2"),
    (['IMAGES', '--score', 'grey'], 'such as cat=0.6'),
    (['IMAGES', '--max-det', '0'], '1 or more'),
    (['IMAGES', '--ids-from', __file__], '--ids-from is for --json'),
    (['IMAGES', '--json', 'r.json', '--ids-from', __file__], 'no COCO file'),
    (['IMAGES', '--device', 'tpu'], "device 'tpu'"),
    (['IMAGES', '--precision', 'bf16'], "precision 'bf16'"),
    (['IMAGES', '--img-size', '128', '128'], 'image size (128, 128)'),
    (['IMAGES', '--checkpoint', __file__], f'--checkpoint {__file__}'),
    (['IMAGES', '--font', __file__], f'--font {__file__}: not a font'),
    (['IMAGES', '--font', 'none.ttf'], 'none.ttf: no such file'),
    (['IMAGES', '--save-dir', 'IMAGES'], 'Choose another folder'),
])
def test_errors_are_one_line(predict, images, args, message):
    code, _, err = predict(
        *(str(images) if arg == 'IMAGES' else arg for arg in args))
    assert code == 2
    assert message in err
    assert err.count('\n') == 1


def test_names_without_a_font_are_numbers_and_one_line(predict, images,
                                                       tmp_path, monkeypatch):
    """Another script than that of the machine's fonts, the third of two."""
    from yolo_world_rep.inference import fonts
    monkeypatch.setattr(fonts, '_by_fontconfig', lambda letter: [])
    monkeypatch.setattr(fonts, '_warned', set())
    fonts.fonts_for.cache_clear()
    drawn = []
    for name, count in (('été', 0), ('\U00012000', 1), ('class 2', 0)):
        save_brightness(tmp_path, classes=('a', 'b', name))
        code, out, err = predict(
            images / '3.png', '--save-dir', tmp_path / name)
        assert code == 0
        assert (out + err).count('--font') == count
        drawn.append(cv2.imread(str(tmp_path / name / '3.jpg')))
    assert (drawn[1] == drawn[2]).all()
    assert (drawn[0] != drawn[2]).any()


def test_a_picture_has_the_best_and_the_files_have_all(predict, images,
                                                       tmp_path):
    paths = [tmp_path / 'few', tmp_path / 'all']
    for path, more in zip(paths, (['--max-drawn', 1], [])):
        code, out, _ = predict(images / '3.png', '--score', 0.01, *more,
                               '--save-dir', path, '--txt', path)
        assert code == 0
    few, everything = ((path / '3.txt').read_text() for path in paths)
    assert few == everything


@pytest.mark.parametrize(('vnni', 'provenance', 'lines'), [
    (False, {}, 1), (None, {}, 1), (True, {}, 0),
    (False, dict(int8=dict(weight_bits=7)), 0)])
def test_weights_of_eight_bits_without_vnni(predict, images, tmp_path,
                                            monkeypatch, vnni, provenance,
                                            lines):
    monkeypatch.setattr('yolo_world_rep.inference.processor.has_vnni',
                        lambda: vnni)
    save_brightness(tmp_path, precision='int8', provenance=provenance)
    code, out, err = predict(images)
    assert code == 0
    assert '3 images' in out
    assert err.count('\n') == lines
    assert lines == err.count('brightness.torchscript: INT8 with weights of 8')


def test_a_checkpoint_alone(predict, images, tmp_path):
    """No config is asked for, and one file says all."""
    path = write_files(tmp_path).checkpoint
    content = torch.load(path, weights_only=True)
    content['meta']['yolo_world_rep'] = dict(classes=CLASSES)
    torch.save(content, path)
    code, out, err = predict(images, '--json', tmp_path / 'r.json',
                             '--img-size', *SIZE, model=path.name)
    assert code == 0, err
    assert 'PyTorch in f32: tiny.pth, 3 classes, 64x96' in out
    names = {row['category_name']
             for row in json.loads((tmp_path / 'r.json').read_text())}
    assert names
    assert names <= set(CLASSES)


def test_a_text_conditioned_checkpoint_and_words(predict, images, tmp_path):
    """From a checkpoint and words to detections, in one command."""
    model = randomize(build_detector('text', **SMALL))
    torch.save(dict(state_dict=text_state(model), meta={}),
               tmp_path / 'text.pth')
    (tmp_path / 'names.txt').write_text('cat\ntraffic light\n')
    found = {}
    for name, words in (('names', ['cat', 'traffic light']),
                        ('file', [tmp_path / 'names.txt'])):
        code, out, err = predict(
            images, '--img-size', *SIZE, '--json', tmp_path / name,
            '--encoder', 'words', '--words', *words, model='text.pth')
        assert code == 0, err
        assert '2 classes' in out
        found[name] = json.loads((tmp_path / name).read_text())
    assert found['names'] == found['file']
    assert {row['category_name'] for row in found['file']} <= {
        'cat', 'traffic light'}

    # The same as by a file of embeddings and a folded checkpoint.
    texts, padded = embed_words(['cat', 'traffic light'], 32, 'words')
    convert_checkpoint(tmp_path / 'text.pth', texts, tmp_path, 'rep_conv',
                       neck_text_embed=padded)
    predict(images, '--img-size', *SIZE, '--json', tmp_path / 'folded',
            model='text_rep_conv.pth')
    assert json.loads((tmp_path / 'folded').read_text()) == found['file']

    code, _, err = predict(images, model='text.pth')
    assert code == 2
    assert 'text-conditioned: name what to detect by --words' in err
    code, _, err = predict(images, '--words', 'cat', model='text.pth')
    assert code == 2
    assert 'texts that are 32 wide' in err
    assert '--encoder' in err
    code, _, err = predict(images, '--words', 'cat',
                           model='text_rep_conv.pth')
    assert code == 2
    assert 'has its classes already' in err
    code, _, err = predict(images, '--words', 'cat')
    assert code == 2
    assert 'brightness.torchscript has its classes already' in err
