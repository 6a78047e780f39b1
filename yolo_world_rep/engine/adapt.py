"""What a machine and the arguments of a command change in a config."""
import copy
import logging
import os.path as osp
from typing import Any, Mapping

from mmengine.config import Config
from torch import Tensor

from yolo_world_rep.config.variables import find, type_name
from yolo_world_rep.detector.class_branch import (
    contrast_head,
    with_class_branch,
)
from yolo_world_rep.reparam.checkpoint import read_content
from yolo_world_rep.reparam.description import CLASS_BRANCH, description_of
from yolo_world_rep.reparam.fit import under
from yolo_world_rep.utils.files import require_regular
from yolo_world_rep.utils.log import log

from .checkpoints import (
    checkpoint_to_resume,
    is_truncated,
    numbered_checkpoints,
    truncated_message,
)
from .optimizers.cpu_amp_optim_wrapper import check_cpu_bfloat16

# Takes the place of mmcv's LoadImageFromFile.
CHECKED = 'LoadCheckedImageFromFile'


def _hooks(cfg: Config) -> list:
    """Every hook that a config names."""
    return [*(cfg.get('default_hooks') or {}).values(),
            *(cfg.get('custom_hooks') or ())]


def with_hook(cfg: Config, key: str, **hook: Any) -> Config:
    """A copy of a config that has a hook, its own or this one.

    Args:
        cfg (Config): A config.
        key (str): Name of the hook among the ``default_hooks``.
        **hook: Its ``type`` and arguments.
    """
    cfg = copy.deepcopy(cfg)
    if not any(type_name(own) == hook['type'] for own in _hooks(cfg)):
        cfg.merge_from_dict({f'default_hooks.{key}': hook})
    return cfg


def with_names_and_origin(cfg: Config) -> Config:
    """A copy of a config that trains what ``yolo-world-rep edit`` takes.

    Its model knows the names of its classes, and its checkpoints say what
    the folded one says that it began with.
    """
    cfg = with_hook(cfg, 'class_names', type='ClassNamesHook')
    return with_hook(cfg, 'folded_meta', type='FoldedMetaHook')


def with_safe_checkpoints(cfg: Config) -> Config:
    """A copy of a config whose checkpoints survive what may happen.

    mmengine's CheckpointHook becomes a SafeCheckpointHook with the same
    arguments, also where mmengine would add it; any other hook stays.
    """
    cfg = copy.deepcopy(cfg)
    if 'checkpoint' not in (cfg.get('default_hooks') or {}):
        cfg.merge_from_dict({
            'default_hooks.checkpoint':
            dict(type='CheckpointHook', interval=1)
        })
    for hook in _hooks(cfg):
        if type_name(hook) == 'CheckpointHook':
            hook['type'] = 'SafeCheckpointHook'
    return cfg


def with_checked_images(cfg: Config) -> Config:
    """A copy of a config that names an image which cannot be read."""
    cfg = copy.deepcopy(cfg)
    for transform, _, _ in find(cfg._cfg_dict,
                                ['**', '[LoadImageFromFile]', 'type']):
        transform['type'] = CHECKED
    return cfg


def with_skipped_images(cfg: Config) -> Config:
    """A copy of a config that trains without images it cannot read.

    Args:
        cfg (Config): Of :func:`with_checked_images`.

    Raises:
        ValueError: If the config loads its images in another way.
    """
    cfg = copy.deepcopy(cfg)
    loading = [
        transform for place in ('train_dataloader', 'custom_hooks')
        for transform, _, _ in find(cfg._cfg_dict,
                                    [place, '**', f'[{CHECKED}]', 'type'])
    ]
    if not loading:
        raise ValueError(
            '`skip_unreadable`: no LoadImageFromFile in train_dataloader: '
            'what loads the images of this config has to leave them out')
    for transform in loading:
        transform['ignore_empty'] = True
    return cfg


