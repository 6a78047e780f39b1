"""Nothing that is wrong passes without a word."""
import io
import json
import logging
import re

import cv2
import numpy as np
import pytest
import torch
from hostile_checkpoints import NAMES, text_conditioned, texts
from tiny_exports import SIZE, brightness_spec, save_brightness
from torch import nn

from yolo_world_rep.inference import Predictor
from yolo_world_rep.inference.letterbox import Placement
from yolo_world_rep.inference.postprocess import PostProcess
from yolo_world_rep.inference.sources import frames, lost_frames
from yolo_world_rep.inference.spec import METADATA_FILE
from yolo_world_rep.reparam import (
    convert_checkpoint,
    load_checkpoint,
    reparameterize_state_dict,
)
from yolo_world_rep.reparam.tensor_checks import check_weights
from yolo_world_rep.text import save_embeddings
from yolo_world_rep.utils import cli
from yolo_world_rep_cli.main import main

STATE = text_conditioned()
WEIGHT = 'bbox_head.head_module.cls_contrasts.0.norm.weight'
VARIANCE = 'neck.norm.running_var'
# A sequence that clears a terminal, one of a C1 control, a mark that turns
# the direction of writing, and a line break.
NASTY = 'cat\x1b[2J\x9b1m\u202egod\nx'
SHOWN = r'cat\u001b[2J\u009b1m\u202egod\nx'


@pytest.fixture
def image(tmp_path):
    path = tmp_path / 'image.png'
    cv2.imwrite(str(path), np.full((*SIZE, 3), 200, np.uint8))
    return path


