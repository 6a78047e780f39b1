"""What fine-tuning on some classes leaves of the others, on the shapes.

A tiny YOLO-World that was trained on 24 pairs of colour and shape is tuned, in
several ways, on new images with the red and yellow ones alone, and evaluated
with all other pairs added to its vocabulary: 16 that it saw in its training
and 12 that it never did. Prints a table and writes it as JSON. Trainings that
are in the work dir already are not repeated.

    python benchmarks/retention.py --work-dir work_dirs/retention --seeds 3
"""
import argparse
import json
import os
from pathlib import Path
from typing import Any, Dict, List

os.environ.setdefault('NO_ALBUMENTATIONS_UPDATE', '1')

import tuning  # noqa: E402
import tuning_world as world  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402
from summary import spread  # noqa: E402

from yolo_world_rep.datasets.shapes import all_pairs  # noqa: E402
from yolo_world_rep.demo import training  # noqa: E402
from yolo_world_rep.reparam.interpolation import (  # noqa: E402
    interpolate_checkpoints,
)
from yolo_world_rep.report.retention import (  # noqa: E402
    Retention,
    evaluate_retention,
)
from yolo_world_rep.utils import cli  # noqa: E402

REPOSITORY = Path(__file__).resolve().parents[1]
CONFIGS = REPOSITORY / 'configs' / 'demo'
SCHEDULE = tuning.Schedule(epochs=8, lr=1e-3)
TUNED = world.pairs_to_tune()
# The dotted keys that make a way of fine-tuning the folded model.
RECIPES: Dict[str, Dict[str, Any]] = {
    'folded, all trained': {},
    'folded, a tenth of the rate': {'base_lr': SCHEDULE.lr / 10},
    'folded, neck and head': {'model.backbone.frozen_stages': 4},
    'folded, head only': {
        'model.backbone.frozen_stages': 4,
        'model.neck.freeze_all': True
    },
}
ALPHAS = (0.25, 0.5, 0.75)


class Run(tuning.Trainings):
    """One seed: its data, checkpoints and scores."""

    def __init__(self, work_dir: Path, seed: int, console: Console) -> None:
        super().__init__(work_dir / f'seed_{seed}', REPOSITORY / 'tools', seed,
                         console.print)
        self.data_root = self.work_dir / 'world'

    def run(self) -> List[Retention]:
        """Everything, for one seed."""
        world.make_tuning_world(self.data_root, TUNED, self.seed)
        ways = tuning.Ways(CONFIGS, self.data_root, SCHEDULE)
        tuned_npy = self.data_root / world.TUNED
        text = self.train(
            training.read_config(CONFIGS / tuning.TEXT_CONFIG,
                                 self.data_root), 'text')
        before = self.fold(text, tuned_npy, 'before')
        points = {'zero-shot, not tuned': before}
        tuned_text = self.train(ways.text(), 'text_tuned', load_from=text)
        points['text-conditioned, all trained'] = self.fold(
            tuned_text, tuned_npy, 'text_tuned_folded')
        for number, (name, options) in enumerate(RECIPES.items()):
            points[name] = self.train(
                ways.folded(options), f'tuned_{number}', load_from=before)
        after = points['folded, all trained']
        for alpha in ALPHAS:
            points[f'folded, all trained, interpolated {alpha:g}'] = (
                interpolate_checkpoints(
                    before,
                    after,
                    alpha,
                    self.work_dir / f'alpha_{alpha:g}.pth',
                    overwrite=True))
        config = self.dump(
            training.read_config(CONFIGS / tuning.FOLDED_CONFIG,
                                 self.data_root), 'evaluation')
        return evaluate_retention(config, points,
                                  self.data_root / world.HELD_OUT,
                                  str(self.work_dir / 'evaluation'))


def main() -> None:
    """Run all seeds and print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--work-dir', default='work_dirs/retention')
    parser.add_argument('--seeds', type=int, default=3)
    args = parser.parse_args()
    console = Console(highlight=False)
    work_dir = Path(args.work_dir).absolute()
    runs = [
        Run(work_dir, seed, console).run() for seed in range(args.seeds)
    ]
    table = Table(
        title=f'AP on 200 images of all 36 pairs, {args.seeds} seed(s)')
    for column in ('model', f'{len(TUNED)} tuned pairs',
                   f'{len(all_pairs()) - len(TUNED)} held-out pairs'):
        table.add_column(column)
    for rows in zip(*runs):
        table.add_row(rows[0].name, spread([row.tuned for row in rows]),
                      spread([row.held_out for row in rows]))
    console.print(table)
    path = work_dir / 'retention.json'
    path.write_text(
        json.dumps([[row._asdict() for row in run] for run in runs],
                   indent=1), encoding='utf-8')
    console.print(f'wrote {path}')


if __name__ == '__main__':
    cli.run(main)
