"""A training step: forward, losses, backward, without the optimizer's update.

Forms, at several numbers of classes:

yolov8            mmyolo's YOLOv8
text-conditioned  texts as an input, frozen
folded-dense      folded, with the attention as convolutions to N channels a
                  head and then a maximum, and mmyolo's losses
folded            folded, with the guide maximum and the losses from sparse
                  targets of this package

--parts model measures whole detectors. --parts attention-and-head measures the
four attention layers of the neck and the head with its losses, on given
features of the size they have in the model. Steps take turns, each in a
process of its own. Prints a table, writes JSON and a picture.

    python benchmarks/step.py --classes 80 1203 --threads 2 --rounds 10
"""
import argparse
import os
from pathlib import Path
from typing import Any, Callable, Dict, List, Tuple

os.environ.setdefault('NO_ALBUMENTATIONS_UPDATE', '1')

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from detectors import (  # noqa: E402
    build,
    common_options,
    positive,
    require_device,
    write_report,
)
from processes import costs_in_turn  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from yolo_world_rep.reparam import folding  # noqa: E402
from yolo_world_rep.utils import cli  # noqa: E402

FORMS = ('yolov8', 'text-conditioned', 'folded-dense', 'folded')
PARTS = ('model', 'attention-and-head')
BOXES = 8


def guide_max_of_convs(embed_BMdS: Tensor, guide_MNd: Tensor) -> Tensor:
    """The maximum as the public convolution form computes it."""
    return torch.stack([
        F.conv2d(embed_BdS[..., None], guide_Nd[:, :, None, None]).max(1)[0]
        [..., 0] for embed_BdS, guide_Nd in zip(
            embed_BMdS.unbind(1), guide_MNd.unbind(0))
    ], 1)


def prepare(form: str, part: str, size: str, classes: int, batch: int,
            side: int, device: str, amp: bool) -> Callable[[], None]:
    """A step of a detector, or of its attention and head."""
    options = {}
    if form == 'folded-dense':
        folding.guide_max = guide_max_of_convs
        options.update(sparse_targets=False)
    elif form == 'text-conditioned':
        options.update(sparse_targets=True)
    detector = build(form.replace('-dense', ''), size, classes, **options)
    detector = detector.to(device).train()
    images = torch.rand(batch, 3, side, side, device=device)
    samples = dict(
        bboxes_labels=boxes_of(batch, classes, side).to(device),
        img_metas=[dict(batch_input_shape=(side, side))] * batch)
    if part == 'model':

        def step() -> None:
            detector.zero_grad()
            with torch.autocast(device, enabled=amp):
                losses = detector.loss(images, samples)
            sum(losses.values()).backward()

        return step
    return step_of_part(detector, images, samples)


def boxes_of(batch: int, classes: int, side: int) -> Tensor:
    """Random boxes: image, class, x1, y1, x2, y2."""
    corner = torch.rand(batch * BOXES, 2) * side / 2
    return torch.cat([
        torch.arange(batch).repeat_interleave(BOXES)[:, None].float(),
        torch.randint(classes, (batch * BOXES, 1)).float(), corner,
        corner + 20 + torch.rand(batch * BOXES, 2) * (side / 2 - 20)
    ], 1)


def step_of_part(detector: nn.Module, images: Tensor,
                 samples: dict) -> Callable[[], None]:
    """A step of the attention layers and the head on recorded features."""
    inputs: List[Tuple[nn.Module, Tuple[Any, ...]]] = []
    blocks = [
        module for module in detector.neck.modules()
        if hasattr(module, 'attn_block')
    ]
    hooks = [
        block.attn_block.register_forward_pre_hook(
            lambda module, args: inputs.append((module, args)))
        for block in blocks
    ]
    with torch.no_grad():
        features = detector.extract_feat(images, samples)
    for hook in hooks:
        hook.remove()

    def leaves(value: Any) -> Any:
        if isinstance(value, Tensor):
            return value.detach().requires_grad_(value.dim() == 4)
        if isinstance(value, (tuple, list)):
            return type(value)(leaves(x) for x in value)
        return value

    inputs = [(module, leaves(args)) for module, args in inputs]
    features = leaves(features)

    def step() -> None:
        detector.zero_grad()
        for _, args in inputs:
            args[0].grad = None
        outputs = [module(*args).sum() for module, args in inputs]
        losses = detector.bbox_head.loss(features, samples)
        (sum(losses.values()) + sum(outputs)).backward()

    return step


