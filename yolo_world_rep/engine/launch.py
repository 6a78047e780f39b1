"""From a config and the arguments of a command to a runner."""
import argparse
import copy
import logging
import os
import os.path as osp
from typing import Any, Mapping, Optional

import torch
from mmengine.config import Config, DictAction
from mmengine.logging import print_log
from mmengine.runner import Runner, find_latest_checkpoint

from .variables import check_config, find, resolve_variables, type_name

GUARD = 'CheckpointGuardHook'


def parse_run_args(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Parse a command line with the arguments every run has.

    Args:
        parser (ArgumentParser): With the command's own arguments; it gets
            ``--cfg-options``, ``--launcher`` and ``--local_rank``.

    Returns:
        Namespace: The arguments. The local rank is in the environment as
        well, where mmengine looks for it.
    """
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        help='settings to override, key=value; lists as key="[a,b]"')
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='how the processes were started')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)
    args = parser.parse_args()
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


def log(message: str) -> None:
    """Log before a runner, with its logger, exists."""
    print_log(message, 'current', logging.INFO)


def work_dir_of(cfg: Config, config_path: str,
                work_dir: Optional[str]) -> str:
    """The command's folder, else the config's, else one named after it."""
    name = osp.splitext(osp.basename(config_path))[0]
    return work_dir or cfg.get('work_dir') or osp.join('work_dirs', name)


def with_guard(cfg: Config) -> Config:
    """A copy of a config that has the checkpoint guard."""
    cfg = copy.deepcopy(cfg)
    hooks = [
        *(cfg.get('default_hooks') or {}).values(),
        *(cfg.get('custom_hooks') or ())
    ]
    if not any(type_name(hook) == GUARD for hook in hooks):
        cfg.merge_from_dict(
            {'default_hooks.checkpoint_guard': dict(type=GUARD)})
    return cfg


def with_amp(cfg: Config, cuda: bool) -> Config:
    """A copy of a config that trains in mixed precision.

    Args:
        cfg (Config): A training config.
        cuda (bool): Whether there is a GPU.

    Raises:
        ValueError: Without a GPU, or for an optimizer wrapper that cannot.
    """
    if not cuda:
        raise ValueError(
            '--amp needs a GPU: mmengine\'s AmpOptimWrapper refuses to train '
            'on a CPU; leave --amp out here')
    cfg = copy.deepcopy(cfg)
    kind = cfg.optim_wrapper.get('type', 'OptimWrapper')
    if type_name(cfg.optim_wrapper) == 'AmpOptimWrapper':
        return cfg
    if kind != 'OptimWrapper':
        raise ValueError(f'--amp: optim_wrapper.type={kind!r}: expected '
                         f'\'OptimWrapper\'; set it in the config')
    cfg.optim_wrapper.type = 'AmpOptimWrapper'
    cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')
    return cfg


def with_resume(cfg: Config, resume: str) -> Config:
    """A copy of a config that goes on with a training.

    Args:
        cfg (Config): Its ``work_dir`` is set.
        resume (str): A checkpoint, or ``'auto'`` for the last one in the
            work_dir; where there is none yet, the training starts as
            without it.

    Raises:
        ValueError: If the checkpoint does not exist.
    """
    cfg = copy.deepcopy(cfg)
    if resume == 'auto':
        resume = find_latest_checkpoint(cfg.work_dir)
        if resume is None:
            log(f'Nothing to resume in {cfg.work_dir}: starting from '
                f'load_from={cfg.get("load_from")!r}')
            return cfg
        if not osp.exists(resume):
            # The file keeps an absolute path, the folder may have moved.
            resume = osp.join(cfg.work_dir, osp.basename(resume))
    if not osp.exists(resume):
        raise ValueError(f'--resume {resume}: no such checkpoint')
    cfg.resume = True
    cfg.load_from = resume
    return cfg


def on_cpus(cfg: Config, launcher: str) -> Config:
    """A copy of a config for training in processes without GPUs.

    mmengine gives its wrapper a device id, and mmyolo converts to a
    synchronized batch norm; neither exists without CUDA.

    Args:
        cfg (Config): A config.
        launcher (str): The ``--launcher``.

    Raises:
        ValueError: If the launcher needs GPUs.
    """
    if launcher != 'pytorch':
        raise ValueError(f'--launcher {launcher} needs GPUs, and torch finds '
                         f'none: expected --launcher pytorch (as '
                         f'tools/dist_train.sh sets it) or none')
    cfg = copy.deepcopy(cfg)
    wrapper = dict(
        type='MMDistributedDataParallel',
        broadcast_buffers=False,
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


def _prepared(cfg: Config, config_path: str, work_dir: Optional[str],
              cfg_options: Optional[dict], launcher: str,
              cuda: bool) -> Config:
    """What training and testing share."""
    cfg = copy.deepcopy(cfg)
    if cfg_options:
        cfg.merge_from_dict(cfg_options)
    cfg, notes = resolve_variables(cfg)
    for note in notes:
        log(f'Config: {note}')
    check_config(cfg)
    cfg.launcher = launcher
    cfg.work_dir = work_dir_of(cfg, config_path, work_dir)
    cfg = with_guard(cfg)
    if launcher != 'none' and not cuda:
        cfg = on_cpus(cfg, launcher)
    return cfg


def _warn_of_bias_warmup(cfg: Config) -> None:
    hook = (cfg.get('default_hooks') or {}).get('param_scheduler') or {}
    optimizer = (cfg.get('optim_wrapper') or {}).get('optimizer') or {}
    start = hook.get('warmup_bias_lr', 0.1)
    if (type_name(hook) == 'YOLOv5ParamSchedulerHook'
            and 'Adam' in type_name(optimizer)
            and start > 10 * optimizer.get('lr', start)):
        print_log(
            f'default_hooks.param_scheduler.warmup_bias_lr={start} is a '
            f'learning rate for SGD; {type_name(optimizer)} will take it for '
            f'the third group of parameters while warming up. '
            f'warmup_bias_lr=0.0 warms all of them up alike.', 'current',
            logging.WARNING)


def config_for_training(cfg: Config,
                        config_path: str,
                        work_dir: Optional[str] = None,
                        amp: bool = False,
                        resume: Optional[str] = None,
                        cfg_options: Optional[dict] = None,
                        launcher: str = 'none',
                        cuda: Optional[bool] = None) -> Config:
    """The config that a training runs.

    Args:
        cfg (Config): As read from the file; not changed.
        config_path (str): Its file, which names the default work_dir.
        work_dir (str, optional): Folder of logs and checkpoints.
        amp (bool): Whether to train in mixed precision.
        resume (str, optional): Checkpoint to go on from, ``'auto'`` for the
            last one in the work_dir.
        cfg_options (dict, optional): Dotted keys and values to set.
        launcher (str): ``'none'``, ``'pytorch'``, ``'slurm'`` or ``'mpi'``.
        cuda (bool, optional): Whether there is a GPU; asked of torch by
            default.

    Returns:
        Config: A copy, for :func:`build_runner`.

    Raises:
        ValueError: If arguments and config contradict each other or the
            machine.
    """
    cuda = torch.cuda.is_available() if cuda is None else cuda
    cfg = _prepared(cfg, config_path, work_dir, cfg_options, launcher, cuda)
    if amp:
        cfg = with_amp(cfg, cuda)
    if resume:
        cfg = with_resume(cfg, resume)
    _warn_of_bias_warmup(cfg)
    return cfg


def config_for_test(cfg: Config,
                    config_path: str,
                    checkpoint: str,
                    work_dir: Optional[str] = None,
                    json_prefix: Optional[str] = None,
                    show: bool = False,
                    show_dir: Optional[str] = None,
                    wait_time: float = 2,
                    tta: bool = False,
                    deploy: bool = False,
                    cfg_options: Optional[dict] = None,
                    launcher: str = 'none',
                    cuda: Optional[bool] = None) -> Config:
    """The config that a test runs.

    Args:
        cfg (Config): As read from the file; not changed.
        config_path (str): Its file, which names the default work_dir.
        checkpoint (str): The weights to test.
        work_dir (str, optional): Folder of the logs.
        json_prefix (str, optional): Write detections to
            ``PREFIX.bbox.json`` instead of evaluating them.
        show (bool): Whether to show detections in a window.
        show_dir (str, optional): Folder, in the log folder, of drawings.
        wait_time (float): Seconds that a window stays.
        tta (bool): Whether to average over augmentations.
        deploy (bool): Whether to switch mmyolo's RepVGG blocks to their
            deployment form.
        cfg_options (dict, optional): Dotted keys and values to set.
        launcher (str): As of :func:`config_for_training`.
        cuda (bool, optional): As of :func:`config_for_training`.

    Returns:
        Config: A copy, for :func:`build_runner`.

    Raises:
        ValueError: If arguments and config contradict each other or the
            machine.
    """
    cuda = torch.cuda.is_available() if cuda is None else cuda
    cfg = _prepared(cfg, config_path, work_dir, cfg_options, launcher, cuda)
    if not checkpoint.startswith(('http://', 'https://')) and (
            not osp.exists(checkpoint)):
        raise ValueError(f'{checkpoint}: no such checkpoint')
    cfg.load_from = checkpoint
    cfg.resume = False
    if show or show_dir:
        drawing = (cfg.get('default_hooks') or {}).get('visualization')
        if drawing is None:
            raise ValueError(
                '--show and --show-dir need default_hooks.visualization; set '
                'it to dict(type=\'mmdet.DetVisualizationHook\')')
        drawing.update(draw=True)
        if show:
            drawing.update(show=True, wait_time=wait_time)
        if show_dir:
            drawing.update(test_out_dir=show_dir)
    if deploy:
        cfg.custom_hooks = [
            *(cfg.get('custom_hooks') or ()),
            dict(type='SwitchToDeployHook')
        ]
    if json_prefix is not None:
        cfg.merge_from_dict({
            'test_evaluator.format_only': True,
            'test_evaluator.outfile_prefix': json_prefix
        })
    return _with_tta(cfg) if tta else cfg


def _with_tta(cfg: Config) -> Config:
    for name in ('tta_model', 'tta_pipeline'):
        if name not in cfg:
            raise ValueError(f'--tta: the config has no {name}; inherit '
                             f'mmyolo::_base_/det_p5_tta.py')
    cfg = copy.deepcopy(cfg)
    cfg.model = dict(**cfg.tta_model, module=cfg.model)
    dataset = cfg.test_dataloader.dataset
    while 'dataset' in dataset:
        dataset = dataset['dataset']
    # Averaging wants images of the sizes it asks for.
    if 'batch_shapes_cfg' in dataset:
        dataset.batch_shapes_cfg = None
    dataset.pipeline = cfg.tta_pipeline
    return cfg


def start_processes(cfg: Config, cuda: Optional[bool] = None) -> None:
    """Make the process group where mmengine would ask CUDA for a device.

    Args:
        cfg (Config): Of :func:`config_for_training` or
            :func:`config_for_test`.
        cuda (bool, optional): Whether there is a GPU; asked of torch by
            default.

    Raises:
        ValueError: If the launcher did not set its environment.
    """
    from torch import distributed
    cuda = torch.cuda.is_available() if cuda is None else cuda
    if cfg.launcher != 'pytorch' or cuda or distributed.is_initialized():
        return
    missing = [
        name for name in ('RANK', 'WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT')
        if name not in os.environ
    ]
    if missing:
        raise ValueError(f'--launcher pytorch: {", ".join(missing)} not in '
                         f'the environment; start with tools/dist_train.sh, '
                         f'tools/dist_test.sh or torchrun')
    distributed.init_process_group('gloo')


def check_files(cfg: Config, loaders: Any) -> None:
    """Refuse a config whose annotation files or checkpoint are not there.

    Args:
        cfg (Config): Of :func:`config_for_training` or
            :func:`config_for_test`.
        loaders (Sequence[str]): The data loaders that will be built.

    Raises:
        ValueError: With all the files that are missing.
    """
    paths = []
    for loader in loaders:
        for dataset, key, where in find(
                cfg._cfg_dict, f'{loader}.**.ann_file'.split('.')):
            path = osp.join(dataset.get('data_root') or '', dataset[key])
            paths.append((f'{where}', path))
    if cfg.get('load_from'):
        paths.append(('load_from', cfg.load_from))
    missing = [
        f'{where}={path!r}' for where, path in paths
        if isinstance(path, str) and path and '://' not in path
        and not osp.exists(path)
    ]
    if missing:
        raise ValueError(
            f'No such file: {", ".join(missing)}. Set data_root, the '
            f'annotation files and load_from in the config or with '
            f'--cfg-options.')


def build_runner(cfg: Config) -> Runner:
    """Build the runner of a prepared config.

    Args:
        cfg (Config): Of :func:`config_for_training` or
            :func:`config_for_test`.

    Raises:
        ValueError: If a data set's metainfo has keys such as ``CLASSES``.
    """
    from mmyolo.registry import RUNNERS
    from mmyolo.utils import is_metainfo_lower
    try:
        is_metainfo_lower(cfg)
    except AssertionError as error:
        raise ValueError(str(error)) from error
    start_processes(cfg)
    if 'runner_type' in cfg:
        return RUNNERS.build(cfg)
    return Runner.from_cfg(cfg)
