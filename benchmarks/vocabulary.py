"""Inference with large vocabularies: time and memory from the image to boxes.

Forms, at several numbers of classes:

folded        mmyolo's post-processing
folded-lean   that of this package, without copies of all scores
deploy-lean   the deploy form with it

Each runs in a process of its own, in turns; reported are the median, the time
beside that of the smallest vocabulary, and the process's peak of memory. Image
and weights are random; the biases are set such that --candidates scores pass
the threshold. Prints a table, writes JSON and a picture.

    python benchmarks/vocabulary.py --classes 80 1203 21841 --rounds 5
"""
import argparse
import os
from pathlib import Path
from typing import Any, Callable, Dict, List

os.environ.setdefault('NO_ALBUMENTATIONS_UPDATE', '1')

import torch  # noqa: E402
from detectors import (  # noqa: E402
    TEST_CFG,
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

from yolo_world_rep.deploy import count_flops  # noqa: E402
from yolo_world_rep.utils import cli  # noqa: E402

FORMS = ('folded', 'folded-lean', 'deploy-lean')


def prepare(form: str, size: str, classes: int, side: int, candidates: int,
            device: str) -> Callable[[], None]:
    """Detections in an image."""
    kind, _, lean = form.partition('-')
    detector = build(kind, size, classes, lean_predictions=bool(lean))
    detector = detector.eval().requires_grad_(False).to(device)
    image = torch.rand(1, 3, side, side, device=device)
    meta = dict(
        ori_shape=(side, side), scale_factor=(1., 1.), pad_param=None)

    @torch.inference_mode()
    def run() -> None:
        head = detector.bbox_head
        head.predict_by_feat(
            *head(detector.neck(detector.backbone.forward_image(image))),
            batch_img_metas=[meta])

    set_biases(detector, image, candidates)
    return run


@torch.inference_mode()
def set_biases(detector: nn.Module, image: Tensor, candidates: int) -> None:
    """Shift the logits such that so many pass the threshold."""
    logits = detector(image, mode='tensor')[0]
    threshold = torch.tensor(TEST_CFG['score_thr']).logit()
    best = torch.cat([
        x.flatten().topk(min(candidates, x.numel()))[0] for x in logits
    ]).topk(candidates)[0][-1]
    for contrast in detector.bbox_head.head_module.cls_contrasts:
        contrast.conv.bias += threshold - best


def compare(size: str, args: argparse.Namespace) -> List[Dict[str, Any]]:
    """A row for each form and number of classes."""
    cases = [
        dict(form=form, size=size, classes=classes, side=args.side,
             candidates=args.candidates) for form in args.forms
        for classes in args.classes
    ]
    costs = costs_in_turn(
        {
            f'{case["form"]} {case["classes"]}':
            (prepare, dict(case, device=args.device)) for case in cases
        },
        args.rounds,
        warm_up=1,
        threads=args.threads,
        device=args.device)
    rows = []
    for case, cost in zip(cases, costs.values()):
        detector = build(case['form'].partition('-')[0], size,
                         case['classes'])
        rows.append(
            dict(
                case,
                **cost._asdict(),
                ratio=cost.ratio(
                    costs[f'{case["form"]} {args.classes[0]}']),
                gflops=count_flops(detector, (args.side, args.side)) / 1e9))
    return rows


def table_of(rows: List[Dict[str, Any]]) -> Table:
    """The rows for the terminal."""
    table = Table(title='From an image to its detections')
    for name in ('size', 'form', 'classes', 'GFLOPs', 's', '÷ fewest',
                 'classes ÷ fewest', 'peak MiB', 'MiB beyond start'):
        table.add_column(name, justify='right')
    for row in rows:
        fewest = next(x for x in rows if (x['form'], x['size']) ==
                      (row['form'], row['size']))['classes']
        table.add_row(row['size'], row['form'], f'{row["classes"]:,}',
                      f'{row["gflops"]:.1f}', f'{row["seconds"]:.2f}',
                      f'{row["ratio"]:.2f}',
                      f'{row["classes"] / fewest:.1f}',
                      f'{row["peak_mib"]:.0f}', f'{row["call_mib"]:.0f}')
    return table


def plot(rows: List[Dict[str, Any]], path: Path) -> None:
    """Time and memory over the number of classes."""
    import matplotlib
    matplotlib.use('Agg')
    from matplotlib import pyplot as plt
    figure, panels = plt.subplots(
        1, 2, figsize=(9, 3.5), layout='constrained')
    for panel, key, name in zip(panels, ('seconds', 'peak_mib'),
                                ('s an image', 'peak MiB')):
        for size in dict.fromkeys(row['size'] for row in rows):
            for form in dict.fromkeys(row['form'] for row in rows):
                own = [
                    row for row in rows
                    if (row['size'], row['form']) == (size, form)
                ]
                panel.plot([row['classes'] for row in own],
                           [row[key] for row in own],
                           'o-',
                           label=f'{size.upper()} {form}')
        panel.set(xscale='log', yscale='log', xlabel='classes', ylabel=name)
    figure.legend(
        *panels[0].get_legend_handles_labels(),
        loc='outside lower center',
        ncols=3)
    figure.savefig(path, format='png', dpi=120)
    plt.close(figure)


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--forms', nargs='+', choices=FORMS, default=FORMS)
    parser.add_argument(
        '--classes', type=positive, nargs='+', default=[80, 1203, 21841])
    parser.add_argument('--side', type=positive, default=640)
    parser.add_argument('--candidates', type=positive, default=3000)
    common_options(parser, 'vocabulary', 5)
    args = parser.parse_args()
    require_device(args.device)
    rows = [row for size in args.sizes for row in compare(size, args)]
    console = Console()
    console.width = max(console.width, 120)
    console.print(table_of(rows))
    console.print(
        write_report(
            rows,
            args,
            plot,
            side=args.side,
            candidates=args.candidates))


if __name__ == '__main__':
    cli.run(main)
