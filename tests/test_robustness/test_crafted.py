"""Checkpoints made to do harm, in every place that reads one."""
import contextlib
import io
import os
import re
import shutil
import time
from collections import deque
from pathlib import Path

import crafted_checkpoints
import pytest
import torch
from hostile import Marker, attempt
from hostile_checkpoints import NAMES, text_conditioned, texts
from tiny_training import (
    CONFIG,
    build_model,
    checkpoint_of,
    losses,
    options,
    read_config,
    write_images,
)

from yolo_world_rep.engine import launch, loading
from yolo_world_rep.reparam import convert_checkpoint, load_checkpoint
from yolo_world_rep.text import save_embeddings
from yolo_world_rep_cli.main import main

FILES = crafted_checkpoints.FILES
#: What each command that reads a checkpoint is called with; m.pth is it.
PLAIN = {
    'inspect': 'm.pth',
    'reparameterize': '--model m.pth --text-embed e.npy --out-dir out',
    'edit': 'm.pth --add e.npy --out out/x.pth',
    'interpolate': 'f.pth m.pth --alpha 0.5 --out out/x.pth',
    'convert-ultralytics': '--model m.pth --out out/x.pth',
    'new-config': '--data . --train-ann annotations.json --val-ann '
    'annotations.json --checkpoint m.pth --out out/x.py'
}
WITH_CONFIG = {
    'predict': 'c.py images/000.png --checkpoint m.pth --json out/r.json',
    'evaluate': 'c.py annotations.json images --checkpoint m.pth',
    'export': 'c.py m.pth --out out',
    'report': 'run --after m.pth',
    'retention': 'c.py --before m.pth --after m.pth --text-embed e.npy',
    'test': 'c.py m.pth --work-dir out',
    'train': 'c.py --work-dir out --cfg-options load_from=m.pth',
    'train ': 'c.py --work-dir out --resume m.pth'
}


@pytest.mark.parametrize('name', sorted(FILES))
def test_none_is_read(name, tmp_path):
    """By the reader of the commands or that of trainings."""
    path = tmp_path / 'm.pth'
    path.write_bytes(FILES[name](tmp_path / 'marker'))

    def refused(read, path):
        return attempt('crafted checkpoints', lambda: read(path), tmp_path,
                       names=['m.pth']) is None

    assert refused(load_checkpoint, path)
    # A training leaves a meta without an end aside.
    assert refused(loading.content_for_mmengine, str(path)) or (
        name in ('lists_of_lists', 'list_within_itself'))


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Data, a config, and a run of one epoch with its checkpoint."""
    root = tmp_path_factory.mktemp('crafted')
    write_images(root)
    save_embeddings(root / 'e.npy', texts(1, 5), ['owl'])
    torch.save(dict(state_dict=text_conditioned(), meta={}), root / 's.pth')
    save_embeddings(root / 'own.npy', texts(), NAMES)
    convert_checkpoint(root / 's.pth', root / 'own.npy', root).path.rename(
        root / 'f.pth')
    cfg = config(root, root / 'run', load_from=None)
    torch.save(checkpoint_of(build_model(cfg)), root / 'rep_conv.pth')
    cfg = config(root, root / 'run')
    launch.build_runner(cfg).train()
    cfg.dump(root / 'c.py')
    return root


def config(root, work_dir, resume=None, **more):
    return launch.config_for_training(
        read_config(), str(CONFIG), work_dir=str(work_dir), resume=resume,
        cfg_options=options(root, **{'max_epochs': 1,
                                     'visualizer.name': str(work_dir),
                                     **more}), cuda=False)


def command(words):
    """Its status and the lines that it ends with."""
    err = io.StringIO()
    with contextlib.redirect_stderr(err), contextlib.redirect_stdout(
            io.StringIO()), pytest.raises(SystemExit) as end:
        main(words)
    return end.value.code, [line for line in err.getvalue().splitlines()
                            if line.startswith('error: ')
                            or 'Traceback' in line]


@pytest.mark.parametrize(('name', 'words'), [
    *PLAIN.items(), *WITH_CONFIG.items()])
def test_every_command_ends_in_one_line(folder, monkeypatch, name, words):
    """Each with what broke something once, and with a share of the others.

    One function reads them for all, and refuses each in the test above.
    """
    monkeypatch.chdir(folder)
    marker = folder / 'marker'
    named = crafted_checkpoints.NAMED
    files = {*named, *sorted(FILES)[list(PLAIN).index(name)::len(PLAIN)]} if (
        name in PLAIN) else named[:4]  # these build models
    for file in files:
        Path('m.pth').write_bytes(FILES[file](marker))
        status, lines = command([name.strip(), *words.split()])
        assert status == 2, file
        assert len(lines) == 1, lines
        assert 'm.pth' in lines[0], lines
        assert not marker.exists(), file
        assert not Path('out', 'x.pth').exists(), file
    shutil.rmtree('out', ignore_errors=True)


def cost(words):
    """What a command takes: processor seconds, and MiB at its greatest."""
    Path('/proc/self/clear_refs').write_text('5')  # forget the greatest so far
    begin = time.process_time()
    ended = command(words)
    seconds = time.process_time() - begin
    status = Path('/proc/self/status').read_text()
    return ended, seconds, int(re.search(r'VmHWM:\s+(\d+)', status)[1]) / 1024


@pytest.mark.slow
@pytest.mark.parametrize(('name', 'words'), [
    *PLAIN.items(), *WITH_CONFIG.items()])
def test_every_command_on_every_file(folder, monkeypatch, name, words):
    """Little more is taken than for a checkpoint that somebody saved."""
    monkeypatch.chdir(folder)
    words = [name.strip(), *words.split()]
    for _ in range(2):  # the first imports
        shutil.copy('s.pth', 'm.pth')
        _, seconds, size = cost(words)
    worst = [0., 0.]
    for file, make in FILES.items():
        shutil.rmtree('out', ignore_errors=True)
        Path('m.pth').write_bytes(make(folder / 'marker'))
        (status, lines), *found = cost(words)
        assert (status, len(lines)) == (2, 1), (file, lines)
        assert not (folder / 'marker').exists(), file
        found = [found[0] - seconds, found[1] - size]
        assert found[0] < 5, (file, found)
        assert found[1] < 500, (file, found)
        worst = [max(pair) for pair in zip(worst, found)]
    print(f'{name}: at most {worst[0]:.1f} s and {worst[1]:.0f} MiB above '
          f'{seconds:.1f} s and {size:.0f} MiB')


def spoiled(folder, **changes):
    """The run's checkpoint with other parts."""
    content = torch.load(folder / 'run' / 'epoch_1.pth', weights_only=False)
    for name, value in changes.items():
        part, _, key = name.partition('__')
        if key:
            content[part][key] = value
        else:
            content[part] = value
    torch.save(content, folder / 'm.pth')
    return str(folder / 'm.pth')


