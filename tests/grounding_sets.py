"""Tiny sets in the form of those that YOLO-World is pre-trained on."""
import json
from pathlib import Path
from typing import Any, Dict, List

import cv2
import numpy as np
from mmdet.datasets import Objects365V1Dataset

SIDE = 64
CAPTIONS = ('A small red ball beside a box', 'two kites above a red ball',
            'a box')
OBJECTS365 = Objects365V1Dataset.METAINFO['classes']


def spans_of(caption: str, *words: str) -> List[List[int]]:
    """Where words stand in a caption, as ``tokens_positive``."""
    return [[caption.index(w), caption.index(w) + len(w)] for w in words]


def _images(root: Path, count: int, **more: Any) -> List[Dict[str, Any]]:
    (root / 'images').mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(len(more))
    images = []
    for number in range(count):
        name = f'{number}.png'
        cv2.imwrite(
            str(root / 'images' / name),
            rng.integers(0, 256, (SIDE, SIDE + 16, 3), dtype=np.uint8))
        images.append(
            dict(id=number, file_name=name, width=SIDE + 16, height=SIDE))
    return images


def _box(number: int, image: int, **more: Any) -> Dict[str, Any]:
    x, y = 3 * number % 30, 5 * number % 28
    return dict(
        id=number, image_id=image, bbox=[x, y, 20, 25], area=500, iscrowd=0,
        **more)


def _write(root: Path, **content: Any) -> Dict[str, Any]:
    (root / 'ann.json').write_text(json.dumps(content))
    return dict(
        data_root=f'{root}/', ann_file='ann.json',
        data_prefix=dict(img='images/'))


def write_mixed(root: Path, count: int = 3) -> Dict[str, Any]:
    """Captions with spans; what the data set's config says of it."""
    images = _images(root, count, caption=True)
    words = (('red ball', ), ('box', ), ('red ball', )), (
        ('two', 'above'), ('red ball', )), (('a box', ), )
    annotations: List[Dict[str, Any]] = []
    for number, image in enumerate(images):
        image['caption'] = CAPTIONS[number % 3]
        annotations += [
            _box(
                len(annotations) + i,
                number,
                tokens_positive=spans_of(image['caption'], *phrase),
                category_id=1) for i, phrase in enumerate(words[number % 3])
        ]
    return _write(
        root,
        images=images,
        annotations=annotations,
        categories=[dict(id=1, name='object')])


def write_general(root: Path) -> Dict[str, Any]:
    """Phrases spelled out, as those of pseudo-labelled captions."""
    return _write(
        root,
        images=_images(root, 2),
        annotations=[
            _box(i, i % 2, tokens=text, category_id=1)
            for i, text in enumerate(('ball', 'box', 'ball', 'a kite'))
        ],
        categories=[dict(id=1, name='object')])


def write_objects365(root: Path, count: int = 4) -> Dict[str, Any]:
    """All 365 categories, in the wrong order as in the public file."""
    numbers = [int(n) for n in np.random.default_rng(0).permutation(365)]
    return _write(
        root,
        images=_images(root, count),
        annotations=[
            _box(i, i % count, category_id=1 + 7 * i) for i in range(3 * count)
        ],
        categories=[dict(id=n + 1, name=OBJECTS365[n]) for n in numbers])


def mixtures(root: Path, count: int) -> Dict[str, Dict[str, Any]]:
    """Configs of both sets with each way to mix images, by name."""
    texts = root / 'texts.json'
    captions = write_mixed(root / 'captions', count)
    objects = write_objects365(root / 'objects', count)
    texts.write_text(
        json.dumps([[name.lower(), f'{name.lower()} again']
                    for name in OBJECTS365]))
    load = [
        dict(type='LoadImageFromFile'),
        dict(type='LoadAnnotations', with_bbox=True)
    ]
    mosaic = dict(img_scale=(SIDE, SIDE), pad_val=114., pre_transform=load)
    affine = dict(
        type='YOLOv5RandomAffine',
        max_rotate_degree=0.,
        max_shear_degree=0.,
        border=(-SIDE // 2, -SIDE // 2),
        border_val=(114, 114, 114))
    four = [*load, dict(type='MultiModalMosaic', **mosaic), affine]
    ways = dict(
        mosaic=four,
        mosaic9=[*load, dict(type='MultiModalMosaic9', **mosaic), affine],
        mixup=[
            *four,
            dict(type='YOLOv5MultiModalMixUp', pre_transform=four)
        ],
        yolox_mixup=[
            *four,
            dict(
                type='YOLOXMultiModalMixUp',
                img_scale=(SIDE, SIDE),
                pre_transform=load)
        ])
    end = [
        dict(
            type='RandomLoadText',
            num_neg_samples=(365, 365),
            padding_to_max=True),
        dict(type='mmdet.PackDetInputs', meta_keys=('texts', ))
    ]
    found = {}
    for way, steps in ways.items():
        found[f'captions, {way}'] = dict(
            type='YOLOv5MixedGroundingDataset',
            pipeline=[*steps, *end],
            **captions)
        found[f'Objects365, {way}'] = dict(
            type='MultiModalDataset',
            class_text_path=str(texts),
            dataset=dict(type='YOLOv5Objects365V1Dataset', **objects),
            pipeline=[*steps, *end])
    return found
