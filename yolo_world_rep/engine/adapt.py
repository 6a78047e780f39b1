"""Changes to a config for the machine and a command's arguments.

All of it is done in place, to the copy that :mod:`.launch` makes.
"""
import logging
import os.path as osp
from typing import Any

from mmengine.config import Config
from torch import Tensor

from ..config.variables import find, type_name
from ..detector.class_branch import contrast_head, with_class_branch
from ..reparam.checkpoint import read_content
from ..reparam.description import CLASS_BRANCH, description_of
from ..reparam.fit import under
from ..utils.files import require_regular
from ..utils.log import log
from . import checkpoints
from .optimizers.cpu_amp_optim_wrapper import check_cpu_bfloat16

# Takes the place of mmcv's LoadImageFromFile.
CHECKED = 'LoadCheckedImageFromFile'
# Of a training, and here, after Fast, in less time.
FAST = ('Mosaic', 'YOLOv5CopyPaste', 'YOLOv5MixUp', 'YOLOv5RandomAffine',
        'mmdet.PackDetInputs')


def _hooks(cfg: Config) -> list:
    """Every hook that a config names."""
    return [*(cfg.get('default_hooks') or {}).values(),
            *(cfg.get('custom_hooks') or ())]


def add_hook(cfg: Config, key: str, **hook: Any) -> None:
    """Add a default hook called ``key``, unless one of its type is there."""
    if not any(type_name(own) == hook['type'] for own in _hooks(cfg)):
        cfg.merge_from_dict({f'default_hooks.{key}': hook})


def keep_names_and_origin(cfg: Config) -> None:
    """Have a training write what ``yolo-world-rep edit`` takes.

    Its model knows the names of its classes, and its checkpoints say what
    the folded one says that it began with.
    """
    add_hook(cfg, 'class_names', type='ClassNamesHook')
    add_hook(cfg, 'folded_meta', type='FoldedMetaHook')


def use_safe_checkpoints(cfg: Config) -> None:
    """Turn mmengine's CheckpointHook, named or not, into SafeCheckpointHook.
    """
    if 'checkpoint' not in (cfg.get('default_hooks') or {}):
        cfg.merge_from_dict({'default_hooks.checkpoint': dict(
            type='CheckpointHook', interval=1)})
    for hook in _hooks(cfg):
        if type_name(hook) == 'CheckpointHook':
            hook['type'] = 'SafeCheckpointHook'


def use_checked_images(cfg: Config) -> None:
    """Have an image that cannot be read named."""
    for transform, _, _ in find(cfg._cfg_dict,
                                ['**', '[LoadImageFromFile]', 'type']):
        transform['type'] = CHECKED


def use_fast_transforms(cfg: Config) -> None:
    """Have training images made by our transforms, equal to mmyolo's."""
    for place in ('train_dataloader', 'custom_hooks'):
        for step, _, _ in find(cfg._cfg_dict, [place, '**', 'type']):
            scope = step.get('_scope_') or cfg.get('default_scope')
            if scope == 'mmyolo' and step['type'] in FAST:
                step['type'] = f'Fast{type_name(step)}'


def keep_decoded_images(cfg: Config, mebibytes: int) -> None:
    """Have each worker of a training keep so much of decoded images."""
    for transform, _, _ in find(cfg._cfg_dict, [
            'train_dataloader', '**', f'[{CHECKED}]', 'type']):
        transform['cache'] = mebibytes
    workers = max(1, cfg.train_dataloader.get('num_workers') or 0)
    log(f'Decoded images are kept, up to {mebibytes} MiB in each of {workers} '
        f'worker(s) for a GPU, and mosaics are drawn from them.')


def skip_unreadable_images(cfg: Config) -> None:
    """Have a training leave out images that it cannot read."""
    loading = [transform for place in ('train_dataloader', 'custom_hooks')
               for transform, _, _ in find(
                   cfg._cfg_dict, [place, '**', f'[{CHECKED}]', 'type'])]
    if not loading:
        raise ValueError(
            '`skip_unreadable`: no LoadImageFromFile in train_dataloader: '
            'what loads the images of this config has to leave them out')
    for transform in loading:
        transform['ignore_empty'] = True


def with_class_branch_of_file(cfg: Config, training: bool,
                              trust: bool = False) -> Config:
    """:func:`with_class_branch` of a config's ``load_from``.

    A file that cannot be read is left to what loads it, and so is a class
    branch that the guard's ``fresh`` names.
    """
    path = cfg.get('load_from')
    fresh = [prefix for hook in _hooks(cfg)
             if type_name(hook) == 'CheckpointGuardHook'
             for prefix in hook.get('fresh') or ()
             ] if training and not cfg.get('resume') else []
    if (not path or not osp.isfile(path) or contrast_head(cfg) is None
            or under(f'bbox_head.head_module{CLASS_BRANCH}', fresh)):
        return cfg
    try:
        content = read_content(path, trust)
    except ValueError:
        return cfg
    state = content.get('state_dict', content)
    tensors = state.items() if isinstance(state, dict) else ()
    found = description_of({k: v for k, v in tensors if isinstance(v, Tensor)})
    return with_class_branch(cfg, found)