@pytest.mark.parametrize('part', [
    'optimizer', 'message_hub', 'param_schedulers', 'message_hub__log_scalars',
    'optimizer__state', 'more'])
def test_code_in_what_a_training_goes_on_with(folder, tmp_path, part):
    """Refused where it is needed, not run where it is not."""
    marker = tmp_path / 'marker'
    path = spoiled(folder, **{part: Marker(marker)})
    cfg = config(folder, tmp_path / 'a', resume=path, max_epochs=2)
    with pytest.raises(ValueError, match='posix.mkdir.*`trust=True`'):
        launch.build_runner(cfg).train()
    found = loading.content_for_mmengine(path)
    assert found['state_dict'].keys() == torch.load(
        folder / 'run' / 'epoch_1.pth', weights_only=False)['state_dict'
                                                            ].keys()
    assert not marker.exists()


def test_code_in_a_meta_is_not_run(folder, tmp_path):
    """mmengine takes meta['config'] for a config, which is Python."""
    marker = tmp_path / 'marker'
    path = spoiled(
        folder, meta__config=f'import os\nos.mkdir({str(marker)!r})',
        meta__hook=Marker(marker))
    cfg = config(folder, tmp_path / 'a', resume=path, max_epochs=2)
    launch.build_runner(cfg).train()
    assert len(losses(tmp_path / 'a')) == 2
    assert not marker.exists()


def test_files_that_a_checkpoint_calls_its_best_are_not_removed(
        folder, tmp_path):
    """mmengine removes the last best one, wherever the file says it is."""
    precious = tmp_path / 'precious'
    precious.mkdir()
    hub = torch.load(folder / 'run' / 'epoch_1.pth',
                     weights_only=False)['message_hub']
    own = folder / 'best_x.pth'
    hub['runtime_info'].update(best_ckpt=str(precious), best_ckpt_a=str(own),
                               keep_ckpt_ids=['../x'])
    found = loading.content_for_mmengine(
        spoiled(folder, message_hub=hub))['message_hub']['runtime_info']
    assert 'best_ckpt' not in found
    assert 'keep_ckpt_ids' not in found
    assert found['best_ckpt_a'] == str(own)


def test_trust_is_what_runs_code(folder, tmp_path):
    """The files above would do harm, and what is unknown is resumed so."""
    marker = tmp_path / 'marker'
    path = spoiled(folder, more=Marker(marker), message_hub__resumed_keys={},
                   meta__queue=deque([1]))
    cfg = config(folder, tmp_path / 'a', resume=path, max_epochs=2)
    launch.build_runner(cfg, trust=True).train()
    assert marker.is_dir()
    os.rmdir(marker)
    with pytest.raises(ValueError, match='more holds what'):
        launch.build_runner(cfg).train()
    assert not marker.exists()


def test_the_same_objects_as_torch_loads(folder):
    """Of a training: with and without an average of its weights."""
    path = folder / 'run' / 'epoch_1.pth'
    found, expected = (loading.content_for_mmengine(str(path)),
                       torch.load(path, weights_only=False))
    assert same(found, expected), 'differ'
    assert found['state_dict']._metadata == expected['state_dict']._metadata


def same(found, expected):
    """Whether two values are equal, of the same types."""
    if type(found) is not type(expected):
        return False
    if isinstance(found, dict):
        return list(found) == list(expected) and all(
            same(found[key], expected[key]) for key in found)
    if isinstance(found, (list, tuple)):
        return len(found) == len(expected) and all(map(same, found, expected))
    if isinstance(found, torch.Tensor):
        return found.dtype == expected.dtype and torch.equal(found, expected)
    if hasattr(found, '_log_history'):
        return found.max_length == expected.max_length and all(
            (a == b).all() and a.dtype == b.dtype
            for a, b in zip(found.data, expected.data))
    return found == expected
