"""A config from data and a checkpoint: what it holds, and that it trains."""
import dataclasses
import json
import math

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import VISBACKENDS
from own_data import NAMES, arguments, change, folded_checkpoint, write_data

from yolo_world_rep.config import composition
from yolo_world_rep.config import new_config as new_config_module
from yolo_world_rep.config.composition import Wishes, palette
from yolo_world_rep.config.data_layouts import find_data
from yolo_world_rep.config.new_config import (
    launch_command,
    new_config,
    require_image_size,
)
from yolo_world_rep.config.own_data import read_own_data
from yolo_world_rep.engine import check_config, launch, resolve_variables
from yolo_world_rep.utils.configs import config_root

TINY = Wishes(size='s', image_size=(64, 64), batch_size=2, workers=0)


@pytest.fixture(scope='module')
def world(tmp_path_factory):
    """Data and a checkpoint that go together."""
    root = tmp_path_factory.mktemp('world')
    write_data(root)
    torch.save(folded_checkpoint(), root / 'rep_conv.pth')
    return root


def write(world, out, wishes=TINY, checkpoint='rep_conv.pth', **more):
    data = read_own_data(find_data(**{**arguments(world), **more}), out)
    return new_config(data, world / checkpoint, out, wishes)


def read(path):
    cfg, _ = resolve_variables(Config.fromfile(str(path)))
    check_config(cfg)
    object.__setattr__(cfg, '_format_python_code', False)
    return cfg


class TestContent:

    @pytest.fixture(scope='class')
    def cfg(self, world, tmp_path_factory):
        out = tmp_path_factory.mktemp('out') / 'my.py'
        result = write(world, out)
        assert result.text.count('\n') < 60
        assert max(map(len, result.text.splitlines()[3:])) < 120
        return read(out)

    def test_classes_are_everywhere(self, cfg):
        assert cfg.model.bbox_head.head_module.num_classes == 3
        assert cfg.model.neck.guide_channels == 3
        assert cfg.model.train_cfg.assigner.num_classes == 3
        for part in ('train', 'val', 'test'):
            meta = cfg[f'{part}_dataloader'].dataset.metainfo
            assert tuple(meta.classes) == NAMES
            assert len(meta.palette) == 3

    def test_files_are_those_of_the_data(self, cfg, world):
        launch.check_files(cfg, ('train_dataloader', 'val_dataloader',
                                 'test_dataloader'))
        for part, split in (('train', 'train'), ('val', 'val'),
                            ('test', 'val')):
            dataset = cfg[f'{part}_dataloader'].dataset
            assert dataset.data_root == f'{world}/'
            assert dataset.ann_file == f'{split}/annotations.json'
            assert dataset.data_prefix.img == f'{split}/'
        assert cfg.val_evaluator.ann_file == (
            f'{world}/val/annotations.json')
        assert cfg.load_from == str(world / 'rep_conv.pth')

    def test_detections_are_those_of_the_base(self, cfg):
        assert cfg.model.test_cfg.max_per_img == 300
        assert max(cfg.val_evaluator.proposal_nums) == 100

    def test_boxes_without_masks_are_kept(self, cfg):
        steps = {s['type']: s for s in cfg.train_dataloader.dataset.pipeline}
        assert not steps['LoadAnnotations'].mask2bbox
        assert not steps['LoadAnnotations'].with_mask
        assert not steps['YOLOv5RandomAffine'].use_mask_refine

    def test_input_size_is_everywhere(self, cfg):
        for part in ('train_dataloader', 'val_dataloader', 'test_dataloader',
                     'custom_hooks'):
            assert '640' not in str(cfg[part])
        assert cfg.test_dataloader.dataset.pipeline[1].scale == (64, 64)

    def test_schedule(self, cfg):
        assert cfg.train_cfg.max_epochs == 200
        assert cfg.default_hooks.param_scheduler.max_epochs == 200
        assert cfg.default_hooks.param_scheduler.warmup_mim_iter == 20
        assert cfg.train_cfg.dynamic_intervals == [(180, 2)]
        assert cfg.default_hooks.checkpoint.interval == 12
        assert cfg.model.backbone.image_model.norm_cfg.momentum == 0.2
        assert cfg.model.bbox_head.head_module.norm_cfg.momentum == 0.2
        assert cfg.optim_wrapper.optimizer.lr == 2.5e-5
        assert cfg.optim_wrapper.optimizer.batch_size_per_gpu == 2
        assert cfg.train_dataloader.batch_size == 2
        averages = [h for h in cfg.custom_hooks if h.type == 'EMAHook']
        assert [h.ema_type for h in averages] == ['ExactExpMomentumEMA']
        switch, = [h for h in cfg.custom_hooks if 'switch_epoch' in h]
        assert switch.switch_epoch == 180
        assert cfg.default_hooks.report.before == cfg.load_from


