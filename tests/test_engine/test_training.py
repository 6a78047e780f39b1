"""Trainings with the real config, from the first to the last step."""
import copy
import json
import shutil
from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook
from tiny_training import (
    CONFIG,
    NAMES,
    build_model,
    checkpoint_of,
    losses,
    options,
    read_config,
    tiny_config,
    write_images,
)

from yolo_world_rep.engine import launch


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp('data')
    write_images(root)
    cfg = tiny_config(root, root / 'unused')
    torch.save(checkpoint_of(build_model(cfg)), root / 'rep_conv.pth')
    return root


@pytest.fixture(scope='module')
def unbroken(data, tmp_path_factory) -> Path:
    """A run of four epochs with a checkpoint of each."""
    work_dir = tmp_path_factory.mktemp('unbroken')
    cfg = tiny_config(data, work_dir, max_epochs=4)
    launch.build_runner(cfg).train()
    return work_dir


def test_run_evaluates_and_saves_with_the_origin(unbroken):
    assert len(losses(unbroken)) == 4 * 2
    saved = torch.load(unbroken / 'epoch_4.pth', weights_only=False)
    folded = saved['meta']['yolo_world_rep']
    assert folded['source'] == dict(sha256='0')
    assert folded['classes'] == NAMES
    assert saved['meta']['dataset_meta']['classes'] == NAMES


def test_resumed_run_goes_on_with_the_same_losses(data, unbroken, tmp_path):
    cfg = tiny_config(
        data, tmp_path, max_epochs=4, resume=str(unbroken / 'epoch_2.pth'))
    launch.build_runner(cfg).train()
    expected = losses(unbroken)[4:]
    found = losses(tmp_path)
    assert [row['step'] for row in found] == [5, 6, 7, 8]
    for name in ('loss', 'loss_cls', 'loss_bbox', 'loss_dfl', 'lr',
                 'grad_norm'):
        assert [row[name] for row in found] == pytest.approx(
            [row[name] for row in expected], rel=1e-4), name
    whole, resumed = (
        torch.load(folder / 'epoch_4.pth', weights_only=False)
        for folder in (unbroken, tmp_path))
    for key, tensor in whole['state_dict'].items():
        torch.testing.assert_close(
            resumed['state_dict'][key], tensor, rtol=1e-4, atol=1e-6, msg=key)
    assert resumed['meta']['yolo_world_rep'] == whole['meta'][
        'yolo_world_rep']


def test_without_the_seed_hook_a_resumed_run_sees_other_images(
        data, unbroken, tmp_path):
    # The wrong twin: what mmengine does by itself.
    cfg = tiny_config(
        data, tmp_path, max_epochs=4, resume=str(unbroken / 'epoch_2.pth'))
    del cfg.default_hooks.epoch_seed
    launch.build_runner(cfg).train()
    expected = [row['loss'] for row in losses(unbroken)[4:]]
    found = [row['loss'] for row in losses(tmp_path)]
    assert found != pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(('spoil', 'message'), [
    (lambda state: state['state'][0].update(
        exp_avg=torch.zeros(3, 5)), r'exp_avg of shape \(3, 5\) for a param'),
    (lambda state: state.update(param_groups=[{}]), 'it is none'),
])
def test_the_state_of_another_optimizer(data, unbroken, tmp_path, spoil,
                                        message):
    """Else the first step ends in torch's words, if it does."""
    content = torch.load(unbroken / 'epoch_2.pth', weights_only=False)
    first = next(iter(content['optimizer']['state']))
    content['optimizer']['state'][0] = content['optimizer']['state'][first]
    spoil(content['optimizer'])
    torch.save(content, tmp_path / 'spoiled.pth')
    cfg = tiny_config(data, tmp_path / 'run', max_epochs=4,
                      resume=str(tmp_path / 'spoiled.pth'))
    with pytest.raises(ValueError, match=f'state of its optimizer: {message}'):
        launch.build_runner(cfg).train()


def test_resuming_a_folded_file_is_refused(data, tmp_path):
    cfg = tiny_config(data, tmp_path, resume=str(data / 'rep_conv.pth'))
    with pytest.raises(ValueError, match='can be resumed.*load_from'):
        launch.build_runner(cfg).train()


def test_nothing_to_resume_is_refused(data, tmp_path):
    with pytest.raises(ValueError, match=f'is in {tmp_path}: leave it out'):
        tiny_config(data, tmp_path, resume='auto')


class Stops(Hook):

    def before_train_epoch(self, runner):
        if runner.epoch == 3:
            raise KeyboardInterrupt


def test_epochs_between_the_saved_ones_are_kept_as_the_last(data, tmp_path):
    """A training that ends at any moment loses one epoch at most."""
    more = dict(max_epochs=4, save_epoch_intervals=2,
                **{'default_hooks.checkpoint.max_keep_ckpts': 1,
                   'default_hooks.checkpoint.save_best': None})
    runner = launch.build_runner(tiny_config(data, tmp_path, **more))
    runner.register_hook(Stops())
    with pytest.raises(KeyboardInterrupt):
        launch.train(runner)

    def files():
        return sorted(path.name for path in tmp_path.glob('*.pth'))

    assert files() == ['epoch_2.pth', 'last.pth']
    cfg = tiny_config(data, tmp_path, resume='auto', **more)
    assert cfg.load_from == str(tmp_path / 'last.pth')
    launch.build_runner(cfg).train()
    assert files() == ['epoch_4.pth']
    rows = [json.loads(line)
            for path in tmp_path.glob('*/vis_data/scalars.json')
            for line in path.read_text().splitlines()]
    assert sorted(row['epoch'] for row in rows if 'loss' in row) == [
        1, 1, 2, 2, 3, 3, 4, 4]


