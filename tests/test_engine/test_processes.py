"""Two processes without GPUs train as one process would."""
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny_training import (
    build_model,
    checkpoint_of,
    options,
    read_config,
    write_images,
)

from yolo_world_rep.engine import resolve_variables

LEARNING_RATE = 0.1  # of two_processes.py
TESTS = Path(__file__).resolve().parents[1]


def tiny_model(root: Path) -> torch.nn.Module:
    cfg = read_config()
    cfg.merge_from_dict(options(root))
    return build_model(resolve_variables(cfg)[0])


@pytest.fixture(scope='module')
def ranks(tmp_path_factory):
    """What both ranks saw and became in an epoch of two steps."""
    root = tmp_path_factory.mktemp('data')
    write_images(root)
    model = tiny_model(root)
    torch.save(checkpoint_of(model), root / 'rep_conv.pth')
    path = os.pathsep.join([str(TESTS), str(TESTS.parent)])
    done = subprocess.run(
        [
            sys.executable, '-m', 'torch.distributed.run',
            '--standalone', '--nproc_per_node=2',
            str(TESTS / 'test_engine' / 'two_processes.py'),
            str(root), str(root)
        ],
        env={
            **os.environ, 'PYTHONPATH': path,
            'OMP_NUM_THREADS': '1',
            'NO_ALBUMENTATIONS_UPDATE': '1'
        },
        capture_output=True,
        text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return model, [
        torch.load(root / f'rank{rank}.pth', weights_only=False)
        for rank in range(2)
    ]


def gradients(model, state, batch, scale):
    """Of the loss of one rank's batch, by hand."""
    model.load_state_dict(state)
    model.train().zero_grad()
    data = model.data_preprocessor(batch, training=True)
    losses = model(**data, mode='loss')
    loss, _ = model.parse_losses(losses)
    (loss * scale).backward()
    return {k: p.grad for k, p in model.named_parameters()}


def test_ranks_see_other_images_and_stay_the_same_model(ranks):
    _, (first, second) = ranks
    assert len(first) == len(second) == 4  # two steps, before and after
    for one, other in zip(first, second):
        assert not torch.equal(one['batch']['inputs'],
                               other['batch']['inputs'])
        for key, tensor in one['state'].items():
            if 'running' not in key:  # of a rank's own images
                assert torch.equal(tensor, other['state'][key]), key


def test_a_step_is_that_of_one_process_on_all_images(ranks):
    model, (first, second) = ranks
    # The head multiplies its loss by the number of processes, and the
    # gradients are averaged over them.
    mine, others = (
        gradients(model, rank[0]['state'], rank[0]['batch'], scale=2)
        for rank in (first, second))
    # Some tensors have next to no gradient, such as a bias before a norm.
    floor = 1e-4 * max(float(g.abs().max()) for g in mine.values())
    worst = twin = 0.
    for key, gradient in mine.items():
        start = first[0]['state'][key]
        found = (start - first[1]['state'][key]) / LEARNING_RATE
        # A parameter is rounded when the step is added to it.
        rounding = float(start.abs().max()) * 2**-23 / LEARNING_RATE
        size = max(float((gradient + others[key]).abs().max()) / 2, floor)
        both = (found - (gradient + others[key]) / 2).abs().max()
        worst = max(worst, float(both - rounding) / size)
        twin = max(twin, float((found - gradient).abs().max()) / size)
    assert worst < 1e-4, worst
    # The wrong twin: a rank on its own takes quite another step.
    assert twin > 0.2