class TestVariants:

    def test_recipe_and_multipliers(self, world, tmp_path):
        wishes = Wishes(recipe='head', lr_mults=dict(classes=5.))
        cfg = read(write(world, tmp_path / 'my.py', wishes).path)
        assert cfg.model.frozen == ['backbone', 'neck']
        assert cfg.model.backbone.type == 'MultiModalYOLOBackbone'
        assert cfg.optim_wrapper.paramwise_cfg.lr_mults == {
            'bbox_head.head_module.cls_contrasts.*.conv': 5.
        }
        assert cfg.optim_wrapper.paramwise_cfg.norm_decay_mult == 0

    def test_the_other_wishes(self, world, tmp_path, monkeypatch):
        monkeypatch.setattr(composition, 'find_spec', lambda name: name)
        wishes = Wishes(freeze=('guides', 'classes'), recipe='neck-head',
                        patience=3, loggers=('mlflow', 'wandb'), seed=7)
        cfg = read(write(world, tmp_path / 'my.py', wishes).path)
        assert cfg.model.frozen == [
            'backbone', 'neck.*.attn_block.guide_*',
            'bbox_head.head_module.cls_contrasts.*.conv']
        assert cfg.randomness == dict(seed=7)
        assert cfg.default_hooks.early_stopping == dict(
            type='EarlyStoppingHook', monitor='coco/bbox_mAP', patience=3,
            rule='greater', min_delta=0.001)
        # The report reads what the first one writes.
        assert [each.type for each in cfg.visualizer.vis_backends] == [
            'LocalVisBackend', 'MLflowVisBackend', 'WandbVisBackend']
        assert cfg.visualizer.type == 'mmdet.DetLocalVisualizer'
        assert all(VISBACKENDS.get(name)
                   for name in composition.LOGGERS.values())

    @pytest.mark.parametrize(('wishes', 'message'), [
        (dict(loggers=['wandb']), 'wandb: it is not installed: pip install '
                                  'wandb'),
        (dict(loggers=['excel']), '`loggers` excel: expected some of tensor'),
        (dict(patience=0), '`patience` 0: expected 1 or more'),
        (dict(seed=-1), '`seed` -1: expected 0 or more'),
        (dict(batch_size='auto'), 'auto: torch finds no GPU'),
    ])
    def test_what_cannot_be(self, world, tmp_path, monkeypatch, wishes,
                            message):
        monkeypatch.setattr(composition, 'find_spec', lambda name: None)
        monkeypatch.setattr('torch.cuda.is_available', lambda: False)
        with pytest.raises((ValueError, ImportError), match=message):
            write(world, tmp_path / 'my.py', Wishes(**wishes))
        assert not list(tmp_path.iterdir())

    def test_the_batch_is_what_fits(self, world, tmp_path, monkeypatch):
        monkeypatch.setattr('torch.cuda.is_available', lambda: True)
        monkeypatch.setattr(new_config_module, 'memory_probe',
                            lambda model, size: lambda batch: batch <= 3)
        wishes = Wishes(batch_size='auto', image_size=(64, 64))
        result = write(world, tmp_path / 'my.py', wishes)
        assert result.schedule.batch_size == 3
        assert read(result.path).train_dataloader.batch_size == 3

    def test_masks_are_used_where_all_boxes_have_one(self, world, tmp_path):
        root = tmp_path / 'masks'
        write_data(root)
        torch.save(folded_checkpoint(), root / 'rep_conv.pth')

        def polygons(content, boxes=None):
            for box in content['annotations'][:boxes]:
                x, y, w, h = box['bbox']
                box['segmentation'] = [[x, y, x + w, y, x + w, y + h]]

        path = root / 'train' / 'annotations.json'
        change(path, lambda c: polygons(c, 1))
        some = write(root, tmp_path / 'some.py')
        assert 'use_mask2refine = False' in some.text
        change(path, polygons)
        every = write(root, tmp_path / 'every.py')
        assert 'use_mask2refine' not in every.text
        steps = read(every.path).train_dataloader.dataset.pipeline
        assert steps[1].mask2bbox

    def test_forms_of_the_checkpoint(self, world, tmp_path):
        content = folded_checkpoint('rep_linear', num_guide=80,
                                    use_bn_head=False)
        torch.save(content, world / 'linear.pth')
        cfg = read(
            write(world, tmp_path / 'my.py', checkpoint='linear.pth').path)
        # 80 guides, as many as the base config has classes.
        assert cfg.model.neck.guide_channels == 80
        assert cfg.model.neck.block_cfg.guide_channels == 80
        assert cfg.model.neck.block_cfg.type.startswith('RepMax')
        assert not cfg.model.bbox_head.head_module.use_bn_head
        assert cfg.model.bbox_head.head_module.num_classes == 3

    def test_neck_without_guides(self, world, tmp_path):
        kind = 'EfficientCSPLayerWithTwoConv'
        content = folded_checkpoint(block_type=kind, meta=dict(num_guide=0))
        torch.save(content, world / 'efficient.pth')
        cfg = read(
            write(world, tmp_path / 'my.py', checkpoint='efficient.pth').path)
        assert cfg.model.neck.block_cfg.type == kind

    def test_inside_the_checkout_the_base_is_relative(self, world):
        out = config_root().parent / 'work_dirs' / 'test_new_config.py'
        try:
            text = write(world, out).text
        finally:
            out.unlink(missing_ok=True)
        assert "_base_ = '../configs/finetune_coco/" in text

    def test_eight_gpus(self, world, tmp_path):
        result = write(world, tmp_path / 'my.py', Wishes(gpus=8))
        assert result.command == (f'yolo-world-rep train {result.path} '
                                  f'--device 0,1,2,3,4,5,6,7')
        assert result.schedule.total_batch == 8  # one image each
        assert launch_command('a b.py', 1) == "yolo-world-rep train 'a b.py'"