def test_moved_work_dir_resumes_all_the_same(data, unbroken, tmp_path):
    moved = tmp_path / 'moved'
    moved.mkdir()
    shutil.copy(unbroken / 'epoch_4.pth', moved)
    (moved / 'last_checkpoint').write_text('/gone/epoch_4.pth')
    cfg = tiny_config(data, moved, resume='auto')
    assert cfg.load_from == str(moved / 'epoch_4.pth')


def test_half_a_checkpoint_ends_the_run(data, tmp_path):
    whole = torch.load(data / 'rep_conv.pth', weights_only=False)
    half = copy.deepcopy(whole)
    dropped = [k for k in half['state_dict'] if k.startswith('neck.')]
    for key in dropped:
        del half['state_dict'][key]
    torch.save(half, tmp_path / 'half.pth')
    cfg = tiny_config(data, tmp_path / 'run',
                      load_from=str(tmp_path / 'half.pth'))
    with pytest.raises(ValueError, match=r'are missing.*neck\.') as caught:
        launch.build_runner(cfg).train()
    assert 'fresh=' in str(caught.value)


def test_l2_head_in_the_file_is_recognized(data, tmp_path):
    l2 = torch.load(data / 'rep_conv.pth', weights_only=False)
    for key in [k for k in l2['state_dict'] if '.norm.' in k]:
        del l2['state_dict'][key]
    torch.save(l2, tmp_path / 'l2.pth')
    cfg = tiny_config(data, tmp_path / 'run',
                      load_from=str(tmp_path / 'l2.pth'))
    with pytest.raises(ValueError, match='use_bn_head=False'):
        launch.build_runner(cfg).train()


def test_boxes_without_masks_are_not_lost_silently(data, tmp_path):
    root = tmp_path / 'bare'
    write_images(root)
    path = root / 'annotations.json'
    content = json.loads(path.read_text())
    for box in content['annotations']:
        del box['segmentation']
    path.write_text(json.dumps(content))
    more = dict(
        data_root=str(root), load_from=str(data / 'rep_conv.pth'),
        max_epochs=1)
    with pytest.raises(ValueError, match='8 boxes.*use_mask2refine=False'):
        launch.build_runner(tiny_config(root, tmp_path / 'a', **more)).train()
    cfg = tiny_config(root, tmp_path / 'b', use_mask2refine=False, **more)
    runner = launch.build_runner(cfg)
    runner.train()
    dataset = runner.train_dataloader.dataset
    assert all(
        len(dataset[i]['data_samples'].gt_instances) > 0 for i in range(4))
    assert losses(tmp_path / 'b')[0]['loss_bbox'] > 0


def test_random_weights_are_refused_unless_meant(data, tmp_path):
    cfg = tiny_config(data, tmp_path / 'a', load_from=None)
    with pytest.raises(ValueError, match='from_scratch'):
        launch.build_runner(cfg).train()
    more = {'default_hooks.checkpoint_guard.from_scratch': True}
    cfg = tiny_config(
        data, tmp_path / 'b', load_from=None, max_epochs=1, **more)
    launch.build_runner(cfg).train()
    assert (tmp_path / 'b' / 'epoch_1.pth').exists()


def test_new_classes_with_a_fresh_head(data, tmp_path):
    # Another vocabulary: the guides stay, the rows of the head start anew.
    model = build_model(
        tiny_config(data, tmp_path, num_classes=5, class_names=None))
    old = checkpoint_of(model, names=('a', 'b', 'c', 'd', 'e'))
    torch.save(old, tmp_path / 'five.pth')
    more = {
        'load_from': str(tmp_path / 'five.pth'),
        'model.neck.guide_channels': 5,
        'model.neck.block_cfg.guide_channels': 5
    }
    cfg = tiny_config(data, tmp_path / 'refused', **more)
    with pytest.raises(ValueError, match='5 against 3 names'):
        launch.build_runner(cfg).train()
    more['default_hooks.checkpoint_guard.fresh'] = [
        'bbox_head.head_module.cls_contrasts'
    ]
    cfg = tiny_config(data, tmp_path / 'run', max_epochs=1, **more)
    launch.build_runner(cfg).train()
    saved = torch.load(tmp_path / 'run' / 'epoch_1.pth', weights_only=False)
    assert saved['meta']['yolo_world_rep']['classes'] == NAMES
    assert saved['meta']['yolo_world_rep']['num_classes'] == 3


def test_test_carries_names_and_refuses_what_training_may_leave_fresh(
        data, unbroken, tmp_path):
    args = dict(work_dir=str(tmp_path), cfg_options=options(data), cuda=False)
    cfg = read_config()
    checked = launch.config_for_test(cfg, str(CONFIG),
                                     str(unbroken / 'epoch_4.pth'), **args)
    runner = launch.build_runner(checked)
    metrics = runner.test()
    assert metrics['coco/bbox_mAP'] >= 0
    assert runner.model.dataset_meta['classes'] == NAMES

    saved = torch.load(unbroken / 'epoch_4.pth', weights_only=False)
    for key in list(saved['state_dict']):
        if 'cls_contrasts' in key:
            del saved['state_dict'][key]
    torch.save(saved, tmp_path / 'headless.pth')
    args['cfg_options']['default_hooks.checkpoint_guard.fresh'] = [
        'bbox_head.head_module.cls_contrasts'
    ]
    checked = launch.config_for_test(cfg, str(CONFIG),
                                     str(tmp_path / 'headless.pth'), **args)
    with pytest.raises(ValueError, match='are missing'):
        launch.build_runner(checked).test()
