"""Settings that override a config's: what nothing reads is refused."""
import pytest
from mmengine.config import Config

from yolo_world_rep.config.options import with_options

CFG = Config(
    dict(max_epochs=40, train_cfg=dict(type='EpochBasedTrainLoop',
                                       max_epochs=40),
         train_dataloader=dict(batch_size=16, dataset=dict(type='D')),
         custom_hooks=[dict(type='EMAHook')],
         default_hooks=dict(checkpoint=dict(interval=5))))


@pytest.mark.parametrize(('key', 'message'), [
    ('max_epoch', 'the config has no max_epoch, but max_epochs'),
    ('xyzzy', 'has no xyzzy, and nothing reads it'),
    ('load_form', 'but load_from'),
    ('train_cfg.max_epoch', 'train_cfg has no max_epoch, but max_epochs'),
    ('train_dataloader.batchsize', 'but batch_size'),
    ('default_hooks.checkpiont.interval', 'but checkpoint'),
])
def test_what_nothing_reads_is_refused(key, message):
    with pytest.raises(ValueError, match=f'`cfg_options` {key}: .*{message}'):
        with_options(CFG, {key: 1})


@pytest.mark.parametrize('key', [
    'max_epochs', 'randomness.seed', 'env_cfg.cudnn_benchmark', 'load_from',
    'train_dataloader.num_workers', 'train_dataloader.dataset.indices',
    'custom_hooks.0.momentum', 'default_hooks.mine.interval',
    'find_unused_parameters', 'visualizer.name', 'val_dataloader.batch_size'])
def test_what_a_runner_reads_is_set(key):
    before = CFG.to_dict()
    made = with_options(CFG, {key: 3})
    node = made
    for part in key.split('.'):
        node = node[int(part) if part.isdigit() else part]
    assert node == 3
    assert CFG.to_dict() == before
