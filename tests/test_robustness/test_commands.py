"""Commands on broken input: one line, status 2, nothing left."""
import contextlib
import io
import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hostile import Marker, attempt, damages, inputs, scratch
from hostile_checkpoints import NAMES, pickled, text_conditioned, texts
from hypothesis import given
from hypothesis import strategies as st
from tiny_exports import SIZE, save_brightness

from yolo_world_rep.reparam import convert_checkpoint
from yolo_world_rep.text import save_embeddings

TOOLS = Path(__file__).parents[2] / 'tools'
STATE = text_conditioned()
#: What makes each input of a command, and how the command is called.
COMMANDS = dict(
    reparameterize_yoloworld=[
        '--model', 'm.pth', '--text-embed', 'e.npy', '--out-dir', 'out'],
    edit_vocabulary=['f.pth', '--add', 'n.npy', '--out', 'out/x.pth'],
    inspect_checkpoint=['f.pth'],
    interpolate_checkpoints=['f.pth', 'f.pth', '--alpha', '0.5', '--out',
                             'out/x.pth'],
    convert_ultralytics=['--model', 'm.pth', '--out', 'out/x.pth'],
    generate_text_prompts=['--text', 't.json', '--encoder', 'words', '--out',
                           'out/x.npy', '--dim', '64'],
    new_config=['--data', '.', '--train-ann', 'a.json', '--val-ann',
                'a.json', '--checkpoint', 'f.pth', '--out', 'out/x.py'],
    predict=['b.torchscript', 'i.png', '--save-dir', 'out/p', '--json',
             'out/r.json', '--txt', 'out/t'],
    evaluate=['b.torchscript', 'a.json', '.'])
FILES = {word for words in COMMANDS.values() for word in words
         if word.rpartition('.')[0].isidentifier()}


@pytest.fixture(scope='module')
def sound(tmp_path_factory):
    """Every file that a command reads, by its name."""
    folder = tmp_path_factory.mktemp('sound')
    torch.save(dict(state_dict=STATE, meta={}), folder / 'm.pth')
    save_embeddings(folder / 'e.npy', texts(), NAMES)
    save_embeddings(folder / 'n.npy', texts(1, 9), ['owl'])
    made = convert_checkpoint(folder / 'm.pth', folder / 'e.npy',
                              folder / 'made').path
    made.rename(folder / 'f.pth')
    (folder / 't.json').write_text(json.dumps(NAMES))
    save_brightness(folder).rename(folder / 'b.torchscript')
    cv2.imwrite(str(folder / 'i.png'), np.full((*SIZE, 3), 9, np.uint8))
    (folder / 'a.json').write_text(json.dumps(dict(
        images=[dict(id=1, file_name='i.png', width=96, height=64)],
        annotations=[dict(id=1, image_id=1, category_id=1,
                          bbox=[1, 1, 9, 9], area=81, iscrowd=0)],
        categories=[dict(id=i, name=name) for i, name in enumerate(
            ('dark', 'grey', 'bright'), 1)])))
    return {path.name: path.read_bytes() for path in folder.iterdir()
            if path.is_file()}


class Failed(ValueError):
    """The command said no."""


def run(tool, words, folder, out=None):
    """Run a command here; :class:`Failed` with its line for status 2."""
    out, err = out or io.StringIO(), io.StringIO()
    before, where, threads = sys.argv, os.getcwd(), cv2.getNumThreads()
    sys.argv = [tool, *words]
    os.chdir(folder)
    status = 0
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            runpy.run_path(str(TOOLS / f'{tool}.py'), run_name='__main__')
    except SystemExit as end:
        status = end.code
    finally:
        sys.argv = before
        os.chdir(where)
        cv2.setNumThreads(threads)
    message = err.getvalue()
    if status == 2:
        lines = [line for line in message.splitlines() if line.strip()]
        assert len(lines) == 1, message
        assert lines[0].startswith('error: ')
        raise Failed(message)
    assert status in (0, 1), message
    return status, message


@inputs()
@given(tool=st.sampled_from(sorted(COMMANDS)), damage=damages(),
       choice=st.integers(0, 9), other=st.one_of(
           st.none(), st.sampled_from(sorted(FILES))))
def test_a_damaged_file_or_another_ones_content(sound, tool, damage, choice,
                                                other):
    words = COMMANDS[tool]
    files = [word for word in words if word in FILES]
    chosen = files[choice % len(files)]
    with scratch() as folder:
        for name, data in sound.items():
            (folder / name).write_bytes(data)
        data = sound[chosen] if other is None else sound[other]
        (folder / chosen).write_bytes(damage(data) if other is None else data)
        attempt('commands', lambda: run(tool, words, folder), folder,
                folder / 'out',
                names=[*files, 'e.json', 'n.json', 'train: '])


