#!/usr/bin/env python
"""What a training image costs a worker: ours, mmyolo's and Ultralytics'.

One process and one thread make training images of the 128 images of COCO128
at 640 in turns, a few of each kind, so that what else the machine does meets
all of them. Ours are the recipes of two configs, with and without a cache of
decoded images; ``mmyolo`` are the same recipes of the transforms that they
name; Ultralytics' are its defaults, and with the mosaic, scales, mixup and
copy-paste of ours. Ultralytics is no dependency: it goes into a folder of its
own, beside the packages of this environment, so that all share them.

    pip install --target other --no-deps ultralytics==8.4.190 polars \
        polars-runtime-32 torchvision
    PYTHONPATH=other python benchmarks/feeding.py --data data/coco128

Ultralytics keeps up to 8 batches of decoded images whatever its settings, and
draws a mosaic's images from them. On COCO128, it decodes next to nothing.
"""
import argparse
import os
import shutil
import statistics
import tempfile
from functools import partial
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable, Dict, Iterator, List

os.environ.update(
    OMP_NUM_THREADS='1', NO_ALBUMENTATIONS_UPDATE='1', YOLO_OFFLINE='true',
    YOLO_VERBOSE='false')

import cv2  # noqa: E402
import torch  # noqa: E402
from detectors import hardware, positive  # noqa: E402
from mmengine.config import Config  # noqa: E402
from mmengine.logging import MMLogger  # noqa: E402
from mmengine.registry import init_default_scope  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

from yolo_world_rep.config.variables import resolve_variables  # noqa: E402
from yolo_world_rep.engine.launch import config_for_training  # noqa: E402
from yolo_world_rep.utils import cli  # noqa: E402

STEM = 'yolo_world_v2_s_rep_vlpan_bn_'
CONFIGS = {
    'masks': f'{STEM}2e-4_80e_8gpus_mask-refine_finetune_coco.py',
    'boxes': f'{STEM}sgd_1e-3_80e_8gpus_finetune_coco.py',
}
FOLDER = Path(__file__).resolve().parents[1] / 'configs' / 'finetune_coco'
ANNOTATIONS = 'annotations/instances_train2017.json'
# Of ours, by Ultralytics' names; its other defaults are as ours are.
AUGMENTATION = dict(masks=dict(mixup=0.15, copy_paste=0.3),
                    boxes=dict(mixup=0.15), defaults=dict())
BASES = tuple(f'ultralytics {name}' for name in AUGMENTATION)


def of_config(recipe: str, data: Path, ours: bool, cache: int) -> Any:
    """The training data set of a config, built."""
    from mmyolo.registry import DATASETS
    init_default_scope('mmyolo')
    path = FOLDER / CONFIGS[recipe]
    cfg = Config.fromfile(path)
    cfg.merge_from_dict(dict(data_root=f'{data}/', load_from=None))
    cfg = (config_for_training(cfg, str(path), cache=cache)
           if ours else resolve_variables(cfg)[0])
    return DATASETS.build(cfg.train_dataloader.dataset)


def of_ultralytics(recipe: str, data: Path, root: Path) -> Any:
    """Ultralytics' data set of the same images, labels with polygons."""
    from ultralytics.cfg import get_cfg
    from ultralytics.data.converter import convert_coco
    from ultralytics.data.dataset import YOLODataset
    folder = root / recipe
    annotations = root / f'{recipe}_annotations'
    annotations.mkdir()
    shutil.copy(data / ANNOTATIONS, annotations)
    convert_coco(str(annotations), str(folder), use_segments=True)
    images = folder / 'images' / 'train2017'
    shutil.copytree(data / 'train2017', images, dirs_exist_ok=True)
    return YOLODataset(
        img_path=str(images), imgsz=640, augment=True, batch_size=16,
        hyp=get_cfg(overrides=AUGMENTATION[recipe]), task='detect',
        data=dict(names=dict(enumerate(map(str, range(80))))))


def maker(dataset: Any, images: int) -> Callable[[], None]:
    """A function that makes the next few training images."""
    order: Iterator[int] = count()

    def make() -> None:
        for _ in range(images):
            dataset[37 * next(order) % len(dataset)]

    return make


def table_of(times: Dict[str, List[float]]) -> Table:
    """Milliseconds an image, and ratios to each kind of Ultralytics'."""
    table = Table(title='A training image; ratios are medians of rounds')
    bases = [name for name in BASES if name in times]
    for name in ('pipeline', 'ms', *(f'÷ {base}' for base in bases)):
        table.add_column(name, justify='right', overflow='fold')
    for name, own in times.items():
        ratios = (statistics.median(a / b for a, b in zip(own, times[base]))
                  for base in bases)
        table.add_row(name, f'{statistics.median(own):.1f}',
                      *(f'{ratio:.2f}' for ratio in ratios))
    return table


def main() -> None:
    """Measure what the command line asks for."""
    from detectors import measure
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--data', type=Path, help='folder of coco128',
                        default=os.environ.get('YWR_TEST_DATA'))
    parser.add_argument('--rounds', type=positive, default=40)
    parser.add_argument('--images', type=positive, default=8,
                        help='of each kind in a round (default: 8)')
    parser.add_argument('--cache', type=positive, default=256,
                        help='MiB of decoded images (default: 256)')
    parser.add_argument('--no-ultralytics', action='store_true')
    parser.add_argument('--cpu-time', action='store_true',
                        help='seconds of the processor, not of the clock')
    args = parser.parse_args()
    if args.data is None:
        parser.error('--data: the folder of coco128')
    data = Path(args.data).resolve()
    data = data if (data / ANNOTATIONS).is_file() else data / 'coco128'
    MMLogger.get_instance('mmengine', log_level='WARNING')
    kinds: Dict[str, Callable[[], Any]] = {}
    for recipe in CONFIGS:
        for name, ours, cache in (('mmyolo', False, 0), ('ours', True, 0),
                                  ('ours, cache', True, args.cache)):
            kinds[f'{name}, {recipe}'] = partial(
                of_config, recipe, data, ours, cache)
    with tempfile.TemporaryDirectory() as root:
        os.environ['YOLO_CONFIG_DIR'] = root
        if not args.no_ultralytics:
            kinds.update({
                f'ultralytics {recipe}': partial(
                    of_ultralytics, recipe, data, Path(root))
                for recipe in AUGMENTATION
            })
        sets = {name: build() for name, build in kinds.items()}
        torch.set_num_threads(1)
        cv2.setNumThreads(0)
        # The first images fill Ultralytics' buffers and our caches.
        for dataset in sets.values():
            for index in range(len(dataset)):
                dataset[index]
        times = measure({name: maker(dataset, args.images)
                         for name, dataset in sets.items()}, args.rounds,
                        cpu_time=args.cpu_time)
    Console(width=120).print(table_of({
        name: [each / args.images for each in own]
        for name, own in times.items()}), SimpleNamespace(
            **hardware('cpu', 1), rounds=args.rounds, images=args.images))


if __name__ == '__main__':
    cli.run(main)
