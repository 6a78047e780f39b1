"""Latency of a batch: YOLOv8, text-conditioned, folded and deployed.

Four detectors of the same size, with random weights, run in turn in one
process, so that what else the machine does meets all of them; medians and
their ratios to YOLOv8's are printed as a table, and written as JSON and as a
picture beside it. Without post-processing, which is the same for all. The
texts of the text-conditioned one are encoded already and an input.

On a CPU there are PyTorch, ONNX Runtime, and OpenVINO in FP32 and in bf16; the
exported models are compared with PyTorch first. These need packages that are
no requirements: pip install "yolo_world_rep[onnx,openvino]". On a GPU there is
PyTorch alone, timed by events: eager, where one image at a time mostly waits
for the processor to launch kernels, and the same kernels replayed as a graph.

A round's ratio is that of two runs within a second, so that the median of
these is steadier than the ratio of the medians where a machine is shared; both
are given. --cpu-time counts the seconds of the processor in place of those of
the clock, with one thread, for a machine that is never quiet.

    python benchmarks/latency.py --sizes s l --threads 2 --rounds 30
"""
import argparse
import logging
import os
import statistics
import tempfile
from pathlib import Path
from typing import Any, Callable, Dict, List, Tuple

os.environ.setdefault('NO_ALBUMENTATIONS_UPDATE', '1')

import torch  # noqa: E402
from detectors import (  # noqa: E402
    WARM_UP,
    WIDTH,
    build,
    common_options,
    measure,
    positive,
    require_device,
    write_report,
)
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from yolo_world_rep.deploy import count_flops  # noqa: E402
from yolo_world_rep.utils import cli  # noqa: E402

FORMS = ('yolov8', 'text-conditioned', 'folded', 'deploy')
EAGER, GRAPH = ON_GPU = ('eager', 'cuda-graph')
ON_CPU = (EAGER, 'onnxruntime', 'openvino', 'openvino-bf16')
# Largest error of an exported model's outputs, of the largest output.
TOLERANCE = {'onnxruntime': 1e-4, 'openvino': 1e-4, 'openvino-bf16': 0.1}
TABLE_WIDTH = 140
Run = Callable[[], Any]


class Raw(nn.Module):
    """A detector's raw outputs as a flat tuple; texts are an input."""

    def __init__(self, detector: nn.Module) -> None:
        super().__init__()
        self.detector = detector
        self.takes_text = getattr(detector, 'text_conditioned', False)

    def forward(self, image: Tensor, *text: Tensor) -> Tuple[Tensor, ...]:
        """(B, 3, H, W), and texts (1, N, D) -> logits and boxes."""
        if not self.takes_text:
            outputs = self.detector(image, mode='tensor')
        else:
            features = self.detector.backbone.forward_image(image)
            texts = [x.expand(len(image), -1, -1) for x in text]
            features = self.detector.neck(features, *texts)
            outputs = self.detector.bbox_head.head_module(features, *texts)
        return tuple(level for levels in outputs for level in levels)


def exported_runs(model: nn.Module, inputs: Tuple[Tensor, ...],
                  args: argparse.Namespace) -> Dict[str, Run]:
    """A run in each runtime that takes files, compared with torch's."""
    runtimes = [name for name in args.runtimes if name not in ON_GPU]
    if not runtimes:
        return {}
    openers = {
        'onnxruntime': open_onnxruntime,
        'openvino': open_openvino,
        'openvino-bf16': open_openvino
    }
    names = ['image', 'text'][:len(inputs)]
    feed = {name: value.numpy() for name, value in zip(names, inputs)}
    expected = model(*inputs)
    runs = {}
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / 'model.onnx')
        try:
            torch.onnx.export(
                model,
                inputs,
                path,
                input_names=names,
                dynamo=True,
                verbose=False)
            for name in runtimes:
                runs[name] = openers[name](path, feed, args.threads,
                                           name.endswith('bf16'))
        except ImportError as error:
            raise ValueError(
                f'--runtimes {" ".join(runtimes)}: {error}. pip install '
                f'"yolo_world_rep[onnx,openvino]", or give --runtimes eager.'
            ) from None
    for name, run in runs.items():
        for found, level in zip(run(), expected):
            error = float((torch.as_tensor(found) - level).abs().max())
            limit = TOLERANCE[name] * float(level.abs().max())
            if not error <= limit:
                raise ValueError(
                    f'The model in {name} is off by {error:.1e}; expected '
                    f'{limit:.1e} at most.')
    return runs


def open_onnxruntime(path: str, feed: dict, threads: int, _: bool) -> Run:
    """A run in ONNX Runtime on the CPU."""
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        path, options, providers=['CPUExecutionProvider'])
    return lambda: session.run(None, feed)


def open_openvino(path: str, feed: dict, threads: int, bf16: bool) -> Run:
    """A run in OpenVINO on the CPU, in FP32 unless ``bf16``."""
    import openvino

    from yolo_world_rep.inference.backends.openvino import require_precision
    compiled = openvino.Core().compile_model(
        path, 'CPU', {
            'INFERENCE_PRECISION_HINT':
            require_precision('CPU', 'bf16' if bf16 else 'f32'),
            'INFERENCE_NUM_THREADS': threads,
            'PERFORMANCE_HINT': 'LATENCY'
        })
    request = compiled.create_infer_request()

    def run() -> List[Any]:
        found = request.infer(feed, share_inputs=True, share_outputs=True)
        return [found[output] for output in compiled.outputs]

    return run