class TestMismatch:

    def refused(self, world, tmp_path, message, **kwargs):
        out = tmp_path / 'my.py'
        before = sorted(tmp_path.iterdir())
        with pytest.raises(ValueError, match=message) as caught:
            write(world, out, **kwargs)
        assert sorted(tmp_path.iterdir()) == before
        return str(caught.value)

    def test_size(self, world, tmp_path):
        self.refused(world, tmp_path, 'of size s, and `size` is m',
                     wishes=Wishes(size='m'))

    def test_size_without_a_config(self, world, tmp_path):
        torch.save(folded_checkpoint(widen_factor=0.25), world / 'n.pth')
        self.refused(world, tmp_path, 'of size n; there are configs of l, m',
                     wishes=Wishes(), checkpoint='n.pth')

    def test_other_architecture_of_the_same_size(self, world, tmp_path):
        torch.save(folded_checkpoint(deepen_factor=0.67), world / 'deep.pth')
        self.refused(world, tmp_path, 'does not fit the config',
                     checkpoint='deep.pth')

    def test_other_order_of_classes_has_a_command_that_mends_it(
            self, world, tmp_path):
        torch.save(folded_checkpoint(names=NAMES[::-1]), world / 'turned.pth')
        text = self.refused(world, tmp_path, 'another order',
                            checkpoint='turned.pth')
        keep = ' '.join(f"'{name}'" for name in NAMES)
        assert text.endswith(
            f'yolo-world-rep edit {world}/turned.pth --out '
            f'{world}/turned_own.pth --order {keep}')

    def test_the_command_for_a_part_of_the_classes_mends_it(
            self, world, tmp_path, golden_dir):
        from yolo_world_rep.reparam import load_checkpoint, save_checkpoint
        from yolo_world_rep.reparam.editing import edit_checkpoint
        more = ('ant', *NAMES[::-1])
        content = folded_checkpoint(names=more)
        # Some layers to fold through, of which keeping needs none.
        content['meta']['yolo_world_rep'].update(
            text_layers=dict(a=torch.zeros(1)), history=[])
        save_checkpoint(tmp_path / 'more.pth', **content)
        text = self.refused(world, tmp_path, '4 against 3 names',
                            checkpoint=tmp_path / 'more.pth')
        assert '--keep' in text
        edit_checkpoint(tmp_path / 'more.pth', tmp_path / 'own.pth',
                        keep=NAMES)
        result = write(world, tmp_path / 'my.py',
                       checkpoint=tmp_path / 'own.pth')
        assert result.model.classes == NAMES
        rows = 'bbox_head.head_module.cls_contrasts.0.conv.weight'
        kept = load_checkpoint(tmp_path / 'own.pth').state_dict[rows]
        assert torch.equal(kept, content['state_dict'][rows][[3, 2, 1]])

    def test_new_classes_have_a_command_too(self, world, tmp_path):
        torch.save(folded_checkpoint(names=('a', 'b', 'c')),
                   world / 'abc.pth')
        text = self.refused(world, tmp_path, 'other classes',
                            checkpoint='abc.pth')
        names = ' '.join(f"'{name}'" for name in NAMES)
        assert text.endswith(
            f'yolo-world-rep edit {world}/abc.pth --out {world}/abc_own.pth '
            f'--replace-words {names}')

    def test_errors_of_the_data(self, world, tmp_path):
        root = tmp_path / 'data'
        write_data(root)
        torch.save(folded_checkpoint(), root / 'rep_conv.pth')
        (root / 'train' / '00000.jpg').unlink()
        text = self.refused(root, tmp_path, 'train: 1 of 4 image file')
        assert '00000.jpg' in text
        with pytest.raises(ValueError, match='`val_ann` gone.json: neither'):
            find_data(root, train_ann='train/annotations.json',
                      val_ann='gone.json')

    def test_splits_of_other_categories(self, world, tmp_path):
        root = tmp_path / 'data'
        write_data(root)
        torch.save(folded_checkpoint(), root / 'rep_conv.pth')
        change(root / 'val' / 'annotations.json',
               lambda c: c['categories'][0].update(name='other'))
        self.refused(root, tmp_path, 'list other categories')

    def test_older_configs_stay(self, world, tmp_path):
        out = tmp_path / 'my.py'
        out.write_text('mine')
        self.refused(world, tmp_path, 'my.py exists')
        assert out.read_text() == 'mine'
        with pytest.raises(ValueError, match=r'ends in \.py'):
            write(world, tmp_path / 'my.txt')


