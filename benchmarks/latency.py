"""Latency of one image: YOLOv8, text-conditioned, folded and deployed.

Four detectors of the same size, with random weights, run in turn in one
process, so that what else the machine does meets all of them; medians and
their ratios to YOLOv8's are printed as a table, and written as JSON and as a
picture beside it. Without post-processing, which is the same for all. The
texts of the text-conditioned one are encoded already and an input.
onnxruntime and its exporter are not among the requirements: pip install onnx
onnxruntime onnxscript.

    python benchmarks/latency.py --sizes s l --threads 2 --rounds 30
"""
import argparse
import json
import logging
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Tuple

os.environ.setdefault('NO_ALBUMENTATIONS_UPDATE', '1')

import torch  # noqa: E402
from mmengine.config import ConfigDict  # noqa: E402
from mmengine.registry import init_default_scope  # noqa: E402
from mmyolo.registry import MODELS  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402
from torch import Tensor, nn  # noqa: E402

import yolo_world_rep  # noqa: E402, F401  registers the models
from yolo_world_rep.deploy import count_flops, fuse  # noqa: E402
from yolo_world_rep.utils import cli  # noqa: E402
from yolo_world_rep.utils.files import atomic_path  # noqa: E402

# Deepen factor, widen factor, channels of the last stage.
SIZES = dict(
    s=(0.33, 0.5, 1024),
    m=(0.67, 0.75, 768),
    l=(1.0, 1.0, 512),
    x=(1.0, 1.25, 512))
FORMS = ('yolov8', 'text-conditioned', 'folded', 'deploy')
RUNTIMES = ('eager', 'onnxruntime')
WIDTH = 512
WARM_UP = 3
TABLE_WIDTH = 110
Run = Callable[[], Any]


class Raw(nn.Module):
    """A detector's raw outputs as a flat tuple; texts are an input."""

    def __init__(self, detector: nn.Module) -> None:
        super().__init__()
        self.detector = detector
        self.takes_text = getattr(detector, 'text_conditioned', False)

    def forward(self, image: Tensor, *text: Tensor) -> Tuple[Tensor, ...]:
        """(1, 3, H, W), and texts (1, N, D) -> logits and boxes."""
        if not self.takes_text:
            outputs = self.detector(image, mode='tensor')
        else:
            features = self.detector.backbone.forward_image(image)
            features = self.detector.neck(features, *text)
            outputs = self.detector.bbox_head.head_module(features, *text)
        return tuple(level for levels in outputs for level in levels)


def build(form: str, size: str, num_classes: int) -> nn.Module:
    """A detector of random weights in evaluation mode."""
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
        type='YOLODetector', backbone=image_model, neck=neck, bbox_head=head)
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
            backbone=dict(
                type='MultiModalYOLOBackbone',
                with_text_model=False,
                image_model=image_model))
        head.update(type='YOLOWorldHead')
    if folded:
        module.update(type='RepYOLOWorldHeadModule', num_guide=num_classes)
        head.update(type='YOLOv8Head')
    detector = MODELS.build(ConfigDict(model)).eval().requires_grad_(False)
    return fuse(detector, inplace=True) if form == 'deploy' else detector


def onnx_run(model: nn.Module, inputs: Tuple[Tensor, ...],
             threads: int) -> Run:
    """A run in ONNX Runtime on the CPU, after a comparison with torch's."""
    try:
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ValueError(
            f'--runtimes onnxruntime: {error}. pip install onnx onnxruntime '
            f'onnxscript, or give --runtimes eager.') from None
    names = ['image', 'text'][:len(inputs)]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / 'model.onnx')
        torch.onnx.export(
            model, inputs, path, input_names=names, dynamo=True, verbose=False)
        session = onnxruntime.InferenceSession(
            path, options, providers=['CPUExecutionProvider'])
    feed = {name: value.numpy() for name, value in zip(names, inputs)}
    for found, expected in zip(session.run(None, feed), model(*inputs)):
        error = (torch.from_numpy(found) - expected).abs().max()
        if not error <= 1e-4 * expected.abs().max():
            raise ValueError(
                f'The exported model is off by {error:.1e}, of outputs up to '
                f'{expected.abs().max():.1e}; expected 1e-4 of that at most.')
    return lambda: session.run(None, feed)


def measure(runs: Dict[Any, Run], rounds: int) -> Dict[Any, List[float]]:
    """Milliseconds of each run in each round, taking turns at being first."""
    for run in runs.values():
        for _ in range(WARM_UP):
            run()
    times: Dict[Any, List[float]] = {name: [] for name in runs}
    order = list(runs)
    for _ in range(rounds):
        for name in order:
            start = time.perf_counter()
            runs[name]()
            times[name].append((time.perf_counter() - start) * 1e3)
        order.append(order.pop(0))
    return times


