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
import statistics
from pathlib import Path
from typing import Any, Dict, List

os.environ.setdefault('NO_ALBUMENTATIONS_UPDATE', '1')

from mmengine.config import Config  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

from yolo_world_rep.datasets.shapes import (  # noqa: E402
    all_pairs,
    seen_pairs,
    write_dataset,
)
from yolo_world_rep.demo import story, training, world  # noqa: E402
from yolo_world_rep.engine.retention import (  # noqa: E402
    Retention,
    evaluate_retention,
    with_classes,
)
from yolo_world_rep.reparam import convert_checkpoint  # noqa: E402
from yolo_world_rep.reparam.interpolation import (  # noqa: E402
    interpolate_checkpoints,
)
from yolo_world_rep.text import WordEncoder, save_embeddings  # noqa: E402
from yolo_world_rep.utils import cli  # noqa: E402

REPOSITORY = Path(__file__).resolve().parents[1]
CONFIGS = REPOSITORY / 'configs' / 'demo'
TUNE_IMAGES, TUNE_VAL_IMAGES = 320, 50
EPOCHS, BASE_LR = 8, 1e-3
TUNED = tuple(
    name for name in seen_pairs() if name.split()[0] in ('red', 'yellow'))
HELD_OUT = tuple(name for name in all_pairs() if name not in TUNED)
# The dotted keys that make a way of fine-tuning the folded model.
RECIPES: Dict[str, Dict[str, Any]] = {
    'folded, all trained': {},
    'folded, a tenth of the rate': {'base_lr': BASE_LR / 10},
    'folded, neck and head': {'model.backbone.frozen_stages': 4},
    'folded, head only': {
        'model.backbone.frozen_stages': 4,
        'model.neck.freeze_all': True
    },
}
ALPHAS = (0.25, 0.5, 0.75)


class Run:
    """One seed: its data, checkpoints and scores."""

    def __init__(self, work_dir: Path, seed: int, console: Console) -> None:
        self.work_dir = work_dir / f'seed_{seed}'
        self.data_root = self.work_dir / 'world'
        self.seed = seed
        self.console = console
        os.environ['SHAPES_ROOT'] = str(self.data_root)

    def run(self) -> List[Retention]:
        """Everything, for one seed."""
        self.make_data()
        text = self.train(CONFIGS / story.TEXT_CONFIG, 'text')
        before = self.fold(text, 'before')
        points = {'zero-shot, not tuned': before}
        tuned_text = self.train(
            self.text_config(), 'text_tuned', load_from=text)
        points['text-conditioned, all trained'] = self.fold(
            tuned_text, 'text_tuned_folded')
        for number, (name, options) in enumerate(RECIPES.items()):
            points[name] = self.train(
                self.folded_config(f'tuned_{number}', options),
                f'tuned_{number}',
                load_from=before)
        after = points['folded, all trained']
        for alpha in ALPHAS:
            points[f'folded, all trained, interpolated {alpha:g}'] = (
                interpolate_checkpoints(
                    before,
                    after,
                    alpha,
                    self.work_dir / f'alpha_{alpha:g}.pth',
                    overwrite=True))
        return evaluate_retention(
            CONFIGS / story.FOLDED_CONFIG, points,
            self.data_root / 'held_out.npy', str(self.work_dir / 'evaluation'))

    def make_data(self) -> None:
        """The demo's world, and images of the pairs to tune with."""
        world.make_world(self.data_root, world.Sizes(), self.seed)
        for number, (name, count) in enumerate(
            (('tune', TUNE_IMAGES), ('tune_val', TUNE_VAL_IMAGES))):
            write_dataset(self.data_root / name, count, TUNED,
                          (self.seed, 100 + number))
        encoder = WordEncoder(world.TEXT_CHANNELS)
        for name, pairs in (('tuned', TUNED), ('held_out', HELD_OUT)):
            save_embeddings(self.data_root / f'{name}.npy',
                            encoder.encode(pairs), pairs)

    def text_config(self) -> Path:
        """The text-conditioned form on the images to tune with."""
        cfg = Config.fromfile(CONFIGS / story.TEXT_CONFIG)
        self.set_schedule(cfg)
        # As many texts an image as there are to draw.
        count = len(TUNED)
        cfg.model.num_train_classes = count
        cfg.model.bbox_head.head_module.num_classes = count
        cfg.model.train_cfg.assigner.num_classes = count
        train = cfg.train_dataloader.dataset
        train.dataset.data_root = str(self.data_root / 'tune')
        train.class_text_path = str(self.data_root / 'tune' / 'texts.json')
        return self.dump(cfg, 'text_tuned')

    def folded_config(self, name: str, options: Dict[str, Any]) -> Path:
        """The folded form on the same images, with the same schedule."""
        count = len(TUNED)
        cfg = with_classes(
            Config.fromfile(CONFIGS / story.FOLDED_CONFIG), count, count)
        self.set_schedule(cfg)
        cfg.train_dataloader.dataset.data_root = str(self.data_root / 'tune')
        for loader in (cfg.val_dataloader, cfg.test_dataloader):
            loader.dataset.data_root = str(self.data_root / 'tune_val')
        for evaluator in (cfg.val_evaluator, cfg.test_evaluator):
            evaluator.ann_file = str(
                self.data_root / 'tune_val' / 'annotations.json')
        cfg.merge_from_dict(options)
        return self.dump(cfg, name)

    @staticmethod
    def set_schedule(cfg: Config) -> None:
        """What all ways of fine-tuning share."""
        cfg.max_epochs, cfg.base_lr = EPOCHS, BASE_LR

    def dump(self, cfg: Config, name: str) -> Path:
        path = self.work_dir / 'configs' / f'{name}.py'
        path.parent.mkdir(parents=True, exist_ok=True)
        cfg.dump(path)
        return path

    def fold(self, checkpoint: Path, name: str) -> Path:
        """The tuned pairs folded into a text-conditioned checkpoint."""
        return convert_checkpoint(
            checkpoint,
            self.data_root / 'tuned.npy',
            self.work_dir / name,
            'rep_conv',
            overwrite=True).path

    def train(self, config: Path, name: str, **options: object) -> Path:
        """Train through tools/train.py; gives the last checkpoint."""
        work_dir = self.work_dir / name
        last = work_dir / 'last_checkpoint'
        if last.exists():
            return work_dir / Path(last.read_text()).name
        self.console.print(f'seed {self.seed}: training {name}')
        training.run_training(
            training.training_command(
                REPOSITORY / 'tools',
                config,
                work_dir,
                randomness__seed=self.seed,
                **options), self.data_root, self.work_dir / f'{name}.log')
        return work_dir / Path(last.read_text()).name


def spread(values: List[float]) -> str:
    """Mean, and the standard deviation where there are several."""
    if len(values) == 1:
        return f'{values[0]:.3f}'
    return f'{statistics.mean(values):.3f} ± {statistics.stdev(values):.3f}'


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
                   f'{len(HELD_OUT)} held-out pairs'):
        table.add_column(column)
    for rows in zip(*runs):
        table.add_row(rows[0].name, spread([row.tuned for row in rows]),
                      spread([row.held_out for row in rows]))
    console.print(table)
    path = work_dir / 'retention.json'
    path.write_text(
        json.dumps([[row._asdict() for row in run] for run in runs],
                   indent=1))
    console.print(f'wrote {path}')


if __name__ == '__main__':
    cli.run(main)