@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize('contract', ['raw', 'decoded', 'nms'])
def test_scores_that_are_no_numbers(contract, value):
    """In one class's row of one cell; of nms, as an export marks them."""
    spec = brightness_spec(contract=contract, batch=1)
    cells = [(SIZE[0] // s, SIZE[1] // s) for s in spec.strides]
    total = sum(h * w for h, w in cells)
    outputs = dict(
        raw=[np.full((1, n, h, w), -9, np.float32)
             for n in (3, 4) for h, w in cells],
        decoded=[np.zeros((1, total, 4), np.float32),
                 np.zeros((1, total, 3), np.float32)],
        nms=[np.zeros((1, 1), int), np.zeros((1, 5, 4), np.float32),
             np.zeros((1, 5), np.float32), np.full((1, 5), -1)])[contract]
    place = Placement(SIZE, (1., 1.), (0., 0.))
    post = PostProcess(spec)
    assert len(post(outputs, [place])[0].scores) == 0
    outputs[dict(raw=1, decoded=1, nms=2)[contract]].reshape(-1)[-1] = value
    with pytest.raises(ValueError, match='scores that are no finite numbers'):
        post(outputs, [place])


def test_large_logits_are_numbers():
    spec = brightness_spec(contract='raw', batch=1)
    outputs = [np.full((1, n, SIZE[0] // s, SIZE[1] // s), value, np.float32)
               for n, value in ((3, -3e38), (4, 1)) for s in spec.strides]
    found = PostProcess(spec)(outputs, [Placement(SIZE, (1., 1.), (0., 0.))])
    assert len(found[0].scores) == 0


class Spoilt(nn.Module):
    """A detector with NaN for the scores of its second class."""

    def forward(self, images):
        scores = torch.zeros(len(images), 1, 3)
        scores[:, :, 1] = float('nan')
        return torch.zeros(len(images), 1, 4), scores


@pytest.mark.parametrize('command', ['predict', 'evaluate'])
def test_a_command_with_scores_that_are_no_numbers(command, tmp_path, image,
                                                   capsys):
    model = tmp_path / 'spoilt.torchscript'
    torch.jit.save(torch.jit.script(Spoilt()), str(model),
                   _extra_files={METADATA_FILE: brightness_spec().to_json()})
    annotations = tmp_path / 'a.json'
    annotations.write_text(json.dumps(dict(
        images=[dict(id=1, file_name='image.png')], annotations=[],
        categories=[dict(id=i, name=name) for i, name in enumerate(
            brightness_spec().classes)])))
    words = dict(
        predict=[model, image, '--txt', tmp_path / 'labels'],
        evaluate=[model, annotations, tmp_path])[command]
    with pytest.raises(SystemExit) as end:
        main([command, *map(str, words)])
    assert end.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert 'scores that are no finite numbers' in lines[0]
    assert not (tmp_path / 'labels').exists()


@pytest.mark.parametrize(('name', 'change', 'says'), [
    (WEIGHT, lambda t: t * float('nan'), 'has NaN or infinite'),
    (WEIGHT, lambda t: t + float('inf'), 'has NaN or infinite'),
    (WEIGHT, lambda t: t.long(), 'is of type torch.int64'),
    (WEIGHT, lambda t: t.to(torch.complex64), 'is of type torch.complex64|'
     'is not a checkpoint .* real numbers'),
    (WEIGHT, lambda t: t > 0, 'is of type torch.bool'),
    (VARIANCE, lambda t: t - 9, 'is a variance and has negative'),
])
def test_weights_that_detect_nothing(name, change, says, tmp_path):
    state = {VARIANCE: torch.ones(4), **STATE}
    torch.save(dict(state_dict={**state, name: change(state[name])}),
               tmp_path / 'm.pth')
    with pytest.raises(ValueError, match=rf'm\.pth.*({says})') as said:
        load_checkpoint(tmp_path / 'm.pth')
    assert name in str(said.value) or 'Complex' in str(said.value)


def test_weights_that_are_fine():
    check_weights('file', {
        VARIANCE: torch.zeros(3), WEIGHT: torch.ones(3).half(),
        'a.num_batches_tracked': torch.tensor(3), 'e': torch.zeros(0)})


def test_texts_as_good_as_zero(tmp_path):
    rows = texts()
    for norm, fine in ((1e-9, True), (9e-13, False), (1e-30, False)):
        rows[1] *= norm / np.linalg.norm(rows[1].astype(np.float64))
        if fine:
            reparameterize_state_dict(STATE, torch.from_numpy(rows))
            continue
        with pytest.raises(ValueError, match=r'\[1\].*norm of at most 1e-12'):
            reparameterize_state_dict(STATE, torch.from_numpy(rows))
        np.save(tmp_path / 't.npy', rows)
        torch.save(dict(state_dict=STATE), tmp_path / 'm.pth')
        with pytest.raises(ValueError, match='norm of at most 1e-12') as said:
            convert_checkpoint(tmp_path / 'm.pth', tmp_path / 't.npy',
                               tmp_path / 'out')
        assert 'report' not in str(said.value)


def test_prompts_in_half_precision_fold_in_float32(tmp_path):
    """Of a checkpoint that is all in half precision."""
    rows = torch.from_numpy(texts())
    half = {key: value.half() if value.is_floating_point() else value
            for key, value in {**STATE, 'embeddings': rows}.items()}
    torch.save(dict(state_dict=half), tmp_path / 'm.pth')
    done = convert_checkpoint(tmp_path / 'm.pth', 'checkpoint', tmp_path,
                              'rep_linear')
    found = load_checkpoint(done.path).state_dict
    exact = reparameterize_state_dict(
        {key: value.double() for key, value in half.items()
         if value.is_floating_point()}, half['embeddings'].double(),
        'rep_linear')
    for key in found:
        if key.endswith(('guide_weight', 'conv.weight')) and (
                '.cls_contrasts.' in key or 'guide' in key):
            assert found[key].dtype == torch.float32
            torch.testing.assert_close(
                found[key].double(), exact[key], rtol=1e-6, atol=1e-7)


@pytest.fixture
def video(tmp_path):
    """A video of a container, 40 frames of noise."""

    def make(suffix, codec):
        path = tmp_path / f'video{suffix}'
        writer = cv2.VideoWriter(
            str(path), cv2.VideoWriter_fourcc(*codec), 25, (96, 64))
        if not writer.isOpened():
            pytest.skip(f'OpenCV writes no {suffix} here')
        for number in range(40):
            writer.write(np.random.default_rng(number).integers(
                0, 256, (64, 96, 3), np.uint8))
        writer.release()
        return path

    return make


KINDS = [('.avi', 'MJPG'), ('.mkv', 'mp4v'), ('.webm', 'VP80'),
         ('.mp4', 'mp4v')]


@pytest.mark.parametrize(('suffix', 'codec'), KINDS)
def test_a_whole_video(suffix, codec, video):
    assert [item.frame for item in frames(video(suffix, codec))] == list(
        range(40))


@pytest.mark.parametrize('damage', ['cut', 'hole'])
@pytest.mark.parametrize(('suffix', 'codec'), KINDS)
def test_a_damaged_video(suffix, codec, damage, video):
    path = video(suffix, codec)
    data = path.read_bytes()
    third = len(data) // 3
    if damage == 'cut':
        data = data[:2 * third]
    else:
        data = data[:third] + bytes(third // 2) + data[third + third // 2:]
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r'(of 40 frames could be read: the '
                       r'video is damaged|not a video)'):
        list(frames(path))


@pytest.mark.parametrize(('case', 'lost'), {
    'whole': (('.mp4', 5, 25, [0, 40, 80, 120, 160]), 0),
    'one frame': (('.mp4', 1, 25, [0]), 0),
    'a clock for a rate': (('.wmv', 80, 1000, [0, 40]), 0),
    'the same with one frame': (('.wmv', 40, 1000, [0]), 0),
    'twice the rate': (('.mpg', 3, 50, [0, 40]), 0),
    'the last one is missing': (('.mp4', 5, 25, [0, 40, 80, 120]), 1),
    'one within': (('.mkv', 5, 25, [0, 40, 120, 160]), 1),
    'sound lasts longer': (('.mkv', 103, 25, list(range(0, 4000, 40))), 0),
    'an edit list': (('.mp4', 60, 30, list(range(0, 2000, 40))), 0),
    'no times': (('.avi', 9, 25, [0, 0, 0, 0]), 5),
    'a live stream': (('.webm', -1, 25, [0, 40]), 0),
    'a header without': (('.wmv', -2e17, 25, [0, 40]), -1),
}.values())
def test_what_header_and_times_say(case, lost):
    assert lost_frames(*case) == lost


def test_a_damaged_video_is_said(video, tmp_path, capsys):
    path = video('.avi', 'MJPG')
    path.write_bytes(path.read_bytes()[:-path.stat().st_size // 3])
    model = save_brightness(tmp_path)
    with pytest.raises(SystemExit) as end:
        main(['predict', str(model), str(path), '--json',
              str(tmp_path / 'r.json')])
    assert end.value.code == 1
    out = capsys.readouterr()
    assert 'of 40 frames could be read' in out.err
    assert ', 1 skipped' in out.out
    assert json.loads((tmp_path / 'r.json').read_text())
    with Predictor(model) as predictor:
        with pytest.raises(ValueError, match='of 40 frames could be read'):
            predictor.predict(path)


def test_names_reach_a_terminal_escaped(tmp_path, capsys):
    image = tmp_path / f'{NASTY}.png'
    cv2.imwrite(str(tmp_path / 'i.png'), np.full((*SIZE, 3), 200, np.uint8))
    (tmp_path / 'i.png').rename(image)
    model = save_brightness(tmp_path, classes=('a', 'b', NASTY))
    annotations = tmp_path / 'a.json'
    annotations.write_text(json.dumps(dict(
        images=[dict(id=1, file_name=image.name)], annotations=[],
        categories=[dict(id=i, name=n) for i, n in enumerate(
            ('a', 'b', NASTY))])))
    np.save(tmp_path / 't.npy', texts())
    torch.save(dict(state_dict=STATE), tmp_path / 'm.pth')
    save_embeddings(tmp_path / 'e.npy', texts(), [NASTY, *NAMES[1:]])
    out = tmp_path / NASTY
    for words in (['predict', model, image],
                  ['predict', model, tmp_path / f'{NASTY}.txt'],
                  ['evaluate', model, annotations, tmp_path, '--per-class'],
                  ['reparameterize', '--model', tmp_path / 'm.pth',
                   '--text-embed', tmp_path / 'e.npy', '--out-dir', out],
                  ['inspect', out / 'm_rep_conv.pth'],
                  ['inspect', '--json', out / 'm_rep_conv.pth'],
                  ['edit', out / 'm_rep_conv.pth', '--keep', NASTY, '--out',
                   out / 'x.pth'],
                  ['edit', out / 'm_rep_conv.pth', '--keep', f'{NASTY}!',
                   '--out', out / 'y.pth'],
                  ['inspect', 'x', NASTY]):
        with pytest.raises(SystemExit):
            main([str(word) for word in words])
        said = capsys.readouterr()
        for text in (said.out, said.err):
            assert all(c.isprintable() or c == '\n' for c in text), words
        assert re.search(r'\\(u00|x)1b\[2J', said.out + said.err), words
        if '--json' in words:
            assert json.loads(said.out)['class_names'][0] == NASTY


def test_tables_and_logs_escape(capsys):
    from rich.table import Table
    table = Table('column')
    table.add_row(NASTY)
    cli.console().print(table)
    cli.console().print(f'[bold]{NASTY}', style='red')
    assert '\x1b' not in capsys.readouterr().out
    stream = io.StringIO()
    logger, handler = logging.Logger('x'), logging.StreamHandler(stream)
    logger.addHandler(handler)
    before = logging.getLogRecordFactory()
    try:
        with pytest.raises(SystemExit):
            cli.run(lambda: logger.warning('of %s', NASTY))
    finally:
        logging.setLogRecordFactory(before)
    assert stream.getvalue() == f'of {SHOWN}\n'.replace(r'\n', '\n')


def test_json_stays_json():
    names = [NASTY, '\U000e0001', '"\\']
    text = json.dumps(names, ensure_ascii=False, indent=1)
    shown = cli.printable(text, cli.LINES)
    assert json.loads(shown) == names
    assert all(c.isprintable() or c == '\n' for c in shown)