@pytest.mark.parametrize('tool', sorted(COMMANDS))
def test_no_file_at_all(sound, tool, tmp_path):
    words = COMMANDS[tool]
    with pytest.raises(Failed) as caught:
        run(tool, words, tmp_path)
    assert any(word in str(caught.value) for word in words if word in FILES)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('tool', sorted(COMMANDS))
def test_sound_files(sound, tool, tmp_path):
    """The commands above would work, but for the damage."""
    for name, data in sound.items():
        (tmp_path / name).write_bytes(data)
    if tool in ('convert_ultralytics', 'new_config'):
        with pytest.raises(Failed):  # models that are too small for these
            run(tool, COMMANDS[tool], tmp_path)
    else:
        assert run(tool, COMMANDS[tool], tmp_path)[0] == 0


@pytest.mark.parametrize('tool', [
    'inspect_checkpoint', 'reparameterize_yoloworld', 'edit_vocabulary',
    'interpolate_checkpoints', 'convert_ultralytics', 'new_config'])
def test_code_in_a_checkpoint(sound, tool, tmp_path):
    """No command runs what is in its input."""
    for name, data in sound.items():
        (tmp_path / name).write_bytes(data)
    for how in range(5):
        bad = pickled(dict(state_dict=STATE,
                           meta=Marker(tmp_path / 'marker', how)))
        for name in ('m.pth', 'f.pth'):
            (tmp_path / name).write_bytes(bad)
        with contextlib.suppress(Failed):
            run(tool, [*COMMANDS[tool],
                       *(['--overwrite'] if 'out' in ' '.join(
                           COMMANDS[tool]) else [])], tmp_path)
        assert not (tmp_path / 'marker').exists()


def process(tool, *words, cwd, **environment):
    """Run a command in a process of its own."""
    return subprocess.run(
        [sys.executable, str(TOOLS / f'{tool}.py'), *map(str, words)],
        cwd=cwd, capture_output=True, timeout=120,
        env={**os.environ, 'PYTHONPATH': str(TOOLS.parent),
             'OMP_NUM_THREADS': '1', **environment})


def test_names_that_the_terminal_cannot_show(sound, tmp_path):
    """The work is done, so the command may not fail at telling."""
    save_embeddings(tmp_path / 'e.npy', texts(),
                    ('消火栓', '\x1b[31mred', '[/bold] :cat:'))
    (tmp_path / 'm.pth').write_bytes(sound['m.pth'])
    made = convert_checkpoint(tmp_path / 'm.pth', tmp_path / 'e.npy',
                              tmp_path).path
    done = process('inspect_checkpoint', made, cwd=tmp_path,
                   PYTHONIOENCODING='ascii')
    assert done.returncode == 0, done.stderr
    assert b'\\u6d88' in done.stdout
    assert b'\x1b' not in done.stdout
    assert b'\\u001b[31mred' in done.stdout
    assert b'[/bold] :cat:' in done.stdout


def test_names_of_files_that_are_not_unicode(sound, tmp_path):
    folder = os.fsencode(tmp_path) + b'/in'
    os.mkdir(folder)
    with open(folder + b'/caf\xe9.png', 'wb') as file:
        file.write(sound['i.png'])
    (tmp_path / 'b.torchscript').write_bytes(sound['b.torchscript'])
    # As a terminal has it, which does not take what it cannot encode.
    with io.TextIOWrapper(io.BytesIO(), encoding='utf-8') as terminal:
        run('predict', ['b.torchscript', 'in'], tmp_path, terminal)
        terminal.flush()
        assert b'caf\\udce9.png: 1 dark' in terminal.buffer.getvalue()


def test_class_names_in_the_table_of_a_data_set(sound, tmp_path):
    """rich takes [words] for its own where it is not told otherwise."""
    content = json.loads(sound['a.json'])
    content['categories'][0]['name'] = '[/red]'
    (tmp_path / 'a.json').write_text(json.dumps(content))
    for name in ('i.png', 'f.pth'):
        (tmp_path / name).write_bytes(sound[name])
    with pytest.raises(Failed, match='other classes'):
        run('new_config', COMMANDS['new_config'], tmp_path)


def test_a_message_has_an_end():
    from yolo_world_rep.utils.cli import LONGEST, one_line
    message = one_line(ValueError('x' * 10**6 + '\x1b[2J'))
    assert len(message) < LONGEST + 9
    assert '\\u001b[2J' in one_line(ValueError('\x1b[2J\x07'))


def test_a_refused_model_leaves_no_folders(tmp_path, sound):
    (tmp_path / 'i.png').write_bytes(sound['i.png'])
    (tmp_path / 'b.torchscript').write_bytes(b'PK\x03\x04 none')
    with pytest.raises(Failed, match='b.torchscript'):
        run('predict', COMMANDS['predict'], tmp_path)
    assert not (tmp_path / 'out').exists()


