"""From annotations and a folded checkpoint to a trained model."""
import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from own_data import (
    NAMES,
    change,
    folded_checkpoint,
    save_text_checkpoint,
    write_data,
)

import yolo_world_rep

TOOLS = Path(__file__).resolve().parents[2] / 'tools'


@pytest.fixture
def world(tmp_path):
    root = tmp_path / 'world'
    write_data(root)
    return root


def words(root, out, *more):
    return [
        '--data', root, '--train-ann', 'train/annotations.json', '--val-ann',
        'val/annotations.json', '--checkpoint', root / 'rep_conv.pth',
        '--out', out, *more
    ]


@pytest.fixture
def run(monkeypatch, capsys):
    """Run a command in this process: exit status, output, errors."""

    def run_tool(name, *arguments):
        monkeypatch.setattr(sys, 'argv', [name, *map(str, arguments)])
        capsys.readouterr()  # what making the checkpoint logged
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(TOOLS / name), run_name='__main__')
        return ended.value.code, *capsys.readouterr()

    return run_tool


def test_summary_says_what_was_found_and_what_to_run(run, world, tmp_path):
    torch.save(folded_checkpoint(), world / 'rep_conv.pth')
    change(world / 'train' / 'annotations.json',
           lambda c: c['annotations'][0].update(bbox=[1, 1, 0, 5]))
    out = tmp_path / 'my.py'
    status, shown, errors = run(
        'new_config.py', *words(world, out, '--size', 's', '--recipe',
                                'neck-head', '--lr-mult', 'guides=0.5',
                                '--gpus', '2', '--batch', '1'))
    assert (status, errors) == (0, '')
    for part in (*NAMES, 'less than a pixel', 'no masks',
                 f'yolo-world-rep train {out} --device 0,1',
                 'steps of 2 images'):
        assert part in shown
    cfg = Config.fromfile(out)
    assert cfg.optim_wrapper.paramwise_cfg.lr_mults == {
        'neck.*.attn_block.guide_*': 0.5
    }


@pytest.mark.parametrize(('more', 'message'), [
    (['--size', 'l'], 'is of size s, and --size is l'),
    (['--img-size', '100'], 'multiples of 32'),
    (['--lr-mult', 'neck'], 'expected PART=FACTOR'),
    (['--lr-mult', 'spine=1'], "'spine'; expected one of"),
    (['--recipe', 'head', '--lr-mult', 'neck=2'], 'freezes it'),
    (['--gpus', '0'], 'gpus=0; expected a positive number'),
    (['--train-img', 'gone'], '--train-img gone: neither'),
])
def test_mistakes_end_with_one_line_and_status_2(run, world, tmp_path, more,
                                                 message):
    torch.save(folded_checkpoint(), world / 'rep_conv.pth')
    before = sorted(tmp_path.iterdir())
    status, _, errors = run('new_config.py',
                            *words(world, tmp_path / 'my.py', *more))
    assert status == 2
    line, = errors.splitlines()
    assert line.startswith('error: ')
    assert message in line
    assert sorted(tmp_path.iterdir()) == before


def test_report_of_no_work_dir(run, tmp_path):
    status, _, errors = run('report.py', tmp_path)
    assert (status, len(errors.splitlines())) == (2, 1)
    assert 'holds no config' in errors


@pytest.mark.slow
def test_new_config_then_train_is_all(tmp_path):
    """Words, a text-conditioned model, and then what the docs say."""
    from yolo_world_rep.text import save_embeddings
    from yolo_world_rep.text.words import WordEncoder
    root = tmp_path / 'world'
    write_data(root, 24, 6, size=96)
    save_text_checkpoint(tmp_path / 'text.pth')
    save_embeddings(tmp_path / 'names.npy', WordEncoder(512).encode(NAMES),
                    NAMES, encoder='WordEncoder')
    environment = dict(
        os.environ,
        OMP_NUM_THREADS='1',
        PYTHONPATH=str(Path(yolo_world_rep.__file__).parents[1]))

    def tool(name, *arguments):
        done = subprocess.run(
            [sys.executable, TOOLS / name, *map(str, arguments)],
            cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    tool('reparameterize_yoloworld.py', '--model', 'text.pth',
         '--text-embed', 'names.npy', '--out-dir', '.')
    shown = tool(
        'new_config.py', '--data', 'world', '--train-ann',
        'train/annotations.json', '--val-ann', 'val/annotations.json',
        '--checkpoint', 'text_rep_conv.pth', '--size', 's', '--out', 'my.py',
        '--img-size', '96', '--batch', '4', '--epochs', '8', '--lr', '2e-3')
    assert 'yolo-world-rep train my.py' in shown
    tool('train.py', 'my.py')

    work_dir = tmp_path / 'work_dirs' / 'my'
    page = (work_dir / 'report' / 'report.md').read_text()
    after = next(line for line in page.splitlines()
                 if line.startswith('| after |'))
    before = next(line for line in page.splitlines()
                  if line.startswith('| before |'))
    assert float(before.split('|')[2]) < 0.01
    # From random weights, in 48 steps: it learns, no more.
    assert float(after.split('|')[2]) > 0.01
    log, = work_dir.glob('*/vis_data/scalars.json')
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    losses = [row['loss'] for row in rows if 'loss' in row]
    assert losses[-1] < losses[0]