def set_precision(cfg: Config, amp: bool, cuda: bool) -> None:
    """Train in mixed precision if asked to: without a GPU in bfloat16."""
    wrapper = cfg.get('optim_wrapper')
    name = type_name(wrapper) or 'OptimWrapper'
    if not amp:
        if name == 'AmpOptimWrapper' and not cuda:
            raise ValueError(
                'optim_wrapper.type=\'AmpOptimWrapper\' needs a GPU, and '
                'torch finds none: set \'OptimWrapper\', or pass `amp=True`, '
                'which trains in bfloat16 on a CPU')
        return
    if name not in ('OptimWrapper', 'AmpOptimWrapper', 'CPUAmpOptimWrapper'):
        raise ValueError(f'`amp`: optim_wrapper.type={wrapper.type!r}: '
                         f'expected \'OptimWrapper\'; set it in the config')
    if not cuda:
        check_cpu_bfloat16()
        wrapper.type = 'CPUAmpOptimWrapper'
        for gpu_only in ('loss_scale', 'dtype', 'use_fsdp'):
            wrapper.pop(gpu_only, None)
        log('Mixed precision without a GPU: the forward pass runs in bfloat16 '
            'on the CPU (float16 needs a GPU). That is faster only on CPUs '
            'with bfloat16 instructions.')
    elif name != 'AmpOptimWrapper':
        wrapper.type = 'AmpOptimWrapper'
        wrapper.setdefault('loss_scale', 'dynamic')


def resume_from(cfg: Config, resume: str) -> None:
    """Go on with the training of a checkpoint.

    ``'auto'`` is the last whole one in the work_dir.
    """
    if resume == 'auto':
        resume = checkpoints.checkpoint_to_resume(cfg.work_dir)
        if resume is None:
            raise ValueError(
                f'`resume`: no checkpoint of a training is in {cfg.work_dir}: '
                f'leave it out to begin, or set the work_dir of the training.')
        log(f'Going on from {resume}')
    if not osp.exists(require_regular(resume)):
        raise ValueError(f'`resume` {resume}: no such checkpoint')
    if checkpoints.is_truncated(resume):
        beside = checkpoints.numbered_checkpoints(osp.dirname(resume) or '.')
        whole = [path for path in beside if not checkpoints.is_truncated(path)]
        remedy = (f'the newest whole one beside it is {whole[0]}'
                  if whole else 'there is no whole one beside it')
        raise ValueError(
            f'`resume`: {checkpoints.truncated_message(resume)}; {remedy}')
    cfg.resume = True
    cfg.load_from = resume


def run_on_cpus(cfg: Config, launcher: str) -> None:
    """Train in processes without GPUs.

    mmengine gives its wrapper a device id, and mmyolo converts to a
    synchronized batch norm; neither exists without CUDA.
    """
    from mmengine.registry import DefaultScope
    from mmyolo.models.detectors import YOLODetector
    from mmyolo.registry import MODELS
    if launcher not in ('pytorch', 'slurm'):
        raise ValueError(f'`launcher` {launcher} needs GPUs, and torch finds '
                         f'none: expected `launcher` pytorch (of torchrun), '
                         f'slurm or none')
    cfg.model_wrapper_cfg = {
        'type': 'MMDistributedDataParallel', 'broadcast_buffers': False,
        'find_unused_parameters': cfg.get('find_unused_parameters', False),
        **(cfg.get('model_wrapper_cfg') or {}), 'device_ids': None}
    with DefaultScope.overwrite_default_scope('mmyolo'):
        kind = cfg.model['type']
        kind = MODELS.get(kind) if isinstance(kind, str) else kind
    if kind is not None and issubclass(kind, YOLODetector):
        cfg.model.use_syncbn = False
    cfg.merge_from_dict({'env_cfg.dist_cfg.backend': 'gloo'})


def warn_of_bias_warmup(cfg: Config) -> None:
    """Warn of a warmup meant for SGD in a config with Adam."""
    hook = (cfg.get('default_hooks') or {}).get('param_scheduler') or {}
    optimizer = (cfg.get('optim_wrapper') or {}).get('optimizer') or {}
    start = hook.get('warmup_bias_lr', 0.1)
    if (type_name(hook) == 'YOLOv5ParamSchedulerHook'
            and 'Adam' in type_name(optimizer)
            and start > 10 * optimizer.get('lr', start)):
        log(f'default_hooks.param_scheduler.warmup_bias_lr={start} is a '
            f'learning rate for SGD; {type_name(optimizer)} will take it for '
            f'the third group of parameters while warming up. '
            f'warmup_bias_lr=0.0 warms all of them up alike.', logging.WARNING)


def tell_of_accumulation(cfg: Config) -> None:
    """Say what accumulated gradients are, where the recipe depends on it."""
    wrapper = cfg.get('optim_wrapper') or {}
    count = wrapper.get('accumulative_counts', 1)
    if count == 1:
        return
    optimizer = type_name(wrapper.get('optimizer'))
    scale = '' if 'Adam' in optimizer else (
        f' {optimizer} takes steps as of {count} times the batch with {count} '
        f'times the lr.')
    log(f'optim_wrapper.accumulative_counts={count}: an update takes the mean '
        f'of the gradients of {count} batches, where one batch as large '
        f'would give about their sum (mmyolo multiplies the loss by the '
        f'number of images).{scale}')