def compare(part: str, size: str, classes: int,
            args: argparse.Namespace) -> List[Dict[str, Any]]:
    """A row for each form."""
    case = dict(
        part=part,
        size=size,
        classes=classes,
        batch=args.batch,
        side=args.side,
        device=args.device,
        amp=args.amp)
    costs = costs_in_turn(
        {form: (prepare, dict(case, form=form))
         for form in args.forms},
        args.rounds,
        warm_up=1,
        threads=args.threads,
        device=args.device)
    return [
        dict(
            case,
            form=form,
            **cost._asdict(),
            ratio={name: cost.ratio(base)
                   for name, base in costs.items()},
            cpu_ratio={
                name: cost.ratio(base, 'cpu_seconds')
                for name, base in costs.items()
            },
            memory_ratio={
                name: cost.call_mib / base.call_mib
                for name, base in costs.items()
            }) for form, cost in costs.items()
    ]


def table_of(rows: List[Dict[str, Any]]) -> Table:
    """The rows for the terminal, with ratios to each other form."""
    table = Table(title='A training step; ratios are medians of rounds')
    forms = list(dict.fromkeys(row['form'] for row in rows))
    for name in ('part', 'size', 'classes', 'form', 's', 'peak MiB',
                 'MiB beyond start', *(f'÷ {form}' for form in forms),
                 *(f'memory ÷ {form}' for form in forms)):
        table.add_column(name, justify='right', overflow='fold')
    for row in rows:
        table.add_row(
            row['part'], row['size'], str(row['classes']), row['form'],
            f'{row["seconds"]:.3f}', f'{row["peak_mib"]:.0f}',
            f'{row["call_mib"]:.0f}', *(f'{row[key][form]:.2f}'
                                        for key in ('ratio', 'memory_ratio')
                                        for form in forms))
    return table


def plot(rows: List[Dict[str, Any]], path: Path) -> None:
    """Time and memory of the forms as bars, a row for each part."""
    import matplotlib
    matplotlib.use('Agg')
    from matplotlib import pyplot as plt
    parts = list(dict.fromkeys(row['part'] for row in rows))
    figure, panels = plt.subplots(
        len(parts),
        2,
        figsize=(9, 3.5 * len(parts)),
        squeeze=False,
        layout='constrained')
    for part, line in zip(parts, panels):
        own = [row for row in rows if row['part'] == part]
        groups = list(
            dict.fromkeys((row['size'], row['classes']) for row in own))
        forms = list(dict.fromkeys(row['form'] for row in own))
        for panel, key in zip(line, ('seconds', 'call_mib')):
            for offset, form in enumerate(forms):
                panel.bar([x + offset / 5 for x in range(len(groups))], [
                    row[key] for group in groups for row in own
                    if (row['size'], row['classes']) == group
                    and row['form'] == form
                ],
                          width=0.18,
                          label=form)
            panel.set_xticks(
                [x + (len(forms) - 1) / 10 for x in range(len(groups))],
                [f'{size.upper()}, {n:,} classes' for size, n in groups])
            panel.set_title(f'{part}: ' + (
                's a step' if key == 'seconds' else 'MiB beyond the start'))
    handles = panels[0][0].get_legend_handles_labels()
    figure.legend(*handles, loc='outside lower center', ncols=len(FORMS))
    figure.savefig(path, format='png', dpi=120)
    plt.close(figure)


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--parts', nargs='+', choices=PARTS, default=PARTS)
    parser.add_argument('--forms', nargs='+', choices=FORMS, default=FORMS)
    parser.add_argument(
        '--classes', type=positive, nargs='+', default=[80, 1203])
    parser.add_argument('--batch', type=positive, default=1)
    parser.add_argument('--side', type=positive, default=640)
    parser.add_argument(
        '--amp',
        action='store_true',
        help='forward and losses under autocast, with --parts model')
    common_options(parser, 'step', 10)
    args = parser.parse_args()
    if args.amp and list(args.parts) != ['model']:
        parser.error('--amp: expected --parts model')
    require_device(args.device)
    rows: List[Dict[str, Any]] = []
    for part in args.parts:
        forms = args.forms
        # YOLOv8 has no attention to measure.
        args.forms = [x for x in forms if part == 'model' or x != 'yolov8']
        for size in args.sizes:
            for classes in args.classes:
                rows += compare(part, size, classes, args)
        args.forms = forms
    console = Console()
    console.width = max(console.width, 220)
    for part in args.parts:
        console.print(table_of([row for row in rows if row['part'] == part]))
    console.print(
        write_report(
            rows,
            args,
            plot,
            batch=args.batch,
            side=args.side))


if __name__ == '__main__':
    cli.run(main)
