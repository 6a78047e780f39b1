"""A training step of the folded S model at several sizes of vocabulary.

Dense is the convolution form of the attention (a convolution to N channels a
head, then a maximum) with mmyolo's losses; sparse is this package's guide
maximum with the losses from sparse targets. Steps of the two alternate; each
runs in its own process, whose peak of resident memory is reported, also
without what it was before the first step. Prints a table, writes JSON.

    python benchmarks/vocabulary.py --classes 80 1203 --threads 2 --rounds 5
"""
import argparse
import json
import os
import platform
from pathlib import Path
from typing import Callable, Dict, List

os.environ.setdefault('NO_ALBUMENTATIONS_UPDATE', '1')

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from mmengine.config import ConfigDict  # noqa: E402
from mmengine.registry import init_default_scope  # noqa: E402
from mmyolo.registry import MODELS  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402
from torch import Tensor, nn  # noqa: E402

import yolo_world_rep  # noqa: E402, F401  registers the models
from yolo_world_rep.demo import timing  # noqa: E402
from yolo_world_rep.reparam import folding  # noqa: E402
from yolo_world_rep.utils import cli  # noqa: E402
from yolo_world_rep.utils.files import atomic_path  # noqa: E402

FORMS = ('dense', 'sparse')
CHANNELS = [256, 512, 1024]
NORM_CFG = dict(type='BN', momentum=0.03, eps=0.001)
BOXES = 8


def build_model(num_classes: int, form: str) -> nn.Module:
    """The folded v2 S model in training mode."""
    scale = dict(deepen_factor=0.33, widen_factor=0.5, norm_cfg=NORM_CFG)
    init_default_scope('mmyolo')
    return MODELS.build(
        ConfigDict(
            type='SimpleYOLOWorldDetector',
            mm_neck=True,
            reparameterized=True,
            num_train_classes=num_classes,
            num_test_classes=num_classes,
            backbone=dict(
                type='MultiModalYOLOBackbone',
                with_text_model=False,
                image_model=dict(
                    type='YOLOv8CSPDarknet',
                    last_stage_out_channels=1024,
                    **scale)),
            neck=dict(
                type='YOLOWorldPAFPN',
                in_channels=CHANNELS,
                out_channels=CHANNELS,
                guide_channels=num_classes,
                embed_channels=[128, 256, 512],
                num_heads=[4, 8, 16],
                num_csp_blocks=3,
                block_cfg=dict(type='RepConvMaxSigmoidCSPLayerWithTwoConv'),
                **scale),
            bbox_head=dict(
                type='RepYOLOWorldHead',
                sparse_targets=form == 'sparse',
                head_module=dict(
                    type='RepYOLOWorldHeadModule',
                    num_classes=num_classes,
                    num_guide=num_classes,
                    embed_dims=512,
                    in_channels=CHANNELS,
                    widen_factor=0.5,
                    norm_cfg=NORM_CFG)),
            train_cfg=dict(
                assigner=dict(
                    type='BatchTaskAlignedAssigner',
                    num_classes=num_classes,
                    use_ciou=True,
                    topk=10,
                    alpha=0.5,
                    beta=6.0,
                    eps=1e-9)))).train()


def guide_max_of_convs(embed_BMdS: Tensor, guide_MNd: Tensor) -> Tensor:
    """The maximum as the public convolution form computes it."""
    return torch.stack([
        F.conv2d(embed_BdS[..., None], guide_Nd[:, :, None, None]).max(1)[0]
        [..., 0] for embed_BdS, guide_Nd in zip(
            embed_BMdS.unbind(1), guide_MNd.unbind(0))
    ], 1)


def training_step(form: str, num_classes: int, batch: int,
                  side: int) -> Callable[[], None]:
    """A call that computes losses and gradients."""
    if form == 'dense':
        folding.guide_max = guide_max_of_convs
    model = build_model(num_classes, form)
    images = torch.rand(batch, 3, side, side)
    corner = torch.rand(batch * BOXES, 2) * side / 2
    rows = torch.cat([
        torch.arange(batch).repeat_interleave(BOXES)[:, None].float(),
        torch.randint(num_classes, (batch * BOXES, 1)).float(), corner,
        corner + 20 + torch.rand(batch * BOXES, 2) * (side / 2 - 20)
    ], 1)
    samples = dict(
        bboxes_labels=rows,
        img_metas=[dict(batch_input_shape=(side, side))] * batch)

    def call() -> None:
        model.zero_grad()
        sum(model.loss(images, samples).values()).backward()

    return call


def measure(num_classes: int, args: argparse.Namespace) -> List[Dict]:
    """A row for each form, from steps in turn."""
    costs = timing.costs_in_turn(
        {
            form: (training_step,
                   (form, num_classes, args.batch, args.side))
            for form in FORMS
        },
        args.rounds,
        warm_up=1,
        threads=args.threads)
    return [
        dict(
            classes=num_classes,
            form=form,
            seconds=cost.seconds,
            peak_mib=cost.peak_mib,
            step_mib=cost.call_mib) for form, cost in costs.items()
    ]


def print_table(rows: List[Dict], console: Console) -> None:
    """Both forms and the ratio of the second to the first."""
    keys = ('seconds', 'peak_mib', 'step_mib')
    table = Table('classes', 'form', 's a step', 'peak MiB',
                  'peak MiB above start')
    for dense, sparse in zip(rows[::2], rows[1::2]):
        for row in (dense, sparse):
            table.add_row(
                str(row['classes']), row['form'],
                *(f'{row[key]:.2f}' if key == 'seconds' else f'{row[key]:.0f}'
                  for key in keys))
        table.add_row('', 'ratio',
                      *(f'{sparse[key] / dense[key]:.2f}' for key in keys))
    console.print(table)


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--classes', type=int, nargs='+', default=[80, 1203])
    parser.add_argument('--batch', type=int, default=1)
    parser.add_argument('--side', type=int, default=640)
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--out', type=Path, default=Path('vocabulary.json'))
    args = parser.parse_args()
    rows = [row for n in args.classes for row in measure(n, args)]
    print_table(rows, Console())
    report = dict(
        torch=torch.__version__,
        machine=platform.machine(),
        threads=args.threads,
        batch=args.batch,
        side=args.side,
        rounds=args.rounds,
        rows=rows)
    with atomic_path(args.out) as path:
        path.write_text(json.dumps(report, indent=2))


if __name__ == '__main__':
    cli.run(main)
