"""From a config and the arguments of a command to a runner."""
import logging
import os.path as osp
import sys
from importlib.util import find_spec
from typing import Any, Optional

import torch
from mmengine.config import Config
from mmengine.runner import Runner

from ..config.annotation_files import use_sound_files
from ..config.options import with_options
from ..config.variables import check_config, find, resolve_variables, type_name
from ..utils.files import require_regular
from . import adapt
from .checkpoints import is_truncated, truncated_message
from .hooks.terminal_hook import TerminalHook
from .loading import read_safely
from .process_group import start_processes
from .terminal import Log


def work_dir_of(cfg: Config, config_path: str, work_dir: Optional[str]) -> str:
    """The command's folder, else the config's, else one named after it."""
    name = osp.splitext(osp.basename(config_path))[0]
    return work_dir or cfg.get('work_dir') or osp.join('work_dirs', name)


def _prepared(cfg: Config, config_path: str, work_dir: Optional[str],
              cfg_options: Optional[dict], launcher: str,
              cuda: bool) -> Config:
    """What training and testing share."""
    cfg, notes = resolve_variables(with_options(cfg, cfg_options))
    for note in notes:
        adapt.log(f'Config: {note}')
    check_config(cfg)
    cfg.launcher = launcher
    cfg.work_dir = work_dir_of(cfg, config_path, work_dir)
    adapt.use_checked_images(cfg)
    adapt.add_hook(cfg, 'checkpoint_guard', type='CheckpointGuardHook')
    adapt.keep_names_and_origin(cfg)
    if launcher != 'none' and not cuda:
        adapt.run_on_cpus(cfg, launcher)
    return cfg


def config_for_training(
        cfg: Config, config_path: str, work_dir: Optional[str] = None,
        amp: bool = False, resume: Optional[str] = None,
        cfg_options: Optional[dict] = None, launcher: str = 'none',
        cuda: Optional[bool] = None, skip_unreadable: bool = False,
        trust: bool = False, cache: int = 0) -> Config:
    """The config that a training runs, for :func:`build_runner`; a copy.

    ``config_path`` is its file, which names the default ``work_dir``;
    ``resume`` is a checkpoint or ``'auto'`` for the last one in the work_dir;
    ``cfg_options`` are dotted keys and values; ``launcher`` is ``'none'``,
    ``'pytorch'``, ``'slurm'`` or ``'mpi'``. ``cuda`` says whether there is a
    GPU (None asks torch), ``trust`` whether code in a checkpoint may run;
    ``cache`` is how many MiB of decoded images each worker keeps.
    A ``ValueError`` says where these contradict the config or the machine.
    """
    cuda = torch.cuda.is_available() if cuda is None else cuda
    cfg = _prepared(cfg, config_path, work_dir, cfg_options, launcher, cuda)
    adapt.use_fast_transforms(cfg)
    if cache:
        adapt.keep_decoded_images(cfg, cache)
    adapt.use_safe_checkpoints(cfg)
    adapt.add_hook(cfg, 'training_watch', type='TrainingWatchHook')
    if launcher != 'none':
        adapt.add_hook(cfg, 'sync_statistics', type='SyncStatisticsHook')
    adapt.set_precision(cfg, amp, cuda)
    if skip_unreadable:
        adapt.skip_unreadable_images(cfg)
    if resume:
        adapt.resume_from(cfg, resume)
    cfg = adapt.with_class_branch_of_file(cfg, training=True, trust=trust)
    adapt.warn_of_bias_warmup(cfg)
    adapt.tell_of_accumulation(cfg)
    return cfg


def config_for_test(
        cfg: Config, config_path: str, checkpoint: str,
        work_dir: Optional[str] = None, json_prefix: Optional[str] = None,
        show: bool = False, show_dir: Optional[str] = None,
        wait_time: float = 2, tta: bool = False, deploy: bool = False,
        cfg_options: Optional[dict] = None, launcher: str = 'none',
        cuda: Optional[bool] = None, trust: bool = False) -> Config:
    """The config that a test runs; see :func:`config_for_training`.

    With ``json_prefix`` detections go to ``PREFIX.bbox.json`` and are not
    evaluated. ``show_dir``, for drawings, is a folder in the log folder;
    ``wait_time`` is how many seconds a window stays. ``tta`` averages over
    augmentations; ``deploy`` switches mmyolo's RepVGG blocks to their
    deployment form.
    """
    cuda = torch.cuda.is_available() if cuda is None else cuda
    cfg = _prepared(cfg, config_path, work_dir, cfg_options, launcher, cuda)
    if not checkpoint.startswith(('http://', 'https://')) and (
            not osp.exists(checkpoint)):
        raise ValueError(f'{checkpoint}: no such checkpoint')
    cfg.load_from = checkpoint
    cfg.resume = False
    cfg = adapt.with_class_branch_of_file(cfg, training=False, trust=trust)
    if show or show_dir:
        drawing = (cfg.get('default_hooks') or {}).get('visualization')
        if drawing is None:
            raise ValueError(
                '`show` and `show_dir` need default_hooks.visualization; set '
                'it to dict(type=\'mmdet.DetVisualizationHook\')')
        drawing.update(draw=True)
        if show:
            drawing.update(show=True, wait_time=wait_time)
        if show_dir:
            drawing.update(test_out_dir=show_dir)
    if deploy:
        cfg.custom_hooks = [*(cfg.get('custom_hooks') or ()),
                            dict(type='SwitchToDeployHook')]
    if json_prefix is not None:
        cfg.merge_from_dict({'test_evaluator.format_only': True,
                             'test_evaluator.outfile_prefix': json_prefix})
    if tta:
        _average_over_augmentations(cfg)
    return cfg