def with_class_branch_of_file(cfg: Config, training: bool,
                              trust: bool = False) -> Config:
    """:func:`with_class_branch` of a config's ``load_from``.

    A file that cannot be read is left to what loads it, and so is a class
    branch that the guard's ``fresh`` names.
    """
    path = cfg.get('load_from')
    fresh = [
        prefix for hook in _hooks(cfg)
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


def with_amp(cfg: Config, cuda: bool) -> Config:
    """A copy of a config that trains in mixed precision.

    Args:
        cfg (Config): A training config.
        cuda (bool): Whether there is a GPU. Without one the precision is
            bfloat16, by :class:`CPUAmpOptimWrapper`.

    Raises:
        ValueError: For an optimizer wrapper or a CPU that cannot.
    """
    cfg = copy.deepcopy(cfg)
    wrapper = cfg.optim_wrapper
    kind = wrapper.get('type', 'OptimWrapper')
    name = type_name(wrapper) or 'OptimWrapper'
    if name not in ('OptimWrapper', 'AmpOptimWrapper', 'CPUAmpOptimWrapper'):
        raise ValueError(f'`amp`: optim_wrapper.type={kind!r}: expected '
                         f'\'OptimWrapper\'; set it in the config')
    if cuda:
        if name != 'AmpOptimWrapper':
            wrapper.type = 'AmpOptimWrapper'
            wrapper.setdefault('loss_scale', 'dynamic')
        return cfg
    check_cpu_bfloat16()
    wrapper.type = 'CPUAmpOptimWrapper'
    for gpu_only in ('loss_scale', 'dtype', 'use_fsdp'):
        wrapper.pop(gpu_only, None)
    log('Mixed precision without a GPU: the forward pass runs in bfloat16 on '
        'the CPU (float16 needs a GPU). That is faster only on CPUs with '
        'bfloat16 instructions.')
    return cfg


def check_amp(cfg: Config, cuda: bool) -> None:
    """Refuse a config of mixed precision for GPUs where there is none.

    Raises:
        ValueError: In the place of mmengine's assertion.
    """
    if not cuda and type_name(cfg.get('optim_wrapper')) == 'AmpOptimWrapper':
        raise ValueError(
            'optim_wrapper.type=\'AmpOptimWrapper\' needs a GPU, and torch '
            'finds none: set \'OptimWrapper\', or pass `amp=True`, which '
            'trains in bfloat16 on a CPU')


def with_resume(cfg: Config, resume: str) -> Config:
    """A copy of a config that goes on with a training.

    Args:
        cfg (Config): Its ``work_dir`` is set.
        resume (str): A checkpoint, or ``'auto'`` for the last whole one in
            the work_dir; where there is none yet, the training starts as
            without it.

    Raises:
        ValueError: If the checkpoint does not exist or is truncated.
    """
    cfg = copy.deepcopy(cfg)
    if resume == 'auto':
        resume = checkpoint_to_resume(cfg.work_dir)
        if resume is None:
            log(f'Nothing to resume in {cfg.work_dir}: starting from '
                f'load_from={cfg.get("load_from")!r}')
            return cfg
        log(f'Going on from {resume}')
    if not osp.exists(require_regular(resume)):
        raise ValueError(f'`resume` {resume}: no such checkpoint')
    if is_truncated(resume):
        whole = [path
                 for path in numbered_checkpoints(osp.dirname(resume) or '.')
                 if not is_truncated(path)]
        remedy = (f'the newest whole one beside it is {whole[0]}'
                  if whole else 'there is no whole one beside it')
        raise ValueError(f'`resume`: {truncated_message(resume)}; {remedy}')
    cfg.resume = True
    cfg.load_from = resume
    return cfg


def on_cpus(cfg: Config, launcher: str) -> Config:
    """A copy of a config for training in processes without GPUs.

    mmengine gives its wrapper a device id, and mmyolo converts to a
    synchronized batch norm; neither exists without CUDA.

    Args:
        cfg (Config): A config.
        launcher (str): ``'pytorch'`` or another that mmengine knows.

    Raises:
        ValueError: If the launcher needs GPUs.
    """
    if launcher not in ('pytorch', 'slurm'):
        raise ValueError(f'`launcher` {launcher} needs GPUs, and torch finds '
                         f'none: expected `launcher` pytorch (as '
                         f'tools/dist_train.sh sets it), slurm or none')
    cfg = copy.deepcopy(cfg)
    wrapper = dict(
        type='MMDistributedDataParallel', broadcast_buffers=False,
        find_unused_parameters=cfg.get('find_unused_parameters', False))
    wrapper.update(cfg.get('model_wrapper_cfg') or {})
    wrapper['device_ids'] = None
    cfg.model_wrapper_cfg = wrapper
    if _is_yolo_detector(cfg.model):
        cfg.model.use_syncbn = False
    cfg.merge_from_dict({'env_cfg.dist_cfg.backend': 'gloo'})
    return cfg


def _is_yolo_detector(model: Mapping[str, Any]) -> bool:
    """Whether a model config takes ``use_syncbn``."""
    from mmengine.registry import DefaultScope
    from mmyolo.models.detectors import YOLODetector
    from mmyolo.registry import MODELS
    with DefaultScope.overwrite_default_scope('mmyolo'):
        kind = model['type']
        kind = MODELS.get(kind) if isinstance(kind, str) else kind
    return kind is not None and issubclass(kind, YOLODetector)


def warn_of_bias_warmup(cfg: Config) -> None:
    """Warn of a warmup meant for SGD in a config with Adam."""
    hook = (cfg.get('default_hooks') or {}).get('param_scheduler') or {}
    optimizer = (cfg.get('optim_wrapper') or {}).get('optimizer') or {}
    start = hook.get('warmup_bias_lr', 0.1)
    if (type_name(hook) == 'YOLOv5ParamSchedulerHook'
            and 'Adam' in type_name(optimizer)
            and start > 10 * optimizer.get('lr', start)):
        log(
            f'default_hooks.param_scheduler.warmup_bias_lr={start} is a '
            f'learning rate for SGD; {type_name(optimizer)} will take it for '
            f'the third group of parameters while warming up. '
            f'warmup_bias_lr=0.0 warms all of them up alike.',
            logging.WARNING)


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
