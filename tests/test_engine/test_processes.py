"""Several processes without GPUs train and test as one would."""
import json
import os
import subprocess
import sys
from pathlib import Path

import gloo_processes as processes
import pytest
import torch
from tiny_training import (
    build_model,
    checkpoint_of,
    options,
    read_config,
    write_images,
)

from yolo_world_rep.engine import launch, resolve_variables

LEARNING_RATE = 0.1  # of gloo_processes.py
IMAGES = 5  # not a multiple of the processes
TESTS = Path(__file__).resolve().parents[1]


def tiny_model(root: Path) -> torch.nn.Module:
    cfg = read_config()
    cfg.merge_from_dict(options(root))
    return build_model(resolve_variables(cfg)[0])


def enlarge_boxes(path: Path) -> None:
    """Boxes that an untrained model's overlap: scores to normalize by."""
    content = json.loads(path.read_text())
    for number, row in enumerate(content['annotations']):
        side = 34 + 3 * number
        row.update(
            bbox=[0, 0, side, side],
            area=side**2,
            segmentation=[[0, 0, side, 0, side, side, 0, side]])
    path.write_text(json.dumps(content))


@pytest.fixture(
    scope='module', params=[2, pytest.param(4, marks=pytest.mark.slow)])
def ranks(request, tmp_path_factory):
    """The model, the data, and what every rank saw and became."""
    root = tmp_path_factory.mktemp('data')
    write_images(root, IMAGES)
    enlarge_boxes(root / 'annotations.json')
    model = tiny_model(root)
    torch.save(checkpoint_of(model), root / 'rep_conv.pth')
    path = os.pathsep.join([str(TESTS), str(TESTS.parent)])
    done = subprocess.run(
        [
            sys.executable, '-m', 'torch.distributed.run', '--standalone',
            f'--nproc_per_node={request.param}',
            str(TESTS / 'gloo_processes.py'),
            str(root), str(root)
        ],
        env={
            **os.environ, 'PYTHONPATH': path,
            'OMP_NUM_THREADS': '1',
            'NO_ALBUMENTATIONS_UPDATE': '1'
        },
        capture_output=True,
        text=True)
    assert done.returncode == 0, done.stderr[-6000:]
    return model, root, [
        torch.load(root / f'rank{rank}.pth', weights_only=False)
        for rank in range(request.param)
    ]


def gradients(model, state, batch, fixed=False):
    """Of the loss of a batch in one process, by hand."""
    model.load_state_dict(state)
    model.train().zero_grad()
    if fixed:
        processes.FixedStatistics().before_train_iter(
            type('Runner', (), dict(model=model)), 0)
    data = model.data_preprocessor(batch, training=True)
    losses = model(**data, mode='loss')
    loss, _ = model.parse_losses(losses)
    loss.backward()
    return {k: p.grad.clone() for k, p in model.named_parameters()}


def greatest_difference(before, after, expected):
    """Of a step and a gradient, relative to each parameter's gradient."""
    # Some tensors have next to no gradient, such as a bias before a norm.
    floor = 1e-4 * max(float(g.abs().max()) for g in expected.values())
    worst = 0.
    for key, gradient in expected.items():
        found = (before[key] - after[key]) / LEARNING_RATE
        # A parameter is rounded when the step is added to it.
        rounding = float(before[key].abs().max()) * 2**-23 / LEARNING_RATE
        difference = float((found - gradient).abs().max()) - rounding
        size = max(float(gradient.abs().max()), floor)
        worst = max(worst, difference / size)
    return worst


def added(*gradients_of_ranks):
    return {
        key: sum(gradients[key] for gradients in gradients_of_ranks)
        for key in gradients_of_ranks[0]
    }


def test_ranks_see_other_images_and_stay_the_same_model(ranks):
    _, _, (first, *others) = ranks
    for second in others:
        assert len(first['steps']) == len(second['steps']) > 2
        for one, other in zip(first['steps'], second['steps']):
            assert not torch.equal(one['batch']['inputs'],
                                   other['batch']['inputs'])
            for key, tensor in one['state'].items():
                if 'running' not in key:  # of a rank's own images
                    assert torch.equal(tensor, other['state'][key]), key
        # After the epoch these are shared, in the average too: what ranks
        # validate is what is saved.
        for name in ('state', 'averaged'):
            for key, tensor in first[name].items():
                torch.testing.assert_close(
                    second[name][key], tensor, rtol=1e-6, atol=0)
    # The wrong twin: without the hook, they stay apart.
    last, other = (rank['steps'][-1]['state'] for rank in (first, second))
    assert any(not torch.equal(last[k], other[k]) for k in last
               if 'running_var' in k)


def test_every_image_is_seen_once_an_epoch(ranks):
    _, _, found = ranks
    epochs = []
    for number in range(2):
        seen = [index for rank in found for index in rank['orders'][number]]
        assert set(seen) == set(range(IMAGES))
        # So that all ranks take as many steps, the first come again.
        assert len(seen) == -(-IMAGES // len(found)) * len(found)
        epochs.append(seen)
    assert epochs[0] != epochs[1]


def test_a_step_is_the_sum_of_the_ranks_own(ranks):
    # mmyolo's head multiplies its loss by the number of processes, and the
    # gradients are averaged over them.
    model, _, found = ranks
    before, after = (step['state'] for step in found[0]['steps'][:2])
    own = [
        gradients(model, rank['steps'][0]['state'], rank['steps'][0]['batch'])
        for rank in found
    ]
    assert greatest_difference(before, after, added(*own)) < 1e-4
    # The wrong twin: a rank on its own takes quite another step.
    assert greatest_difference(before, after, own[0]) > 0.2


def test_globally_normalized_a_step_is_that_of_one_process(ranks):
    model, _, found = ranks
    before, after = (step['state'] for step in found[0]['fixed'][:2])
    batches = [rank['fixed'][0]['batch'] for rank in found]
    rows = []
    for number, batch in enumerate(batches):
        boxes = batch['data_samples']['bboxes_labels'].clone()
        boxes[:, 0] += number  # one image a rank
        rows.append(boxes)
    whole = dict(
        inputs=torch.cat([batch['inputs'] for batch in batches]),
        data_samples=dict(bboxes_labels=torch.cat(rows)))
    scores = []
    handle = model.bbox_head.assigner.register_forward_hook(
        lambda module, inputs, assigned: scores.append(
            float(assigned['assigned_scores'].sum())))
    expected = gradients(model, before, whole, fixed=True)
    handle.remove()
    assert scores[0] > 1  # less counts as 1
    assert greatest_difference(before, after, expected) < 1e-4
    # The wrong twin: mmyolo's own normalization.
    own = [gradients(model, before, batch, fixed=True) for batch in batches]
    assert greatest_difference(before, after, added(*own)) > 1e-3


def test_metrics_are_those_of_the_whole_set(ranks):
    _, root, found = ranks
    out = root / 'single'
    out.mkdir(exist_ok=True)
    cfg = processes.test_config(root, out, 'none')
    single = launch.build_runner(cfg).test()
    assert 0.1 < single['coco/bbox_mAP'] < 0.9
    for rank in found:
        assert rank['metrics'] == single
    # The wrong twin: the metrics of a part are others.
    cfg.test_dataloader.dataset.indices = 3
    assert launch.build_runner(cfg).test() != single