def _average_over_augmentations(cfg: Config) -> None:
    for name in ('tta_model', 'tta_pipeline'):
        if name not in cfg:
            raise ValueError(f'`tta`: the config has no {name}; inherit '
                             f'mmyolo::_base_/det_p5_tta.py')
    cfg.model = dict(**cfg.tta_model, module=cfg.model)
    dataset = cfg.test_dataloader.dataset
    while 'dataset' in dataset:
        dataset = dataset['dataset']
    # Averaging wants images of the sizes it asks for.
    if 'batch_shapes_cfg' in dataset:
        dataset.batch_shapes_cfg = None
    dataset.pipeline = cfg.tta_pipeline


def check_files(cfg: Config, loaders: Any,
                level: int = logging.WARNING) -> None:
    """Refuse a config whose annotation files or checkpoint do not exist.

    The same goes for albumentations, where a pipeline needs it. ``loaders``
    are the names of the data loaders that will be built; their COCO files are
    checked and put right by :func:`use_sound_files`.
    """
    # mmdet would end at the first that is built, with a traceback.
    for loader in loaders if find_spec('albumentations') is None else ():
        for node, _, where in find(cfg._cfg_dict, [loader, '**', 'type']):
            if type_name(node) == 'Albu':
                raise ImportError(
                    f'{where.rpartition(".")[0]} is an Albu, and '
                    f'albumentations is not installed: pip install '
                    f'albumentations')
    source = cfg.get('load_from')
    paths = [(where, osp.join(dataset.get('data_root') or '', dataset[key]))
             for loader in loaders for dataset, key, where in find(
                 cfg._cfg_dict, [loader, '**', 'ann_file'])]
    if source:
        paths.append(('load_from', str(source)))
    missing = [f'{where}={path!r}' for where, path in paths
               if path and '://' not in path and not osp.exists(path)]
    if missing:
        raise ValueError(
            f'No such file: {", ".join(missing)}. Set data_root, the '
            f'annotation files and load_from in the config or with '
            f'`cfg_options`.')
    for _, path in paths:
        require_regular(path)
    if source and osp.isfile(source) and is_truncated(source):
        raise ValueError(f'load_from: {truncated_message(source)}')
    use_sound_files(cfg, loaders, level)


def build_runner(cfg: Config, trust: bool = False) -> Runner:
    """Build the runner of a prepared config.

    ``trust`` has mmengine load checkpoints itself, so that code in them runs,
    see :func:`~.loading.read_safely`.
    """
    from mmyolo.registry import RUNNERS
    from mmyolo.utils import is_metainfo_lower
    try:
        # A loader may be None, which mmyolo's check does not expect.
        is_metainfo_lower({k: v for k, v in cfg.items() if v is not None})
    except AssertionError as error:
        raise ValueError(str(error)) from error
    start_processes(cfg)
    read_safely(trust)
    runner = (RUNNERS.build(cfg) if 'runner_type' in cfg
              else Runner.from_cfg(cfg))
    # yapf would take a second to format it for each checkpoint.
    object.__setattr__(runner.cfg, '_format_python_code', False)
    if isinstance(sys.stdout, Log) and runner.rank == 0:
        runner.register_hook(TerminalHook(sys.stdout.terminal))
    return runner


def train(runner: Runner) -> None:
    """Train; a ``ValueError`` says in one line that another process ended."""
    from torch import distributed
    try:
        runner.train()
    except RuntimeError as error:
        known = getattr(distributed, 'DistError', ())
        # gloo raises plain ones, with the place in its sources.
        if runner.world_size == 1 or not (
                isinstance(error, known) or 'gloo' in str(error)):
            raise
        raise ValueError(
            f'Process {runner.rank} of {runner.world_size} lost another one: '
            f'{str(error).splitlines()[0]}. The output of the one that ended '
            f'first says why; go on with `resume`.') from error
