"""Our transforms make the images and boxes that mmyolo's make, to the bit."""
import copy
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmyolo.datasets.transforms import Mosaic, YOLOv5MixUp
from mmyolo.registry import DATASETS

from yolo_world_rep.config.variables import find, resolve_variables
from yolo_world_rep.datasets.transforms import (
    LoadCheckedImageFromFile,
    MultiModalMosaic,
    YOLOv5MultiModalMixUp,
    fast,
)
from yolo_world_rep.datasets.transforms.loading import kept_images
from yolo_world_rep.datasets.transforms.mix_texts import MergesTexts
from yolo_world_rep.engine import adapt

CONFIGS = Path(__file__).resolve().parents[3] / 'configs'
MASKS = 'yolo_world_v2_s_{}vlpan_bn_2e-4_80e_8gpus_mask-refine_finetune_coco'
RECIPES = {
    'masks': f'finetune_coco/{MASKS.format("rep_")}.py',
    'boxes': 'finetune_coco/yolo_world_v2_s_rep_vlpan_bn_sgd_1e-3_80e_8gpus_'
             'finetune_coco.py',
    'texts': f'finetune_coco/{MASKS.format("")}.py',
    'segmentation': 'segmentation/yolo_world_v2_seg_s_rep_vlpan_bn_2e-4_80e_'
                    '8gpus_finetune_coco.py',
}
SIZES = ((64, 64), (90, 50), (41, 77), (128, 96), (30, 30), (64, 48))
# Whole numbers, which mmyolo rounds at every step, and parts of pixels.
SHAPES = ([[4, 4, 20, 4, 20, 24, 4, 24]], [[4.5, 3., 22.2, 8.1, 9.9, 25.3]],
          [[2., 2., 9., 2., 9., 9.], [12.5, 12.5, 26., 12.5, 20., 28.]],
          [[0., 1., 0., 12., 0., 20.]], [[5., 5., 29., 5., 29., 6.]])


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """Images with masks of several kinds, an empty one, and a crowd."""
    root = tmp_path_factory.mktemp('data')
    rng = np.random.default_rng(0)
    images, boxes = [], []
    for number, (width, height) in enumerate(SIZES):
        name = f'{number}.png'
        cv2.imwrite(str(root / name), rng.integers(
            0, 255, (height, width, 3), dtype=np.uint8))
        images.append(dict(id=number + 1, file_name=name, width=width,
                           height=height))
        for shape in SHAPES[:0 if number == 3 else 2 + number]:
            points = np.concatenate([np.reshape(p, (-1, 2)) for p in shape])
            x, y = points.min(0).tolist()
            w, h = np.maximum(points.max(0) - points.min(0), 1.5).tolist()
            boxes.append(dict(
                id=len(boxes) + 1, image_id=number + 1, area=w * h,
                category_id=1 + len(boxes) % 2, bbox=[x, y, w, h],
                iscrowd=int(number == 4 and shape is SHAPES[0]),
                segmentation=shape))
    (root / 'annotations.json').write_text(json.dumps(dict(
        images=images, annotations=boxes,
        categories=[dict(id=1, name='cat'), dict(id=2, name='dog')])))
    (root / 'texts.json').write_text(json.dumps([['cat'], ['dog', 'puppy']]))
    return root


def config_of(recipe: str, data: Path) -> Config:
    """A recipe's config, of the small data."""
    cfg = Config.fromfile(CONFIGS / RECIPES[recipe])
    cfg.merge_from_dict(dict(
        data_root=f'{data}/', train_ann_file='annotations.json',
        train_data_prefix='', class_names=('cat', 'dog'), num_classes=2,
        class_text_path=str(data / 'texts.json'), img_scale=(64, 64),
        mixup_prob=0.5, copypaste_prob=0.9, load_from=None))
    return resolve_variables(cfg)[0]


