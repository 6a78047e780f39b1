"""Every form of every kind of model against the text-conditioned one.

    text -> folded -> fused -> ONNX Runtime, OpenVINO (FP32)

over sizes, necks, heads, numbers of classes and shapes of the image, with
random weights, biases, scales and statistics. In float64 folding and fusing
must be exact. In float32 the same weights are computed with in all forms, and
their error is against the text-conditioned model in float64: what a form adds
to the rounding of float32 itself, which the text-conditioned one has too.

    python tests/verify.py
    python tests/verify.py --quick
"""
import argparse
import copy
import itertools
import json
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Tuple

import torch
from builders import build_detector, randomize
from mmengine.logging import MMLogger
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor, nn

import yolo_world_rep  # noqa: F401  mmyolo finds our models
from yolo_world_rep.deploy import fuse
from yolo_world_rep.deploy.formats import write
from yolo_world_rep.deploy.onnx_file import DEFAULT_OPSET
from yolo_world_rep.deploy.outputs import RawOutputs
from yolo_world_rep.inference.backends import open_backend
from yolo_world_rep.inference.spec import Spec
from yolo_world_rep.reparam.state_dict import reparameterize_state_dict
from yolo_world_rep.utils.files import atomic_path

# Depth, width and channels of the last stage.
SIZES = dict(
    s=(0.33, 0.5, 1024),
    m=(0.67, 0.75, 768),
    l=(1.0, 1.0, 512),
    x=(1.0, 1.25, 512),
    xl=(1.0, 1.5, 512))
NECKS = ('rep_conv', 'rep_linear', 'efficient', 'dual')
HEADS = ('bn', 'l2')
CLASSES = (1, 2, 80, 131, 1203)
SHAPES = ((64, 64), (64, 96), (96, 32))
# Where nothing is narrowed: each size once.
FULL_SHAPE = (64, 96)
SUFFIXES = ('.onnx', '.xml')  # of ONNX Runtime's and OpenVINO's files
EXACT = 1e-10
# Of the range, or so many times what float32 costs the text-conditioned
# model: a deep random network amplifies the rounding of its first layers, and
# fusing rounds other weights.
SINGLE, AMPLIFIED, DRAWS = 1e-4, 4., 6


class Case(NamedTuple):
    """A model and an image."""
    size: str
    neck: str
    head: str
    classes: int
    shape: Tuple[int, int]
    full: bool
    export: bool


class Error(NamedTuple):
    """How far a form is from the text-conditioned model in float64."""
    form: str
    dtype: str
    error: float
    bound: float


def cases(quick: bool) -> Iterator[Case]:
    """What to try."""
    if quick:
        yield Case('s', 'rep_conv', 'bn', 2, (64, 96), False, True)
        yield Case('s', 'dual', 'l2', 7, (64, 64), False, False)
        yield Case('m', 'efficient', 'bn', 80, (96, 32), False, False)
        return
    for size, neck, head, classes, shape in itertools.product(
            SIZES, NECKS, HEADS, CLASSES, SHAPES):
        # Files take seconds each: of every neck, head and number once, and
        # of every size.
        export = shape == (64, 96) and (
            size == 's' or (neck, head, classes) == ('rep_conv', 'bn', 80))
        yield Case(size, neck, head, classes, shape, False, export)
    for size, neck in itertools.product(SIZES, ('rep_conv', 'dual')):
        yield Case(size, neck, 'bn' if neck == 'rep_conv' else 'l2', 80,
                   FULL_SHAPE, True, True)


