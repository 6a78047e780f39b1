"""The detectors that the benchmarks of speed and memory compare."""
import argparse
import json
import os
import platform
import time
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, List

import torch
from mmengine.config import ConfigDict
from mmengine.registry import init_default_scope
from mmyolo.registry import MODELS
from torch import nn

import yolo_world_rep  # noqa: F401  mmyolo finds our models
from yolo_world_rep.deploy import fuse
from yolo_world_rep.utils.files import atomic_path

# Deepen factor, widen factor, channels of the last stage.
SIZES = dict(
    s=(0.33, 0.5, 1024),
    m=(0.67, 0.75, 768),
    l=(1.0, 1.0, 512),
    x=(1.0, 1.25, 512))
WIDTH = 512
ASSIGNER = dict(
    type='BatchTaskAlignedAssigner',
    use_ciou=True,
    topk=10,
    alpha=0.5,
    beta=6.0,
    eps=1e-9)
TEST_CFG = dict(
    multi_label=True,
    nms_pre=30000,
    score_thr=0.001,
    nms=dict(type='nms', iou_threshold=0.7),
    max_per_img=300)
WARM_UP = 3


def build(form: str,
          size: str,
          num_classes: int,
          **head_options: Any) -> nn.Module:
    """A detector of random weights.

    Args:
        form (str): ``'yolov8'``, ``'text-conditioned'``, ``'folded'`` or
            ``'deploy'``.
        size (str): Of :data:`SIZES`.
        num_classes (int): N.
        **head_options: More arguments of our heads.
    """
    deepen, widen, last = SIZES[size]
    channels = [256, 512, last]
    scale = dict(deepen_factor=deepen, widen_factor=widen)
    norm = dict(norm_cfg=dict(type='BN', momentum=0.03, eps=0.001))
    image_model = dict(
        type='YOLOv8CSPDarknet', last_stage_out_channels=last, **scale, **norm)
    neck = dict(
        type='YOLOv8PAFPN',
        in_channels=channels,
        out_channels=channels,
        num_csp_blocks=3,
        **scale,
        **norm)
    module = dict(
        type='YOLOv8HeadModule',
        num_classes=num_classes,
        in_channels=channels,
        widen_factor=widen,
        **norm)
    head = dict(type='YOLOv8Head', head_module=module)
    model = dict(
        type='YOLODetector',
        use_syncbn=False,
        backbone=image_model,
        neck=neck,
        bbox_head=head,
        train_cfg=dict(assigner=dict(ASSIGNER, num_classes=num_classes)),
        test_cfg=TEST_CFG)
    folded = form in ('folded', 'deploy')
    if form != 'yolov8':
        block = 'RepConvMaxSigmoidCSPLayerWithTwoConv' if folded else (
            'MaxSigmoidCSPLayerWithTwoConv')
        neck.update(
            type='YOLOWorldPAFPN',
            guide_channels=num_classes if folded else WIDTH,
            embed_channels=[128, 256, last // 2],
            num_heads=[4, 8, last // 2 // 32],
            block_cfg=dict(type=block))
        module.update(
            type='YOLOWorldHeadModule', embed_dims=WIDTH, use_bn_head=True)
        model.update(
            type='SimpleYOLOWorldDetector',
            mm_neck=True,
            reparameterized=folded,
            prompt_dim=WIDTH,
            num_prompts=num_classes,
            num_train_classes=num_classes,
            num_test_classes=num_classes,
            backbone=dict(
                type='MultiModalYOLOBackbone',
                with_text_model=False,
                image_model=image_model))
        head.update(type='YOLOWorldHead', **head_options)
    if folded:
        module.update(type='RepYOLOWorldHeadModule', num_guide=num_classes)
        head.update(type='RepYOLOWorldHead')
    elif form != 'yolov8':
        # The texts are those of the data set, not tuned.
        model.update(freeze_prompt=True)
    init_default_scope('mmyolo')
    detector = MODELS.build(ConfigDict(model))
    if form == 'deploy':
        return fuse(detector.eval(), inplace=True)
    return detector


def measure(runs: Dict[Any, Callable[[], Any]],
            rounds: int,
            device: str = 'cpu',
            cpu_time: bool = False) -> Dict[Any, List[float]]:
    """Milliseconds of each run in each round, taking turns at being first.

    On a GPU they are what passes between two events around a run; with
    ``cpu_time``, what the processor spent on this process.
    """
    clock = _gpu_milliseconds if device == 'cuda' else (
        partial(_milliseconds,
                time.process_time if cpu_time else time.perf_counter))
    for run in runs.values():
        for _ in range(WARM_UP):
            run()
    times: Dict[Any, List[float]] = {name: [] for name in runs}
    order = list(runs)
    for _ in range(rounds):
        for name in order:
            times[name].append(clock(runs[name]))
        order.append(order.pop(0))
    return times


def _milliseconds(clock: Callable[[], float], run: Callable[[],
                                                            Any]) -> float:
    start = clock()
    run()
    return (clock() - start) * 1e3


def _gpu_milliseconds(run: Callable[[], Any]) -> float:
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    start.record()
    run()
    end.record()
    torch.cuda.synchronize()
    return start.elapsed_time(end)


def positive(value: str) -> int:
    """An integer of at least 1, for argparse."""
    number = int(value)
    if number < 1:
        raise argparse.ArgumentTypeError(f'{value}: expected 1 or more')
    return number


def require_device(device: str) -> None:
    """Refuse a GPU that is not there.

    Raises:
        ValueError: If so.
    """
    if device == 'cuda' and not torch.cuda.is_available():
        raise ValueError(
            '--device cuda: torch sees no GPU here; expected one. Give '
            '--device cpu, or run it where there is a GPU.')


def hardware(device: str, threads: int) -> Dict[str, Any]:
    """What a result was measured on."""
    name = platform.machine()
    cpuinfo = Path('/proc/cpuinfo')
    if cpuinfo.exists():
        lines = [
            line.split(':', 1)[1].strip()
            for line in cpuinfo.read_text(encoding='utf-8').splitlines()
            if line.startswith('model name')
        ]
        name = lines[0] if lines else name
    return dict(
        device=torch.cuda.get_device_name() if device == 'cuda' else name,
        cores=os.cpu_count(),
        threads=threads,
        load=os.getloadavg()[0] if hasattr(os, 'getloadavg') else None,
        torch=torch.__version__)


def common_options(parser: argparse.ArgumentParser, name: str,
                   rounds: int) -> None:
    """What all the benchmarks take."""
    parser.add_argument('--sizes', nargs='+', choices=SIZES, default=['s'])
    parser.add_argument('--device', choices=('cpu', 'cuda'), default='cpu')
    parser.add_argument('--threads', type=positive, default=2)
    parser.add_argument('--rounds', type=positive, default=rounds)
    parser.add_argument(
        '--out', type=Path, default=Path(f'work_dirs/{name}.json'))


def write_report(rows: List[Dict[str, Any]],
                 args: argparse.Namespace,
                 plot: Callable[[List[Dict[str, Any]], Path], None],
                 **settings: Any) -> str:
    """Write the JSON of a benchmark, and its picture beside it.

    Args:
        rows (list[dict]): What was measured.
        args (Namespace): With the :func:`common_options`.
        plot (Callable): Draws the rows into a file.
        **settings: More of the report.

    Returns:
        str: What was written, for the terminal.
    """
    args.out.parent.mkdir(parents=True, exist_ok=True)
    report = dict(
        **hardware(args.device, args.threads),
        rounds=args.rounds,
        **settings,
        rows=rows)
    with atomic_path(args.out) as temporary:
        temporary.write_text(json.dumps(report, indent=1), encoding='utf-8')
    picture = args.out.with_suffix('.png')
    with atomic_path(picture) as temporary:
        plot(rows, temporary)
    return f'written: {args.out} and {picture.name}'
