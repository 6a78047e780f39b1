"""The text of a config for data, a checkpoint and options."""
import colorsys
import os
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Union

import torch

from ..datasets.annotations import COCO_LIMIT, limits_for, most_objects
from ..reparam.folded_model import FoldedModel
from ..utils.configs import base_reference, config_root
from ..utils.files import PathLike
from .own_data import OwnData
from .recipes import PARTS, frozen_parts, lr_mults
from .schedule import Schedule
from .source import formatted, long_tuple, plain_source

BASES = ('yolo_world_v2_{size}_rep_{neck}_2e-4_80e_8gpus_mask-refine_'
         'finetune_coco.py')
NECKS = dict(rep_conv='vlpan_bn', rep_linear='vlpan_bn')
NO_GUIDES = 'efficient_neck'
# Of an image, in all base configs.
MAX_DETECTIONS = 300
# What stands for long lists while the rest is formatted.
CLASS_NAMES, PALETTE = 'CLASS_NAMES_', 'PALETTE_'
# Packages and mmengine's back ends for them.
LOGGERS = dict(tensorboard='TensorboardVisBackend', wandb='WandbVisBackend',
               mlflow='MLflowVisBackend')
# An improvement of AP, 0..1, that counts as one.
BETTER = 0.001
MATRICES = 'RepMaxSigmoidCSPLayerWithTwoConv'


@dataclass(frozen=True)
class Wishes:
    """The user's options in addition to data and checkpoint.

    ``size`` is the one that the checkpoint must be of, ``recipe`` a key of
    ``recipes.RECIPES``, ``image_size`` the input's width and height in pixels;
    ``batch_size``, a number or ``'auto'``, and ``workers`` are for each GPU.
    ``max_detections`` of an image are kept and count, by default what the
    data need; ``class_agnostic`` is whether classes suppress each other.
    ``freeze`` are keys of ``recipes.PARTS``, ``patience`` is how many
    evaluations without a better AP end the training, ``loggers`` are keys of
    :data:`LOGGERS`, ``seed`` is that of all random numbers.
    """
    size: Optional[str] = None
    recipe: str = 'full'
    lr_mults: Mapping[str, float] = field(default_factory=dict)
    gpus: int = 1
    batch_size: Union[int, str, None] = None
    epochs: Optional[int] = None
    lr: Optional[float] = None
    image_size: Tuple[int, int] = (640, 640)
    workers: Optional[int] = None
    max_detections: Optional[int] = None
    class_agnostic: Optional[bool] = None
    report: bool = True
    freeze: Sequence[str] = ()
    patience: Optional[int] = None
    loggers: Sequence[str] = ()
    seed: Optional[int] = None


def require_possible(wishes: Wishes) -> None:
    """Refuse wishes that nothing here can fulfil."""
    for name in wishes.loggers:
        if name not in LOGGERS:
            raise ValueError(f'`loggers` {name}: expected some of '
                             f'{", ".join(LOGGERS)}.')
        if find_spec(name) is None:
            raise ImportError(f'`loggers` {name}: it is not installed: pip '
                              f'install {name}')
    for name, value, least in (('patience', wishes.patience, 1),
                               ('seed', wishes.seed, 0)):
        if value is not None and not least <= value < 2**32:
            raise ValueError(f'`{name}` {value}: expected {least} or more.')
    if wishes.batch_size == 'auto' and not torch.cuda.is_available():
        raise ValueError('`batch_size` auto: torch finds no GPU whose memory '
                         'to try; give a number, or leave it out for 16.')


def palette(count: int) -> List[Tuple[int, int, int]]:
    """Colours that are told apart, neighbours well; RGB, 0 to 255."""
    golden = 0.618034  # steps of the golden ratio never come close again
    return [
        tuple(
            round(255 * part) for part in colorsys.hsv_to_rgb(
                number * golden % 1, (0.85, 0.6)[number % 2],
                (0.95, 0.75, 0.55)[number % 3])) for number in range(count)
    ]


def base_config(model: FoldedModel) -> Path:
    """The config of this package for a checkpoint."""
    folder = config_root() / 'finetune_coco'
    neck = NECKS.get(model.neck_form, NO_GUIDES)
    path = folder / BASES.format(size=model.size, neck=neck)
    if not path.is_file():
        before, after = BASES.format(size='*', neck=neck).split('*')
        sizes = sorted(each.name[len(before):-len(after)]
                       for each in folder.glob(f'{before}*{after}'))
        raise ValueError(f'{model.path} is of size {model.size}; there are '
                         f'configs of {", ".join(sizes)}.')
    return path


def _below(path: Path, root: Path) -> str:
    """A path relative to the data root."""
    inside = path == root or root in path.parents
    return path.relative_to(root).as_posix() if inside else path.as_posix()


def _folder(path: Path, root: Path) -> str:
    below = _below(path, root)
    return '' if below == '.' else f'{below}/'


def model_settings(model: FoldedModel) -> Dict[str, Any]:
    """What the base config's model must change for a checkpoint."""
    settings: Dict[str, Any] = {}
    if model.neck_form == 'rep_linear':
        settings['neck'] = dict(block_cfg=dict(type=MATRICES))
    head: Dict[str, Any] = {}
    if model.pretrain_classes is not None:
        head['pretrain_classes'] = model.pretrain_classes
    if not model.bn_head:
        head['use_bn_head'] = False
    if model.text_width != 512:
        head['embed_dims'] = model.text_width
    if head:
        settings['bbox_head'] = dict(head_module=head)
    return settings