class TestImages:

    @pytest.mark.parametrize('folder', [
        'images', 'images/train', 'train/images', 'train'])
    def test_usual_folders_are_found(self, tmp_path, folder):
        write_data(tmp_path / 'from')
        root = tmp_path / 'data'
        (root / folder).mkdir(parents=True)
        (root / 'ann').mkdir()
        for image in (tmp_path / 'from' / 'train').glob('*.jpg'):
            image.rename(root / folder / image.name)
        (tmp_path / 'from' / 'train' / 'annotations.json').rename(
            root / 'ann' / 'instances_train.json')
        path = 'ann/instances_train.json'
        data = read_own_data(
            find_data(root, train_ann=path, val_ann=path, val_img=folder),
            tmp_path / 'my.py')
        assert data.train.images_dir == root / folder
        assert not data.errors()
        # The same data twice is told, and is no error.
        assert 'training images as well' in data.findings['both'][0].text


def test_labels_of_yolo_are_written_beside_the_config(world, tmp_path):
    for split in ('train', 'val'):
        content = json.loads(
            (world / split / 'annotations.json').read_text())
        labels = tmp_path / 'labels' / split
        images = tmp_path / 'images' / split
        labels.mkdir(parents=True)
        images.mkdir(parents=True)
        for image in content['images']:
            name = image['file_name']
            (images / name).write_bytes((world / split / name).read_bytes())
            lines = []
            for box in content['annotations']:
                if box['image_id'] == image['id']:
                    x, y, w, h = (v / 64 for v in box['bbox'])
                    lines.append(f'{box["category_id"] - 1} {x + w / 2} '
                                 f'{y + h / 2} {w} {h}')
            (labels / name).with_suffix('.txt').write_text('\n'.join(lines))
    (tmp_path / 'classes.txt').write_text('\n'.join(NAMES))
    out = tmp_path / 'out' / 'my.py'
    data = read_own_data(
        find_data(tmp_path, train_ann='labels/train', val_ann='labels/val'),
        out)
    new_config(data, world / 'rep_conv.pth', out, TINY)
    cfg = read(out)
    dataset = cfg.train_dataloader.dataset
    assert dataset.ann_file == 'out/my_train.json'
    assert dataset.data_prefix.img == 'images/train/'
    written = json.loads((tmp_path / 'out' / 'my_train.json').read_text())
    original = json.loads((world / 'train/annotations.json').read_text())
    assert [b['bbox'] for b in written['annotations']] == [
        pytest.approx(b['bbox'], abs=0.01) for b in original['annotations']
    ]
    launch.check_files(cfg, ('train_dataloader', 'val_dataloader'))