def models(case: Case) -> Tuple[nn.Module, nn.Module, Tensor]:
    """The text-conditioned model, the folded one and the texts, float64."""
    deepen, widen, last = SIZES[case.size]
    width = 512 if case.full else 64
    options = dict(
        num_classes=case.classes,
        embed_dims=width,
        use_bn_head=case.head == 'bn',
        widen_factor=widen if case.full else widen / 4,
        deepen_factor=deepen,
        last_stage_out_channels=last,
        num_heads=(4, 8, last // 64) if case.full else (16, 16, 32),
        embed_channels=(128, 256, last // 2),
        block=None if case.neck == 'efficient' else dict(with_scale=True))
    rep = 'rep_linear' if case.neck == 'rep_linear' else 'rep_conv'
    if case.neck == 'dual':
        options['dual'] = dict(embed_channels=32, num_heads=4)
    if case.neck == 'efficient':
        options['block'] = dict(type='EfficientCSPLayerWithTwoConv')
    text_model, folded = (
        build_detector(form, **options).double() for form in ('text', rep))
    randomize(text_model)
    generator = torch.Generator().manual_seed(1)
    text = torch.randn(
        case.classes, width, dtype=torch.float64, generator=generator)
    folded.load_state_dict(
        reparameterize_state_dict(text_model.state_dict(), text, rep))
    return text_model, folded, text


class WithText(RawOutputs):
    """The same outputs of the text-conditioned model."""

    def __init__(self, detector: nn.Module, text: Tensor) -> None:
        super().__init__(detector)
        self.text = text[None]

    def forward(self, images: Tensor) -> Tuple[Tensor, ...]:
        """(B, 3, H, W) -> logits of each level, distances of each level."""
        module = self.detector.bbox_head.head_module
        features = self.detector.neck(
            self.detector.backbone.forward_image(images), self.text)
        return (*(module.cls_contrasts[level](
            module.cls_preds[level](feature), self.text)
                  for level, feature in enumerate(features)),
                *(self.distances(module.reg_preds[level](feature))
                  for level, feature in enumerate(features)))


def jittered(model: nn.Module, seed: int) -> nn.Module:
    """A copy in float32, its weights off by a last bit but for seed 0."""
    model = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        if seed:
            signs = torch.randint(
                2, parameter.shape, generator=generator) * 2 - 1
            parameter.mul_(1 + signs * 2.**-24)
    return model.float()


def worst(found: Tuple, expected: Tuple[Tensor, ...]) -> float:
    """Largest difference over the largest value, of all outputs.

    Values below 1 are not blown up: a distribution over the distances may
    leave nothing but 1e-200 strides.
    """
    assert len(found) == len(expected)
    errors = []
    for one, other in zip(found, expected):
        one = torch.as_tensor(one, dtype=torch.float64)
        assert one.shape == other.shape
        errors.append(
            (one - other).abs().max() / other.abs().max().clamp_min(1))
    # A maximum of Python would pass NaN by.
    return float(torch.stack(errors).max())


@torch.no_grad()
def errors_of(case: Case) -> List[Error]:
    """Of every form of a case."""
    text_model, folded, text = models(case)
    image = torch.rand(
        1, 3, *case.shape, dtype=torch.float64,
        generator=torch.Generator().manual_seed(2))
    conditioned = WithText(text_model, text)
    expected = conditioned(image)
    fused = fuse(folded)
    found = [
        Error('folded', 'float64', worst(RawOutputs(folded)(image), expected),
              EXACT),
        Error('fused', 'float64', worst(RawOutputs(fused)(image), expected),
              EXACT)
    ]
    single = image.float()
    # Rounding is one draw of what it may do, so a few are taken.
    own = max(
        worst(WithText(jittered(text_model, seed), text.float())(single),
              expected) for seed in range(DRAWS))
    bound = max(SINGLE, AMPLIFIED * own)
    fused = fuse(folded.float())
    found += [
        Error('text', 'float32', own, float('inf')),
        Error('folded', 'float32', worst(RawOutputs(folded)(single),
                                         expected), bound),
        Error('fused', 'float32', worst(RawOutputs(fused)(single), expected),
              bound)
    ]
    if case.export:
        spec = Spec(
            tuple(f'class {n}' for n in range(case.classes)), case.shape,
            contract='raw')
        with tempfile.TemporaryDirectory() as folder:
            for suffix in SUFFIXES:
                path = Path(folder, f'model{suffix}')
                write(fused, spec, path, DEFAULT_OPSET)
                with open_backend(path, threads=1) as backend:
                    found.append(
                        Error(backend.name, 'float32',
                              worst(backend.run(single.numpy()), expected),
                              bound))
    return found


def table_of(rows: List[Tuple[Case, Error]]) -> Table:
    """The largest errors, by size, neck, head and form."""
    table = Table(title='Largest error of any output, relative to its range')
    groups: Dict[tuple, List[Tuple[Case, Error]]] = defaultdict(list)
    for case, error in rows:
        groups[case.neck, case.head, error.form, error.dtype].append(
            (case, error))
    columns = ('neck', 'head', 'form', 'type', 'largest error',
               'error ÷ bound', 'of', 'cases')
    for name in columns:
        table.add_column(name)
    for key, group in groups.items():
        case, largest = max(group, key=lambda row: row[1].error)
        share = max(error.error / error.bound for _, error in group)
        bound = '-' if largest.bound == float('inf') else f'{share:.2g}'
        table.add_row(
            *key, f'{largest.error:.1e}', bound,
            f'{case.size}, N={case.classes}, {case.shape[0]}x{case.shape[1]}'
            f'{", full width" if case.full else ""}', str(len(group)))
    return table


def main() -> int:
    """Run the sweep."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--quick', action='store_true', help='three cases')
    parser.add_argument(
        '--sizes', nargs='+', choices=list(SIZES), default=list(SIZES))
    parser.add_argument('--json', type=Path, metavar='FILE')
    args = parser.parse_args()
    MMLogger.get_current_instance().setLevel('ERROR')
    torch.manual_seed(0)
    console = Console(highlight=False)
    console.width = max(console.width, 120)
    start = time.perf_counter()
    todo = [case for case in cases(args.quick) if case.size in args.sizes]
    rows = [(case, error)
            for case in track(
                todo, 'verifying', console=console, transient=True)
            for error in errors_of(case)]
    console.print(table_of(rows))
    # Not "greater than": NaN is no less wrong.
    wrong = [row for row in rows if not row[1].error <= row[1].bound]
    for case, error in wrong:
        console.print(f'TOO LARGE: {case} {error}')
    console.print(f'{len(todo)} models and images, {len(rows)} comparisons, '
                  f'{len(wrong)} too large, '
                  f'{time.perf_counter() - start:.0f} s')
    if args.json:
        with atomic_path(args.json) as temporary:
            temporary.write_text(
                json.dumps(
                    [dict(case._asdict(), **error._asdict())
                     for case, error in rows], indent=1))
    return 1 if wrong else 0


if __name__ == '__main__':
    sys.exit(main())