def compose(data: OwnData, model: FoldedModel, wishes: Wishes,
            schedule: Schedule, out: PathLike) -> str:
    """The text of the config, Python source in lines of 79 columns.

    ``data`` has no errors and ``model`` is a checkpoint of its classes;
    ``out`` is where the config will be.
    """
    train, val, count = data.train, data.val, len(data.train.names)
    frozen = frozen_parts(wishes.recipe, wishes.freeze, bool(model.neck_form))
    workers = wishes.workers
    if workers is None:
        workers = min(8, max(1, (os.cpu_count() or 1) // wishes.gpus))
    lines = [
        f'# Fine-tunes a folded YOLO-World-{model.size.upper()} on {count} '
        f'class(es): {len(train.images)} training and {len(val.images)} '
        f'validation',
        f'# images. Written by yolo-world-rep new-config; recipe '
        f'{wishes.recipe!r}, {wishes.gpus} GPU(s).',
        f'_base_ = {base_reference(base_config(model), out)!r}',
        '',
        '# --- data',
        f'data_root = {data.root.as_posix() + "/"!r}',
        f'train_ann_file = {_below(train.path, data.root)!r}',
        f'train_data_prefix = {_folder(train.images_dir, data.root)!r}',
        f'val_ann_file = {_below(val.path, data.root)!r}',
        f'val_data_prefix = {_folder(val.images_dir, data.root)!r}',
        f'num_classes = {count}',
        f'class_names = {CLASS_NAMES}',
        f'palette = {PALETTE}',
        'metainfo = dict(classes=class_names, palette=palette)',
        'derived_with = dict(class_names=class_names)',
        *(f'{part}_dataloader = dict(dataset=dict(metainfo=metainfo))'
          for part in ('train', 'val', 'test')),
        f'train_num_workers = {workers}',
        f'val_num_workers = {min(2, workers)}',
    ]
    if train.share_with_masks < 1:
        lines.append('use_mask2refine = False  # not all boxes have a mask')
    if wishes.image_size != (640, 640):
        lines.append(f'img_scale = {wishes.image_size!r}  # width, height')
    lines += ['', '# --- model',
              f'load_from = {os.path.abspath(model.path)!r}']
    if model.neck_form and model.num_guide != count:
        lines += [
            f'# The neck has {model.num_guide} guides: a padding prompt, or '
            f'a vocabulary of its own.',
            f'num_padding = {model.num_guide - count}'
        ]
    settings = model_settings(model)
    kept, counted = limits_for(
        max(most_objects(train.boxes), most_objects(val.boxes)),
        MAX_DETECTIONS, wishes.max_detections)
    tests: Dict[str, Any] = {}
    if kept != MAX_DETECTIONS:
        tests['max_per_img'] = kept
    if wishes.class_agnostic is not None:
        tests['nms'] = dict(class_agnostic=wishes.class_agnostic)
    if tests:
        settings['test_cfg'] = tests
    if counted != COCO_LIMIT:
        lines += [f'val_evaluator = dict(proposal_nums=(1, 10, {counted}))',
                  'test_evaluator = val_evaluator']
    if frozen:
        settings['frozen'] = [PARTS[part] for part in frozen]
        lines.append('# Frozen, statistics included: '
                     f'{" and ".join(frozen)}.')
    if settings:
        lines.append(f'model = {plain_source(settings)}')
    norm = dict(type='BN', momentum=schedule.bn_momentum, eps=0.001)
    lines += [
        '',
        f'# --- schedule: {schedule.steps} steps of {schedule.total_batch} '
        f'images',
        f'max_epochs = {schedule.max_epochs}',
        f'close_mosaic_epochs = {schedule.close_mosaic_epochs}',
        f'save_epoch_intervals = {schedule.val_interval}',
        f'val_interval_stage2 = {schedule.val_interval_stage2}',
        f'train_batch_size_per_gpu = {schedule.batch_size}',
        f'base_lr = {schedule.base_lr!r}',
        f'norm_cfg = {plain_source(norm)}',
    ]
    if wishes.seed is not None:
        lines.append(f'randomness = dict(seed={wishes.seed})')
    mults = lr_mults(wishes.recipe, wishes.lr_mults, bool(model.neck_form),
                     wishes.freeze)
    if mults:
        paramwise = dict(paramwise_cfg=dict(lr_mults=mults))
        lines.append(f'optim_wrapper = {plain_source(paramwise)}')
    hooks: Dict[str, Any] = dict(param_scheduler=dict(
        warmup_epochs=schedule.warmup_epochs,
        warmup_mim_iter=schedule.warmup_steps))
    if wishes.report:
        hooks['batch_pictures'] = dict(type='BatchPicturesHook')
        hooks['report'] = dict(
            type='TrainingReportHook', before=os.path.abspath(model.path))
    if wishes.patience is not None:
        hooks['early_stopping'] = dict(
            type='EarlyStoppingHook', monitor='coco/bbox_mAP', rule='greater',
            min_delta=BETTER, patience=wishes.patience)
    lines.append(f'default_hooks = {plain_source(hooks)}')
    if wishes.loggers:
        backends = ['LocalVisBackend', *map(LOGGERS.get, wishes.loggers)]
        writing = dict(vis_backends=[dict(type=name) for name in backends])
        lines.append(f'visualizer = {plain_source(writing)}')
    ema = dict(type='EMAHook', ema_type='ExactExpMomentumEMA',
               momentum=schedule.ema_momentum, gamma=schedule.ema_gamma,
               update_buffers=True, strict_load=False, priority=49)
    lines.append(f'custom_hooks = [{plain_source(ema)}, *[hook for hook in '
                 f'_base_.custom_hooks if hook["type"] != "EMAHook"]]')
    text = formatted('\n'.join(lines))
    text = text.replace(CLASS_NAMES, long_tuple(train.names))
    text = text.replace(PALETTE, long_tuple(palette(count)))
    # mmengine puts values in the place of {{ names }}, also within texts.
    return text.replace('{{', '{\\x7b')