@torch.no_grad()
def compare(size: str, num_classes: int,
            args: argparse.Namespace) -> List[Dict[str, Any]]:
    """All forms of a size in all runtimes, as rows."""
    image_size = (args.image_size, args.image_size)
    torch.manual_seed(0)
    image = torch.rand(1, 3, *image_size)
    text = torch.nn.functional.normalize(
        torch.randn(1, num_classes, WIDTH), dim=-1)
    runs, flops = {}, {}
    for form in FORMS:
        model = Raw(build(form, size, num_classes)).eval()
        inputs = (image, text) if model.takes_text else (image, )
        flops[form] = count_flops(model.detector, image_size) / 1e9
        if 'eager' in args.runtimes:
            runs['eager', form] = lambda m=model, i=inputs: m(*i)
        if 'onnxruntime' in args.runtimes:
            runs['onnxruntime', form] = onnx_run(model, inputs, args.threads)
    times = measure(runs, args.rounds)
    medians = {
        key: statistics.median(values)
        for key, values in times.items()
    }
    rows = []
    for (runtime, form), values in times.items():
        quarters = statistics.quantiles(values, n=4)
        rows.append(
            dict(
                size=size,
                classes=num_classes,
                runtime=runtime,
                form=form,
                gflops=flops[form],
                gflops_ratio=flops[form] / flops['yolov8'],
                median_ms=medians[runtime, form],
                quartiles_ms=[quarters[0], quarters[2]],
                ratio=medians[runtime, form] / medians[runtime, 'yolov8'],
                times_ms=values))
    return rows


def table_of(rows: List[Dict[str, Any]]) -> Table:
    """The rows for the terminal."""
    table = Table(title='One image, without post-processing')
    for name in ('size', 'classes', 'runtime', 'form', 'GFLOPs', '÷ YOLOv8',
                 'median ms', 'quartiles', '÷ YOLOv8'):
        table.add_column(name, justify='right')
    for row in sorted(rows, key=lambda r: (r['size'], r['runtime'])):
        low, high = row['quartiles_ms']
        table.add_row(row['size'], str(row['classes']), row['runtime'],
                      row['form'], f'{row["gflops"]:.1f}',
                      f'{row["gflops_ratio"]:.3f}',
                      f'{row["median_ms"]:.1f}', f'{low:.1f}–{high:.1f}',
                      f'{row["ratio"]:.3f}')
    return table


def plot(rows: List[Dict[str, Any]], path: Path) -> None:
    """The ratios to YOLOv8 as bars, a panel for each runtime."""
    import matplotlib
    matplotlib.use('Agg')
    from matplotlib import pyplot as plt
    runtimes = list(dict.fromkeys(row['runtime'] for row in rows))
    figure, panels = plt.subplots(
        1,
        len(runtimes),
        figsize=(5 * len(runtimes), 4),
        sharey=True,
        squeeze=False,
        layout='constrained')
    for panel, runtime in zip(panels[0], runtimes):
        for offset, form in enumerate(FORMS):
            own = [
                row for row in rows
                if row['runtime'] == runtime and row['form'] == form
            ]
            panel.bar([index + offset / 5 for index in range(len(own))],
                      [row['ratio'] for row in own],
                      width=0.18,
                      label=form)
        panel.set_xticks([index + 0.3 for index in range(len(own))], [
            f'{row["size"].upper()}, {row["classes"]} classes' for row in own
        ])
        panel.set_title(runtime)
    panels[0][0].set_ylabel('latency ÷ YOLOv8')
    handles = panels[0][0].get_legend_handles_labels()
    figure.legend(*handles, loc='outside lower center', ncols=len(FORMS))
    figure.savefig(path, format='png', dpi=120)
    plt.close(figure)


def positive(value: str) -> int:
    """An integer of at least 1, for argparse."""
    number = int(value)
    if number < 1:
        raise argparse.ArgumentTypeError(f'{value}: expected 1 or more')
    return number


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--sizes', nargs='+', choices=SIZES, default=['s'])
    parser.add_argument('--classes', nargs='+', type=positive, default=[80])
    parser.add_argument(
        '--runtimes', nargs='+', choices=RUNTIMES, default=list(RUNTIMES))
    parser.add_argument('--image-size', type=positive, default=640)
    parser.add_argument('--threads', type=positive, default=2)
    parser.add_argument('--rounds', type=positive, default=30)
    parser.add_argument(
        '--out', type=Path, default=Path('work_dirs/latency.json'))
    args = parser.parse_args()
    if args.image_size % 32:
        parser.error(f'--image-size {args.image_size}: expected a multiple '
                     f'of 32')
    if args.rounds < 2:
        parser.error('--rounds 1: expected 2 or more')
    return args


def main() -> None:
    """Measure, print and write."""
    args = parse_args()
    console = Console()
    console.width = max(console.width, TABLE_WIDTH)
    # It lists what is not installed, for each export.
    logging.getLogger('torch.onnx').setLevel(logging.ERROR)
    init_default_scope('mmyolo')
    torch.set_num_threads(args.threads)
    rows = []
    for size in args.sizes:
        for num_classes in args.classes:
            rows += compare(size, num_classes, args)
    console.print(table_of(rows))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(args.out) as temporary:
        temporary.write_text(
            json.dumps(
                dict(
                    machine=platform.machine(),
                    cores=os.cpu_count(),
                    threads=args.threads,
                    image_size=args.image_size,
                    rounds=args.rounds,
                    torch=torch.__version__,
                    rows=rows),
                indent=1))
    picture = args.out.with_suffix('.png')
    with atomic_path(picture) as temporary:
        plot(rows, temporary)
    console.print(f'written: {args.out} and {picture.name}')


if __name__ == '__main__':
    cli.run(main)
