"""What people have of the first version goes on working.

A set of it is written by that version and read by this one: write_set.py and
read_set.py say what is inside.
"""
import json
import os
import shutil
import subprocess
import sys
import warnings
from importlib import import_module
from pathlib import Path

import pytest
import torch
from first_version import read_set

from yolo_world_rep.moved import GONE

# The first version: the last commit before modules were moved.
COMMIT = 'e6b29aef471387ff36d852d6aa3d7b08b7970273'
REPOSITORY = Path(__file__).resolve().parents[2]
NEEDED = ('yolo_world_rep', 'yolo_world_rep_cli', 'configs', 'tools', 'tests')
# Modules that left on purpose; importing them says where to look. Those of the
# command line were never for importing.
LEFT = {*(f'yolo_world_rep.{name}' for name in GONE),
        'yolo_world_rep_cli.ending', 'yolo_world_rep_cli.running'}


@pytest.fixture(scope='session')
def first(tmp_path_factory):
    """The folder of the set, and what the first version said of it."""
    root, folder = (tmp_path_factory.mktemp(name) for name in ('root', 'set'))
    archive = subprocess.run(
        ['git', '-C', str(REPOSITORY), 'archive', COMMIT, *NEEDED],
        capture_output=True) if shutil.which('git') else None
    if archive is None or archive.returncode:
        pytest.skip(f'no git history here with commit {COMMIT[:7]}')
    subprocess.run(['tar', 'x', '-C', str(root)], input=archive.stdout,
                   check=True)
    done = subprocess.run(
        [sys.executable, read_set.__file__.replace('read_', 'write_'), root],
        cwd=folder, text=True, capture_output=True, env={
            **os.environ, 'NO_ALBUMENTATIONS_UPDATE': '1',
            'PYTHONPATH': os.pathsep.join((str(root), f'{root}/tests'))})
    assert done.returncode == 0, done.stderr[-3000:]
    print(*(line for line in done.stdout.splitlines()
            if line.startswith('left out')), sep='\n')
    # The present configs are where users have theirs; no file of old stays.
    shutil.rmtree(root)
    root.mkdir()
    (root / 'configs').symlink_to(REPOSITORY / 'configs')
    return folder, json.loads((folder / 'expected.json').read_text())


@pytest.fixture
def expected(first, monkeypatch):
    """What the first version said, in the folder of the set."""
    monkeypatch.chdir(first[0])
    monkeypatch.setattr('yapf.yapflib.yapf_api.FormatCode',
                        lambda text, **_: (text, True))
    with warnings.catch_warnings():
        for category in (DeprecationWarning, FutureWarning):
            warnings.simplefilter('ignore', category)
        yield first[1]


def without_hashes(value):
    """The same; files of equal content can have other bytes."""
    if isinstance(value, dict):
        return {key: without_hashes(each) for key, each in value.items()
                if key != 'sha256'}
    if isinstance(value, list):
        return [without_hashes(each) for each in value]
    return value


def test_checkpoints_are_what_they_were(expected):
    assert len(expected['checkpoints']) > 20
    for path, said in expected['checkpoints'].items():
        assert read_set.inspect(path) == said


@pytest.mark.parametrize('model', read_set.MODELS)
def test_models_detect_what_they_did(expected, model):
    if model not in expected['detections']:
        pytest.skip('was not exported: its package is not installed')
    said = expected['detections'][model]
    found = read_set.detect(model)
    assert len(found) == len(said) > 20
    for one, other in zip(found, said):
        assert one.keys() == other.keys()
        for key, value in other.items():
            assert one[key] == (value if isinstance(value, str) else
                                pytest.approx(value, rel=1e-6, abs=1e-6))


@pytest.mark.parametrize('config', read_set.CONFIGS)
def test_configs_build_what_they_did(expected, config):
    assert read_set.build(config) == expected['configs'][config]


def test_commands_make_what_they_made(expected, first, tmp_path, monkeypatch):
    from yolo_world_rep.reparam import load_checkpoint
    shutil.copytree(first[0], tmp_path / 'again')
    made = tmp_path / 'again'
    monkeypatch.chdir(made)
    for words in (*read_set.COMMANDS, *read_set.AFTER_TRAINING):
        option = '' if words.startswith('embed') else ' --overwrite'
        if '--out-dir linear' in words:  # which was the default
            option += ' --matrix-neck'
        read_set.run(words + option)
    for name in ('names', 'more', 'names_padded'):
        for suffix in ('.npy', '.json'):
            path = Path(name).with_suffix(suffix)
            assert path.read_bytes() == (first[0] / path).read_bytes()
    for path, said in expected['checkpoints'].items():
        assert without_hashes(read_set.inspect(path)) == without_hashes(said)
        found, before = (load_checkpoint(folder / path).state_dict
                         for folder in (made, first[0]))
        assert found.keys() == before.keys()
        for key, tensor in before.items():
            torch.testing.assert_close(found[key], tensor, rtol=1e-6,
                                       atol=1e-6, msg=key)


def test_a_training_goes_on_and_is_edited(expected, tmp_path):
    """By the config that it left in its folder, of all hooks by name."""
    read_set.run(f'train trained/finetune.py --work-dir {tmp_path} --resume '
                 f'trained/epoch_1.pth --cfg-options max_epochs=2 '
                 f'visualizer.name={tmp_path}')
    said = expected['checkpoints']['trained/epoch_1.pth']
    found = read_set.inspect(f'{tmp_path}/epoch_2.pth')
    assert (found['epoch'], found['iter']) == (2, 2 * said['iter'])
    for key in ('kind', 'class_names', 'folding', 'can_fold_other_texts'):
        assert found[key] == said[key]
    _, *words = read_set.AFTER_TRAINING[0].split()
    words[:3] = f'{tmp_path}/epoch_2.pth --out {tmp_path}/edited.pth'.split()
    read_set.run(f'edit {" ".join(words)}')
    edited = read_set.inspect(f'{tmp_path}/edited.pth')
    assert edited['class_names'] == expected['checkpoints']['trained.pth'][
        'class_names']


def test_commands_take_the_arguments_that_they_took(expected):
    found = read_set.arguments()
    for command, said in expected['arguments'].items():
        more = found[command]['others'][len(said['others']):]
        assert len(found[command]['others']) - len(more) == len(
            said['others'])
        assert not any(each['required'] for each in more)
        pairs = [(command, *pair) for pair in zip(
            found[command]['others'], said['others'])]
        for word, before in said['options'].items():
            assert word in found[command]['options'], f'{command} {word}'
            pairs.append((f'{command} {word}',
                          found[command]['options'][word], before))
        for what, now, before in pairs:
            # One that need not be given takes one all the same.
            assert now['nargs'] == before['nargs'] or (
                now['nargs'], before['nargs']) == ('?', None), what
            assert now['required'] <= before['required'], what
            assert bool(now['choices']) <= bool(before['choices']), what
            assert not now['choices'] or (
                {*before['choices']} <= {*now['choices']}), what
        for word, now in found[command]['options'].items():
            assert not now['required'] or word in said['options'], word
    tools = {path.name for path in (REPOSITORY / 'tools').iterdir()}
    assert {*expected['tools']} <= tools


def test_modules_and_names_are_where_they_were(expected):
    missing = set()
    for module, names in expected['names'].items():
        for name in ('', *names):
            try:
                found = import_module(module)
                if name:
                    getattr(found, name)
            except (AttributeError, ImportError):
                missing.add(f'{module}:{name}' if name else module)
                if not name:
                    break
    assert sorted(missing - LEFT) == []
    assert sorted(LEFT - missing) == []