def test_one_step_and_one_prediction(world, tmp_path):
    out = tmp_path / 'my.py'
    write(world, out)
    cfg = launch.config_for_training(
        read(out), str(out), work_dir=str(tmp_path / 'work'), cuda=False,
        cfg_options={'visualizer.name': str(tmp_path)})
    runner = launch.build_runner(cfg)
    runner.call_hook('before_run')
    runner.load_or_resume()
    loop = runner.build_train_loop(runner._train_loop)
    wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    batch = next(iter(loop.dataloader))
    assert batch['inputs'].shape[-2:] == (64, 64)
    losses = runner.model.train_step(batch, wrapper)
    assert all(math.isfinite(float(loss)) for loss in losses.values())
    assert float(losses['loss_bbox']) > 0
    runner.model.eval()
    val = runner.build_val_loop(runner._val_loop)
    found = runner.model.test_step(next(iter(val.dataloader)))
    assert len(found[0].pred_instances.labels) >= 0


def test_palette_tells_neighbours_apart():
    colours = palette(300)
    assert len(set(colours)) == 300
    assert all(0 <= part <= 255 for colour in colours for part in colour)
    for one, other in zip(colours, colours[1:]):
        assert sum(abs(a - b) for a, b in zip(one, other)) > 60


def test_image_size():
    assert require_image_size([640]) == (640, 640)
    assert require_image_size([960, 544]) == (960, 544)
    for wrong in ([100], [640, 0], [-32]):
        with pytest.raises(ValueError, match='multiples of 32'):
            require_image_size(wrong)
    with pytest.raises(ValueError, match='3 numbers: expected one'):
        require_image_size([640, 640, 640])


def test_room_for_all_objects_of_a_full_image(tmp_path):
    write_data(tmp_path)
    torch.save(folded_checkpoint(), tmp_path / 'rep_conv.pth')
    change(tmp_path / 'val/annotations.json', lambda coco: coco.update(
        annotations=[dict(coco['annotations'][0], id=number)
                     for number in range(1, 402)]))
    write(tmp_path, tmp_path / 'my.py')
    cfg = read(tmp_path / 'my.py')
    assert cfg.model.test_cfg.max_per_img == 802
    for evaluator in (cfg.val_evaluator, cfg.test_evaluator):
        assert max(evaluator.proposal_nums) == 802
    wishes = dataclasses.replace(TINY, max_detections=50, class_agnostic=True)
    write(tmp_path, tmp_path / 'fewer.py', wishes)
    cfg = read(tmp_path / 'fewer.py')
    assert (cfg.model.test_cfg.max_per_img,
            max(cfg.val_evaluator.proposal_nums)) == (50, 50)
    assert cfg.model.test_cfg.nms == dict(
        type='nms', iou_threshold=0.7, class_agnostic=True)