def with_parts(cfg: Config) -> Config:
    """Objects of several polygons are left so."""
    for step, _, _ in find(cfg._cfg_dict, [
            'train_dataloader', '**', '[LoadAnnotations]', 'type']):
        step['merge_polygons'] = False
    return cfg


def dataset_of(cfg: Config):
    """The training data of a config, without albumentations' chance."""
    init_default_scope('mmyolo')
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    dataset.full_init()
    pipeline = dataset.pipeline.transforms
    pipeline[:] = [t for t in pipeline if type(t).__name__ != 'Albu']
    return dataset


def use_mmyolos(pipeline) -> None:
    """Have images with texts mixed by mmyolo's classes."""
    for transform in pipeline.transforms:
        for ours, mmyolos in ((MultiModalMosaic, Mosaic),
                              (YOLOv5MultiModalMixUp, YOLOv5MixUp)):
            if type(transform) is ours:
                transform.__class__ = type(
                    'Mmyolos', (MergesTexts, mmyolos), {})
        if getattr(transform, 'pre_transform', None) is not None:
            use_mmyolos(transform.pre_transform)


def tensors(item: dict):
    """All that a training item holds."""
    sample = item['data_samples']
    truth = sample.gt_instances
    found = dict(image=item['inputs'], labels=truth.labels,
                 boxes=truth.bboxes.tensor)
    if 'gt_panoptic_seg' in sample:
        found['masks'] = sample.gt_panoptic_seg.pan_seg
    return found, sample.metainfo


@pytest.mark.parametrize('recipe', [*RECIPES, 'parts'])
def test_as_mmyolo_makes_them(recipe, data):
    cfg = (with_parts(config_of('masks', data)) if recipe == 'parts'
           else config_of(recipe, data))
    ours = copy.deepcopy(cfg)
    adapt.use_fast_transforms(ours)
    theirs, ours = dataset_of(cfg), dataset_of(ours)
    use_mmyolos(theirs.pipeline)
    boxes = 0
    for seed in range(16):
        found = []
        for dataset in (theirs, ours):
            np.random.seed(seed)
            found.append(tensors(dataset[seed % len(dataset)]))
        (expected, meta), (made, own) = found
        assert made.keys() == expected.keys()
        for key, value in made.items():
            assert torch.equal(value, expected[key]), key
        assert own.get('texts') == meta.get('texts')
        boxes += len(made['boxes'])
    assert boxes > 16


def cached(data: Path, monkeypatch, mebibytes: float = 1):
    """A data set whose images are kept, and the paths that it reads."""
    cfg = config_of('masks', data)
    adapt.use_checked_images(cfg)
    adapt.use_fast_transforms(cfg)
    adapt.keep_decoded_images(cfg, mebibytes)
    paths = []
    read = LoadCheckedImageFromFile._decode
    monkeypatch.setattr(
        LoadCheckedImageFromFile, '_decode',
        lambda self, path: paths.append(path) or read(self, path))
    return dataset_of(cfg), paths


def test_a_cache_that_holds_all_changes_nothing(data, monkeypatch):
    plain = dataset_of(config_of('masks', data))
    kept, paths = cached(data, monkeypatch)
    for seed in range(12):
        found = []
        for dataset in (plain, kept):
            np.random.seed(seed)
            found.append(tensors(dataset[seed % len(dataset)])[0])
        for key, value in found[1].items():
            assert torch.equal(value, found[0][key]), key
    assert len(paths) == len(set(paths)) == len(kept)


def test_a_full_one_is_bounded_and_drawn_from(data, monkeypatch):
    monkeypatch.setattr(fast, 'LEAST_KEPT', 2)
    kept, paths = cached(data, monkeypatch, 0.04)
    for index in range(40):
        kept[index % len(kept)]
        sizes = [image.nbytes for image in kept_images[kept].values()]
        assert sum(sizes) <= 0.04 * 2**20
    assert 1 < len(sizes) < len(kept)
    # An image each and one for some of the mixups, not four and eight.
    assert len(paths) < 80
