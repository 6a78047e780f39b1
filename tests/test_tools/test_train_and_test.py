"""tools/train.py and tools/test.py as a user starts them."""
import json
import math
import os
import pickle
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny_training import (
    CONFIG,
    NAMES,
    arguments,
    build_model,
    checkpoint_of,
    losses,
    options,
    read_config,
    write_images,
)

from yolo_world_rep.engine import resolve_variables

REPOSITORY = Path(__file__).resolve().parents[2]
TOOLS = REPOSITORY / 'tools'


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp('data')
    write_images(root)
    cfg = read_config()
    cfg.merge_from_dict(options(root))
    model = build_model(resolve_variables(cfg)[0])
    torch.save(checkpoint_of(model), root / 'rep_conv.pth')
    return root


@pytest.fixture
def run(monkeypatch, capsys):
    """Run a command in this process: exit status and standard error."""

    # It formats the config with yapf for a second, again and again.
    monkeypatch.setattr('yapf.yapflib.yapf_api.FormatCode',
                        lambda text, **_: (text, True))
    # mmengine's loggers keep streams that pytest has closed since.
    monkeypatch.setattr('logging.raiseExceptions', False)

    def run_tool(name, *words):
        monkeypatch.setattr(sys, 'argv', [name, *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(TOOLS / name), run_name='__main__')
        run_tool.out, err = capsys.readouterr()
        return ended.value.code, err

    return run_tool


def last_line_is_one_error(err: str) -> str:
    lines = [line for line in err.splitlines() if line.startswith('error: ')]
    assert len(lines) == 1
    assert 'Traceback' not in err
    return lines[0]


@pytest.mark.parametrize(('words', 'expected'), [
    (['--cfg-options', 'optim_wrapper.type=AmpOptimWrapper'], 'needs a GPU'),
    (['--launcher', 'mpi'], 'mpi needs GPUs'),
    (['--resume', 'gone.pth'], 'gone.pth: no such file'),
    ([], 'data/coco/annotations/instances_train2017.json'),
    (['--cfg-options', 'train_cfg.max_epochs=3'], 'param_scheduler'),
    (['--cfg-options', 'num_classes=3', 'class_names=a,b'],
     '2 name(s) and the model num_classes=3'),
])
def test_mistakes_end_with_one_line_and_status_2(run, monkeypatch, tmp_path,
                                                 words, expected):
    if torch.cuda.is_available():
        pytest.skip('about machines without a GPU')
    monkeypatch.chdir(tmp_path)
    status, err = run('train.py', CONFIG, *words)
    assert status == 2
    assert expected in last_line_is_one_error(err)
    assert list(tmp_path.iterdir()) == []


def test_train_then_test(run, data, tmp_path):
    work_dir = tmp_path / 'train'
    status, _ = run('train.py', CONFIG, '--work-dir', work_dir,
                    *arguments(data, max_epochs=1))
    assert status == 0
    checkpoint = work_dir / 'epoch_1.pth'
    # The terminal has the gist, the file everything.
    lines = run.out.splitlines()
    assert [line.split()[0] for line in lines] == [
        'model', 'train', 'val', 'device', 'work', 'training', 'epoch',
        'best', 'last', 'log', 'export']
    assert re.match(r'epoch +1/1  loss \d+\.\d+  AP \d\.\d+ .* left$',
                    lines[6])
    assert f'{checkpoint}' in lines[8]
    log = Path(lines[9].split()[1]).read_text()
    for part in ('Config: num_classes=3, was 80', 'System environment',
                 'optim_wrapper', 'paramwise_options', 'Epoch(train)',
                 'index created!', 'coco/bbox_mAP_50', 'UserWarning'):
        assert part in log
    dumped = read_config().fromfile(work_dir / CONFIG.name)
    assert dumped.model.bbox_head.head_module.num_classes == 3

    status, _ = run('test.py', CONFIG, checkpoint, '--work-dir',
                    tmp_path / 'test', '--out', tmp_path / 'boxes.pkl',
                    '--show-dir', 'drawn',
                    *arguments(data))
    assert status == 0
    assert run.out.splitlines()[0].endswith(f', from {checkpoint}')
    assert re.search(r'^AP50 +\d\.\d+$', run.out, re.M)
    assert len(run.out.splitlines()) < 12
    with open(tmp_path / 'boxes.pkl', 'rb') as file:
        results = pickle.load(file)
    assert len(results) == 4
    found = results[0]['pred_instances']
    assert [NAMES[i] for i in found['labels']] == list(found['label_names'])
    assert len(list((tmp_path / 'test').glob('*/drawn/*.png'))) == 4

    status, _ = run('test.py', CONFIG, checkpoint, '--work-dir',
                    tmp_path / 'json', '--json-prefix', tmp_path / 'boxes',
                    *arguments(data))
    assert status == 0
    boxes = json.loads((tmp_path / 'boxes.bbox.json').read_text())
    assert {box['category_id'] for box in boxes} <= {1, 2, 3}


@pytest.fixture
def spoilt(data, tmp_path) -> Path:
    """The data with a truncated image, one without boxes and an idle class.

    The whole images are in clean.json.
    """
    root = tmp_path / 'spoilt'
    shutil.copytree(data, root)
    path = root / 'annotations.json'
    content = json.loads(path.read_text())
    boxes = [row for row in content['annotations']
             if row['image_id'] != 2 and row['category_id'] != 3]
    assert {row['image_id'] for row in boxes} == {1, 3, 4}
    content['annotations'] = boxes
    path.write_text(json.dumps(content))
    content['images'] = content['images'][1:]
    content['annotations'] = [r for r in boxes if r['image_id'] != 1]
    (root / 'clean.json').write_text(json.dumps(content))
    image = root / 'images' / '000.png'
    image.write_bytes(image.read_bytes()[:200])
    return root


def test_a_bad_image_is_named_in_one_line(run, spoilt, tmp_path):
    words = ['train.py', CONFIG, '--work-dir', tmp_path / 'run']
    more = dict(
        max_epochs=1,
        # Read by another process, whose errors come with a traceback.
        train_num_workers=1,
        persistent_workers=False,
        val_ann_file='clean.json')
    status, err = run(*words, *arguments(spoilt, **more))
    assert status == 2
    line = last_line_is_one_error(err)
    assert str(spoilt / 'images' / '000.png') in line
    assert '--skip-unreadable' in line


def test_bad_and_empty_images_and_idle_classes_do_not_end_a_training(
        run, spoilt, tmp_path):
    work_dir = tmp_path / 'run'
    status, err = run(
        'train.py', CONFIG, '--work-dir', work_dir, '--skip-unreadable',
        *arguments(
            spoilt,
            max_epochs=2,
            close_mosaic_epochs=1,  # one epoch with mosaic, one without
            train_batch_size_per_gpu=1,
            val_ann_file='clean.json'))
    assert status == 0
    steps = losses(work_dir)
    assert len(steps) == 8
    assert all(math.isfinite(row['loss']) for row in steps)
    # An image alone without a box: nothing to place, much to keep silent on.
    empty = [row for row in steps[4:] if row['loss_bbox'] == 0]
    assert empty
    assert all(row['loss_cls'] > 0 for row in empty)
    assert '1 file(s) so far' in next(work_dir.glob('*/*.log')).read_text()
    assert '1 file(s) so far' in run.out  # a warning is seen as well
    log, = work_dir.glob('*/vis_data/scalars.json')
    scores = [json.loads(line) for line in log.read_text().splitlines()]
    assert scores[-1]['coco/bbox_mAP'] >= 0


def test_test_averages_over_augmentations(run, data, tmp_path):
    status, _ = run('test.py', CONFIG, data / 'rep_conv.pth', '--work-dir',
                    tmp_path, '--tta', '--verbose', *arguments(data))
    assert status == 0
    assert 'coco/bbox_mAP_50: ' in run.out  # as mmengine has it
    assert '\nAP50 ' not in run.out


def test_test_refuses_other_results_than_pickles(run, data):
    status, err = run('test.py', CONFIG, data / 'rep_conv.pth', '--out',
                      'boxes.json')
    assert status == 2
    assert '.pkl' in last_line_is_one_error(err)


@pytest.mark.parametrize('name', ['dist_train.sh', 'dist_test.sh'])
def test_shell_commands_say_how_they_are_used(name):
    done = subprocess.run([TOOLS / name], capture_output=True, text=True)
    assert done.returncode == 2
    assert 'usage' in done.stderr


@pytest.mark.slow
def test_shell_commands_train_and_test_in_two_processes(data, tmp_path):
    environment = {
        **os.environ, 'PYTHON': sys.executable,
        'PORT': '29617',
        'OMP_NUM_THREADS': '1'
    }

    def shell(name, *words):
        done = subprocess.run([TOOLS / name, *map(str, words)],
                              env=environment, cwd=tmp_path, text=True,
                              capture_output=True)
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout + done.stderr

    main = [sys.executable, '-m', 'yolo_world_rep_cli', 'train', CONFIG]
    done = subprocess.run(
        [*map(str, main), '--device', 'cpu,cpu', '--work-dir', tmp_path,
         *arguments(data, max_epochs=1)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert 'cpu, 2 processes' in done.stdout
    assert done.stdout.count('\nepoch ') == 1
    shell('dist_train.sh', CONFIG, 2, '--work-dir', tmp_path,
          *arguments(data, max_epochs=1))
    text = shell('dist_test.sh', CONFIG, tmp_path / 'epoch_1.pth', 2,
                 '--work-dir', tmp_path / 'test', *arguments(data))
    assert 'cpu, 2 processes' in text
    assert text.count('\nAP ') == 1


@pytest.mark.slow
def test_a_killed_rank_ends_the_shell_command(data, tmp_path):
    tests = REPOSITORY / 'tests'
    config = tmp_path / 'killed.py'
    config.write_text(
        f'_base_ = [{str(CONFIG)!r}]\n'
        f'custom_imports = dict(\n'
        f'    imports=["yolo_world_rep", "dying_trainings"])\n'
        f'default_hooks = dict(killed=dict(type="KilledRank"))\n')
    done = subprocess.run(
        [
            TOOLS / 'dist_train.sh', config, '2', '--work-dir', tmp_path,
            *arguments(data, train_batch_size_per_gpu=1)
        ],
        env={
            **os.environ, 'PYTHON': sys.executable,
            'PYTHONPATH': str(tests),
            'PORT': '29619',
            'OMP_NUM_THREADS': '1'
        },
        capture_output=True,
        text=True,
        timeout=300)
    assert done.returncode == 1, done.stderr[-2000:]
    assert 'Signal 9 (SIGKILL) received' in done.stderr
    # Either torchrun ended it, or it noticed first.
    assert ('SIGTERM' in done.stderr
            or 'Process 0 of 2 lost another one' in done.stderr)
    assert not list(tmp_path.glob('epoch_*.pth'))


@pytest.mark.slow
def test_tasks_of_slurm_train_together(data, tmp_path):
    command = [
        sys.executable, TOOLS / 'train.py', CONFIG, '--launcher', 'slurm',
        '--work-dir', tmp_path, *arguments(data, max_epochs=1)
    ]
    environment = {
        **os.environ, 'PYTHONPATH': str(REPOSITORY),
        'OMP_NUM_THREADS': '1',
        'MASTER_ADDR': '127.0.0.1',
        'MASTER_PORT': '29621',
        'SLURM_NTASKS': '2'
    }
    tasks = [
        subprocess.Popen(
            list(map(str, command)),
            env={
                **environment, 'SLURM_PROCID': task,
                'SLURM_LOCALID': task
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True) for task in '01'
    ]
    texts = [task.communicate(timeout=300)[0] for task in tasks]
    assert [task.returncode for task in tasks] == [0, 0], texts[0][-2000:]
    assert (tmp_path / 'epoch_1.pth').exists()
    assert 'cpu, 2 processes' in texts[0]
    assert texts[1] == ''
