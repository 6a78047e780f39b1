"""The real fine-tuning config on a tiny model and a few drawn images."""
import itertools
import json
from pathlib import Path
from typing import Any, Dict, List, Sequence

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmyolo.registry import MODELS

from yolo_world_rep.engine import launch

CONFIG = Path(__file__).resolve().parents[1].joinpath(
    'configs', 'finetune_coco',
    'yolo_world_v2_s_rep_vlpan_bn_2e-4_80e_8gpus_mask-refine_finetune_coco.py')
NAMES = ('ball', 'box', 'kite')
SIDE = 64
RUNS = itertools.count()


def read_config(path: Path = CONFIG) -> Config:
    """A config as it stands in the repository."""
    cfg = Config.fromfile(path)
    # Each run and checkpoint formats the config with yapf, for a second.
    object.__setattr__(cfg, '_format_python_code', False)
    return cfg


def write_images(root: Path, count: int = 4,
                 names: Sequence[str] = NAMES) -> None:
    """Coloured squares with masks, as a COCO data set under ``root``."""
    rng = np.random.default_rng(0)
    (root / 'images').mkdir(parents=True)
    images, annotations = [], []
    for number in range(count):
        image = rng.integers(0, 60, (SIDE, SIDE, 3), dtype=np.uint8)
        for label in range(2):
            kind = (number + label) % len(names)
            x, y = (int(v) for v in rng.integers(2, 34, 2))
            image[y:y + 24, x:x + 24, kind % 3] = 255
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=number + 1,
                    category_id=kind + 1,
                    bbox=[x, y, 24, 24],
                    area=576,
                    iscrowd=0,
                    segmentation=[[x, y, x + 24, y, x + 24, y + 24, x,
                                   y + 24]]))
        name = f'{number:03d}.png'
        cv2.imwrite(str(root / 'images' / name), image)
        images.append(
            dict(id=number + 1, file_name=name, width=SIDE, height=SIDE))
    categories = [dict(id=i + 1, name=name) for i, name in enumerate(names)]
    (root / 'annotations.json').write_text(
        json.dumps(
            dict(
                images=images,
                annotations=annotations,
                categories=categories)))


def options(root: Path, **more: Any) -> Dict[str, Any]:
    """What turns the config into a tiny one, as of ``--cfg-options``."""
    data = dict(
        num_classes=len(NAMES),
        class_names=NAMES,
        data_root=f'{root}/',
        train_ann_file='annotations.json',
        train_data_prefix='images/',
        val_ann_file='annotations.json',
        val_data_prefix='images/',
        load_from=str(root / 'rep_conv.pth'),
        img_scale=(SIDE, SIDE),
        train_batch_size_per_gpu=2,
        train_num_workers=0,
        val_num_workers=0,
        max_epochs=2,
        close_mosaic_epochs=1,
        save_epoch_intervals=1)
    width = {
        f'model.{part}.widen_factor': 0.125
        for part in ('backbone.image_model', 'neck', 'bbox_head.head_module')
    }
    return {
        **data,
        **width,
        'model.neck.num_heads': [16, 16, 32],
        'default_hooks.logger.interval': 1,
        'log_processor.window_size': 1,
        # mmengine finds a visualizer of the same name again, with the folder
        # of an earlier run in this process.
        'visualizer.name': f'run{next(RUNS)}',
        'default_hooks.checkpoint.max_keep_ckpts': -1,
        'default_hooks.param_scheduler.warmup_mim_iter': 2,
        'default_hooks.param_scheduler.warmup_epochs': 1,
        **more
    }


def tiny_config(root: Path, work_dir: Path, resume: Any = None,
                **more: Any) -> Config:
    """The config to train on :func:`write_images` in a folder of its own."""
    return launch.config_for_training(
        read_config(), str(CONFIG), work_dir=str(work_dir), resume=resume,
        # mmengine finds a visualizer of the same name in the process again.
        cfg_options=options(root, **{'visualizer.name': str(work_dir),
                                     **more}),
        cuda=False)


def arguments(root, **more):
    """``--cfg-options`` as words of a command line."""
    words = ['--cfg-options']
    for key, value in options(root, **more).items():
        if isinstance(value, (list, tuple)):
            value = f'[{",".join(map(str, value))}]'
        words.append(f'{key}={value}')
    return words


def build_model(cfg: Config) -> torch.nn.Module:
    """The detector of a config, initialized with a fixed seed."""
    init_default_scope('mmyolo')
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    model.init_weights()
    return model


def checkpoint_of(model: torch.nn.Module,
                  names: Sequence[str] = NAMES) -> Dict[str, Any]:
    """What the converter would write for a model."""
    return dict(
        state_dict=model.state_dict(),
        meta=dict(
            dataset_meta=dict(classes=tuple(names)),
            yolo_world_rep=dict(
                format='rep_conv',
                num_classes=len(names),
                classes=tuple(names),
                source=dict(sha256='0'))))


def losses(work_dir: Path) -> List[Dict[str, float]]:
    """One dict a training step, from the log of a run."""
    path, = work_dir.glob('*/vis_data/scalars.json')
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [row for row in rows if 'loss' in row]
