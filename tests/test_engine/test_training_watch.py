"""A training that diverges ends, and one without boxes says so."""
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.hooks import Hook
from mmengine.logging import MessageHub
from tiny_training import (
    CONFIG,
    arguments,
    build_model,
    checkpoint_of,
    tiny_config,
    write_images,
)

from yolo_world_rep.engine import CPUAmpOptimWrapper, launch
from yolo_world_rep.engine.hooks import DivergedError
from yolo_world_rep.engine.hooks.training_watch_hook import TrainingWatchHook

SLOW = dict(max_epochs=3, **{'default_hooks.checkpoint.max_keep_ckpts': 1})


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp('data')
    write_images(root)
    torch.save(checkpoint_of(build_model(tiny_config(root, root))),
               root / 'rep_conv.pth')
    return root


@pytest.fixture
def said(monkeypatch):
    """What the hook logs."""
    texts = []
    monkeypatch.setattr(
        'yolo_world_rep.engine.hooks.training_watch_hook.log',
        lambda text, level: texts.append(text))
    return texts


class Spoils(Hook):
    """From the second epoch on, the loss of the step to come is NaN."""

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.epoch == 1:
            next(runner.model.parameters()).data.fill_(float('nan'))


def files(folder):
    return sorted(path.name for path in folder.glob('*.pth'))


def test_what_is_not_finite_ends_the_training_and_is_not_saved(
        data, tmp_path, said):
    """At the end of the epoch at the latest."""
    cfg = tiny_config(data, tmp_path, **SLOW)
    runner = launch.build_runner(cfg)
    runner.register_hook(Spoils())
    with pytest.raises(DivergedError, match='The weights are not finite any '
                       r'more \(step 4, epoch 2, learning') as caught:
        launch.train(runner)
    assert ', without `amp`): the training diverged' in str(caught.value)
    assert str(caught.value).endswith(
        f'The last good checkpoint is {tmp_path}/epoch_1.pth. Train again '
        f'with a lower learning rate, such as 2e-05')
    assert said == []
    assert caught.value.lr == 2e-5
    # Neither pruned nor written over, and what is named as last is there.
    assert 'epoch_1.pth' in files(tmp_path)
    assert (tmp_path / 'last_checkpoint').read_text().endswith('epoch_1.pth')
    assert 'epoch_2.pth' not in files(tmp_path)
    for path in tmp_path.glob('*.pth'):
        saved = torch.load(path, weights_only=False)['state_dict']
        assert all(tensor.isfinite().all() for tensor in saved.values())


def test_a_few_bad_steps_are_no_fault():
    """As mixed precision has them while its scale falls."""
    model = torch.nn.Linear(1, 1)
    runner = SimpleNamespace(
        model=model, iter=0, epoch=0, message_hub=MessageHub('watch'),
        cfg=ConfigDict(optim_wrapper=dict(optimizer=dict(lr=1e-3))),
        optim_wrapper=CPUAmpOptimWrapper(optimizer=torch.optim.SGD(
            model.parameters(), 1.)))
    hook = TrainingWatchHook(patience=3)
    hook.before_train_epoch(runner)
    good, bad = (dict(loss=torch.tensor(value)) for value in (1., torch.inf))
    for step in (bad, bad, good, bad, bad, good):
        hook.after_train_iter(runner, 0, outputs=step)
    for step in (bad, bad):
        hook.after_train_iter(runner, 0, outputs=step)
    with pytest.raises(DivergedError) as caught:
        hook.after_train_iter(runner, 0, outputs=bad)
    assert str(caught.value) == (
        'The loss was not finite in 3 steps in a row (step 1, epoch 1, '
        'learning rate 1, with `amp`): the training diverged. The last good '
        'checkpoint is what it began with. Train again with a lower learning '
        'rate, such as 0.0001, or without `amp`')


def test_an_epoch_in_which_no_box_was_matched_is_told_once(tmp_path, said):
    root = tmp_path / 'data'
    write_images(root)
    path = root / 'annotations.json'
    content = json.loads(path.read_text())
    for box in content['annotations']:
        box['iscrowd'] = 1
    path.write_text(json.dumps(content))
    cfg = tiny_config(root, tmp_path / 'run', use_mask2refine=False,
                      val_evaluator=None, val_cfg=None, val_dataloader=None)
    torch.save(checkpoint_of(build_model(cfg)), root / 'rep_conv.pth')
    launch.train(launch.build_runner(cfg))
    text, = said
    assert text.startswith(
        'No box was matched in epoch 1: the model learns from background '
        'alone. 0 boxes were in its images; all are likely left out by the '
        'pipeline: of categories that class_names has not, crowds, ')


def test_without_a_better_ap_it_stops_as_if_it_were_done(data, tmp_path):
    cfg = tiny_config(data, tmp_path, max_epochs=5, **{
        'default_hooks.early_stopping': dict(
            type='EarlyStoppingHook', monitor='coco/bbox_mAP', rule='greater',
            min_delta=0.001, patience=1)})
    runner = launch.build_runner(cfg)
    done = []
    runner.register_hook(type('Done', (Hook, ), dict(
        after_train=lambda self, runner: done.append(runner.epoch)))())
    launch.train(runner)
    assert done == [2]
    assert 'epoch_2.pth' in files(tmp_path)


def test_a_rate_that_is_far_too_high(data, tmp_path, capsys, monkeypatch):
    """One line with a command, in which the rate is lower, and status 2."""
    # It formats the config with yapf for a second, again and again.
    monkeypatch.setattr('yapf.yapflib.yapf_api.FormatCode',
                        lambda text, **_: (text, True))
    from yolo_world_rep_cli.main import main
    with pytest.raises(SystemExit) as ended:
        main(['train', str(CONFIG), '--device', 'cpu', '--work-dir',
              str(tmp_path / 'run'),
              *arguments(data, base_lr=1e30, max_epochs=12)])
    assert ended.value.code == 2
    line, = [line for line in capsys.readouterr().err.splitlines()
             if line.startswith('error: ')]
    assert 'without --amp): the training diverged. ' in line
    again = line.partition('such as 0.0002: ')[2]
    assert again.startswith(f'yolo-world-rep train {CONFIG} --device cpu ')
    assert again.endswith(
        f'--work-dir {tmp_path}/run_lr0.0002 --cfg-options '
        f'optim_wrapper.optimizer.lr=0.0002')