def graph_run(model: nn.Module, inputs: Tuple[Tensor, ...]) -> Run:
    """A replay of a model's kernels, without launching each."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(WARM_UP):
            model(*inputs)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        outputs = model(*inputs)

    def run() -> Tuple[Tensor, ...]:
        graph.replay()
        return outputs

    return run


@torch.no_grad()
def compare(size: str, num_classes: int,
            args: argparse.Namespace) -> List[Dict[str, Any]]:
    """All forms of a size in all runtimes, as rows."""
    image_size = (args.image_size, args.image_size)
    torch.manual_seed(0)
    image = torch.rand(args.batch, 3, *image_size)
    text = torch.nn.functional.normalize(
        torch.randn(1, num_classes, WIDTH), dim=-1)
    runs, flops = {}, {}
    for form in FORMS:
        model = Raw(build(form, size, num_classes)).eval()
        model.requires_grad_(False)
        inputs = (image, text) if model.takes_text else (image, )
        flops[form] = count_flops(model.detector, image_size) / 1e9
        for name, run in exported_runs(model, inputs, args).items():
            runs[name, form] = run
        kind = torch.float16 if args.half else torch.float32
        model = model.to(args.device, kind)
        inputs = tuple(x.to(args.device, kind) for x in inputs)
        if EAGER in args.runtimes:
            runs[EAGER, form] = lambda m=model, i=inputs: m(*i)
        if GRAPH in args.runtimes:
            runs[GRAPH, form] = graph_run(model, inputs)
    times = measure(runs, args.rounds, args.device, args.cpu_time)
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
                ratio={
                    base: medians[runtime, form] / medians[runtime, base]
                    for base in FORMS
                },
                paired_ratio={
                    base: statistics.median(
                        one / other
                        for one, other in zip(values, times[runtime, base]))
                    for base in FORMS
                },
                times_ms=values))
    return rows


def table_of(rows: List[Dict[str, Any]], cpu_time: bool) -> Table:
    """The rows for the terminal; ÷ is of the medians, paired of rounds."""
    table = Table(title='A batch, without post-processing')
    for name in ('size', 'classes', 'runtime', 'form', 'GFLOPs', '÷ YOLOv8',
                 'CPU ms' if cpu_time else 'median ms', 'quartiles',
                 '÷ YOLOv8', 'paired', '÷ text', '÷ folded'):
        table.add_column(name, justify='right')
    for row in sorted(rows, key=lambda r: (r['size'], r['runtime'])):
        low, high = row['quartiles_ms']
        paired = row['paired_ratio']
        table.add_row(row['size'], str(row['classes']), row['runtime'],
                      row['form'], f'{row["gflops"]:.1f}',
                      f'{row["gflops_ratio"]:.3f}',
                      f'{row["median_ms"]:.2f}', f'{low:.2f}–{high:.2f}',
                      f'{row["ratio"]["yolov8"]:.3f}',
                      *(f'{paired[base]:.3f}' for base in FORMS[:3]))
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
                      [row['paired_ratio']['yolov8'] for row in own],
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


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--classes', nargs='+', type=positive, default=[80])
    parser.add_argument(
        '--runtimes', nargs='+', choices=(*ON_CPU, GRAPH), default=None)
    parser.add_argument('--cpu-time', action='store_true')
    parser.add_argument('--image-size', type=positive, default=640)
    parser.add_argument('--batch', type=positive, default=1)
    parser.add_argument(
        '--half', action='store_true', help='float16, on a GPU')
    common_options(parser, 'latency', 30)
    args = parser.parse_args()
    if args.image_size % 32:
        parser.error(f'--image-size {args.image_size}: expected a multiple '
                     f'of 32')
    if args.rounds < 2:
        parser.error('--rounds 1: expected 2 or more')
    if args.cpu_time and (args.threads != 1 or args.device != 'cpu'):
        parser.error('--cpu-time: expected --threads 1 and --device cpu')
    runtimes = ON_CPU if args.device == 'cpu' else ON_GPU
    args.runtimes = args.runtimes or runtimes
    if not set(args.runtimes) <= set(runtimes):
        parser.error(f'--runtimes {" ".join(args.runtimes)}: expected some '
                     f'of {" ".join(runtimes)} with --device {args.device}')
    if args.half and args.device == 'cpu':
        parser.error('--half: expected --device cuda')
    return args


def main() -> None:
    """Measure, print and write."""
    args = parse_args()
    console = Console()
    console.width = max(console.width, TABLE_WIDTH)
    # It lists what is not installed, for each export.
    logging.getLogger('torch.onnx').setLevel(logging.ERROR)
    require_device(args.device)
    torch.set_num_threads(args.threads)
    rows = []
    for size in args.sizes:
        for num_classes in args.classes:
            rows += compare(size, num_classes, args)
    console.print(table_of(rows, args.cpu_time))
    console.print(
        write_report(
            rows,
            args,
            plot,
            cpu_time=args.cpu_time,
            image_size=args.image_size,
            batch=args.batch,
            half=args.half))


if __name__ == '__main__':
    cli.run(main)
