"""The ways of fine-tuning side by side, all hyper-parameters equal.

Three experiments, each with several seeds:

known    A tiny YOLO-World, trained on 24 pairs of colour and shape, is tuned
         on new images of 8 of them.
unknown  The same images, but the 8 classes have names that mean nothing.
coco128  The same model, trained on 48 small photographs of COCO, is tuned on
         16 others, and evaluated on those very ones.

The ways: text-conditioned (the normal one), prompt tuning, folded, and a
YOLOv8 of that size from scratch, with the steps of the tuning and, if --long
is given, with those of the pre-training added. Prints tables, writes
finetune.json and finetune.svg. What is in the work dir already is not
repeated.

    python benchmarks/finetune.py --work-dir work_dirs/finetune --seeds 3 \
        --data coco128 --embeddings coco80_clip_vit_b32.npy
"""
import argparse
import json
import math
import os
import platform
import warnings
from pathlib import Path
from typing import Any, Dict, List, Sequence

os.environ.setdefault('NO_ALBUMENTATIONS_UPDATE', '1')

import small_coco  # noqa: E402
import torch  # noqa: E402
import tuning  # noqa: E402
import tuning_world as world  # noqa: E402
from mmengine.config import Config  # noqa: E402
from mmengine.logging import MMLogger  # noqa: E402
from processes import costs_in_turn  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402
from summary import paired, plot_seeds, spread  # noqa: E402

import yolo_world_rep  # noqa: E402, F401  mmyolo finds our models
from yolo_world_rep.datasets.shapes import ANNOTATION_FILE  # noqa: E402
from yolo_world_rep.demo import training  # noqa: E402
from yolo_world_rep.demo.world import EMBEDDINGS, Sizes  # noqa: E402
from yolo_world_rep.report.retention import evaluate_retention  # noqa: E402
from yolo_world_rep.text import load_embeddings, save_embeddings  # noqa: E402
from yolo_world_rep.utils import cli  # noqa: E402
from yolo_world_rep.utils.files import atomic_path  # noqa: E402

REPOSITORY = Path(__file__).resolve().parents[1]
CONFIGS = REPOSITORY / 'configs' / 'demo'
KNOWN, UNKNOWN, COCO = EXPERIMENTS = ('known', 'unknown', 'coco128')
BEFORE = 'not tuned'
TEXT, PROMPTS, FOLDED = 'text-conditioned', 'prompt tuning', 'folded'
SCRATCH, LONG = 'YOLOv8 from scratch', 'YOLOv8 from scratch, all steps'
WAYS = (TEXT, PROMPTS, FOLDED, SCRATCH)
SLUGS = {
    TEXT: 'text',
    PROMPTS: 'prompts',
    FOLDED: 'folded',
    SCRATCH: 'scratch',
    LONG: 'scratch_long'
}
TUNED = world.pairs_to_tune()
# What the eight are called where their names are to mean nothing.
NONSENSE = dict(
    zip(TUNED, ('blick', 'dax', 'fep', 'gorp', 'lorch', 'modi', 'tove',
                'wug')))
COCO_TRAIN, COCO_TUNE = 48, 16  # images
# What steps are timed: of which experiment, and with which widen_factor
# where it is not the model's own.
COSTS = {
    'shapes': (KNOWN, None),
    'coco128': (COCO, None),
    'coco128, as wide as S': (COCO, 0.5)
}


class Plan(argparse.Namespace):
    """Sizes: the full ones, or some that only try the script."""

    def __init__(self, quick: bool) -> None:
        # (of pre-training, of tuning), in epochs
        self.shapes = (1, 1) if quick else (6, 8)
        self.coco = (1, 1) if quick else (60, 120)
        self.sizes = Sizes(32, 8, 32) if quick else Sizes()
        self.rounds = 2 if quick else 30
        self.shapes_lr, self.coco_lr, self.coco_batch = 1e-3, 2e-3, 8


class Run(tuning.Trainings):
    """One seed."""

    def __init__(self, args: argparse.Namespace, seed: int) -> None:
        super().__init__(
            Path(args.work_dir).absolute() / f'seed_{seed}',
            REPOSITORY / 'tools', seed, args.console.print, args.threads)
        self.args, self.plan = args, args.plan
        self.world = self.work_dir / 'world'

    def run(self) -> List[Dict[str, Any]]:
        """Rows of all experiments; those of an earlier run are read."""
        rows = []
        for name in self.args.experiments:
            kind = f'{name}_long' if self.args.long else name
            path = self.work_dir / f'{kind}.json'
            if not path.exists():
                found = [
                    dict(experiment=name, seed=self.seed, **row)
                    for row in getattr(self, name)()
                ]
                with atomic_path(path) as temporary:
                    temporary.write_text(
                        json.dumps(found, indent=1), encoding='utf-8')
            rows += json.loads(path.read_text(encoding='utf-8'))
        return rows

    # ---------------------------- experiments ----------------------------
    def known(self) -> List[Dict[str, Any]]:
        """Shapes, by the names that the model knows."""
        source = self.pretrained_on_shapes()
        return self.compare(KNOWN, self.world, source, self.shapes_schedule(),
                            self.shapes_total())

    def unknown(self) -> List[Dict[str, Any]]:
        """The same images, by names that it does not know."""
        source = self.pretrained_on_shapes()
        root = self.work_dir / 'world_unknown'
        world.rename_classes(self.world, root, NONSENSE)
        # A YOLOv8 never hears of names.
        return self.compare(UNKNOWN, root, source, self.shapes_schedule(), 0)

    def coco128(self) -> List[Dict[str, Any]]:
        """Photographs."""
        before, after = self.plan.coco
        root = self.work_dir / 'photographs'
        data = Path(self.args.data)
        # Four seeds have other images to tune with.
        start = COCO_TRAIN + COCO_TUNE * (self.seed % 4)
        tune = slice(start, start + COCO_TUNE)
        for folder, chosen in (('train', slice(COCO_TRAIN)),
                               (world.TUNE, tune), (world.TUNE_VAL, tune)):
            small_coco.write_small_coco(
                data / 'annotations' / 'instances_train2017.json',
                data / 'train2017', root / folder, chosen)
        names = [
            c['name'] for c in json.loads(
                (root / 'train' / ANNOTATION_FILE).read_text(
                    encoding='utf-8'))['categories']
        ]
        vectors = load_embeddings(self.args.embeddings).vectors
        for file in (EMBEDDINGS, world.TUNED):
            save_embeddings(root / file, vectors, names)
        first = tuning.Schedule(before, 4e-3, self.plan.coco_batch)
        source = self.train(
            self.quiet(tuning.Ways(CONFIGS, root, first).text('train')),
            'coco_text')
        schedule = tuning.Schedule(after, self.plan.coco_lr,
                                   self.plan.coco_batch)
        total = after + before * COCO_TRAIN // COCO_TUNE
        return self.compare(COCO, root, source, schedule, total)

    # ------------------------------- steps -------------------------------
    def pretrained_on_shapes(self) -> Path:
        """The checkpoint that both experiments with shapes start from."""
        if not (self.world / world.HELD_OUT).exists():
            world.make_tuning_world(self.world, TUNED, self.seed,
                                    self.plan.sizes)
        cfg = training.read_config(CONFIGS / tuning.TEXT_CONFIG, self.world)
        cfg.max_epochs = self.plan.shapes[0]
        return self.train(cfg, 'text')

    def shapes_schedule(self) -> tuning.Schedule:
        return tuning.Schedule(self.plan.shapes[1], self.plan.shapes_lr)

    def shapes_total(self) -> int:
        """Epochs of the tuning that are as many steps as both trainings."""
        before, after = self.plan.shapes
        sizes = self.plan.sizes
        return after + before * (sizes.train // 16) // (sizes.finetune // 16)

    def compare(self, name: str, root: Path, source: Path,
                schedule: tuning.Schedule,
                total: int) -> List[Dict[str, Any]]:
        """Tune in all ways, and evaluate.

        Args:
            name (str): Of the experiment.
            root (Path): Its data.
            source (Path): The text-conditioned checkpoint to start from.
            schedule (Schedule): Of all ways.
            total (int): Epochs of a YOLOv8 that are worth both trainings;
                0 for none at all.
        """
        ways = tuning.Ways(CONFIGS, root, schedule)
        tuned = root / world.TUNED
        before = self.fold(source, tuned, f'{name}_before')

        def train(way: str, cfg: Config, **options: object) -> Path:
            return self.train(self.quiet(cfg), f'{name}_{SLUGS[way]}',
                              **options)

        folded = {
            BEFORE: before,
            TEXT: self.fold(
                train(TEXT, ways.text(), load_from=source), tuned,
                f'{name}_text_folded'),
            PROMPTS: self.fold(
                train(PROMPTS, ways.prompts(), load_from=source),
                'checkpoint', f'{name}_prompts_folded'),
            FOLDED: train(FOLDED, ways.folded(), load_from=before)
        }
        plain = {}
        if total:
            plain = {
                SCRATCH: train(SCRATCH, ways.scratch())
            }
            if self.args.long:
                plain[LONG] = train(LONG, ways.scratch(total))
        retained = self.retained(ways, folded)
        rows = []
        for models, cfg in ((folded, ways.folded()), (plain, ways.scratch())):
            rows += [
                dict(
                    way=way,
                    ap=tuning.ap_on(cfg, path, root / world.TUNE_VAL),
                    retained=retained.get(way)) for way, path in models.items()
            ]
        return rows

    def retained(self, ways: tuning.Ways,
                 points: Dict[str, Path]) -> Dict[str, float]:
        """AP of what the tuning was not about."""
        held_out = ways.root / world.HELD_OUT
        if not held_out.exists():
            return {
                way: tuning.ap_on(ways.folded(), path, ways.root / 'train')
                for way, path in points.items()
            }
        config = self.dump(
            training.read_config(CONFIGS / tuning.FOLDED_CONFIG, ways.root),
            f'{ways.root.name}_retention')
        return {
            result.name: result.held_out
            for result in evaluate_retention(
                config, points, held_out, str(self.work_dir / 'evaluation'))
        }

    @staticmethod
    def quiet(cfg: Config) -> Config:
        """Without validation: all models are evaluated alike afterwards."""
        for key in ('val_cfg', 'val_dataloader', 'val_evaluator'):
            cfg.pop(key)
        return cfg

    def costs(self) -> Dict[str, Dict[str, Dict[str, float]]]:
        """Seconds and memory of the steps of all ways, taken in turns."""
        costs = {}
        for label, (experiment, width) in COSTS.items():
            if experiment not in self.args.experiments:
                continue
            self.say(f'timing steps: {label}')
            folder = self.work_dir / 'configs'
            found = costs_in_turn(
                {
                    way: (tuning.training_step,
                          dict(
                              config=str(
                                  folder / f'{experiment}_{SLUGS[way]}.py'),
                              width=width)) for way in WAYS
                },
                self.plan.rounds // (5 if width else 1) or 1,
                threads=self.args.threads)
            costs[label] = {
                way: cost._asdict() for way, cost in found.items()
            }
        return costs


def column(rows: Sequence[Dict[str, Any]], experiment: str, way: str,
           key: str) -> List[float]:
    """One value a seed, in the order of the seeds."""
    return [
        row[key] for row in sorted(rows, key=lambda row: row['seed'])
        if row['experiment'] == experiment and row['way'] == way
        and row[key] is not None and not math.isnan(row[key])
    ]


def tables(report: Dict[str, Any]) -> List[Table]:
    """One table an experiment, and one of the costs."""
    rows, made = report['rows'], []
    for experiment in EXPERIMENTS:
        ways = dict.fromkeys(
            row['way'] for row in rows if row['experiment'] == experiment)
        if not ways:
            continue
        table = Table(
            'way', 'AP', 'retained AP',
            title=f'{experiment}, {report["seeds"]} seed(s)')
        for way in ways:
            retained = column(rows, experiment, way, 'retained')
            table.add_row(way, spread(column(rows, experiment, way, 'ap')),
                          spread(retained) if retained else '-')
        made.append(table)
    for label, costs in report['costs'].items():
        table = Table('way', 's a step', 'MiB above start',
                      title=f'a step: {label}')
        for way, cost in costs.items():
            table.add_row(way, f'{cost["seconds"]:.3f}',
                          f'{cost["call_mib"]:.0f}')
        made.append(table)
    return made


def differences(report: Dict[str, Any]) -> List[str]:
    """What folding gained and lost against the normal way."""
    lines = []
    for experiment in EXPERIMENTS:
        for key, title in (('ap', 'AP'), ('retained', 'retained AP')):
            folded, text = (column(report['rows'], experiment, way, key)
                            for way in (FOLDED, TEXT))
            if folded:
                lines.append(f'{experiment}: {title}, {FOLDED} less {TEXT}: '
                             f'{paired(folded, text)}')
    return lines


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.split('\n')[0])
    parser.add_argument('--work-dir', default='work_dirs/finetune')
    parser.add_argument('--seeds', type=int, default=3)
    parser.add_argument(
        '--experiments', nargs='+', choices=EXPERIMENTS, default=EXPERIMENTS)
    parser.add_argument('--data', help='folder of coco128')
    parser.add_argument(
        '--embeddings', help='.npy of the 80 COCO classes, for coco128')
    parser.add_argument(
        '--long',
        action='store_true',
        help='also a YOLOv8 with the steps of the pre-training added')
    parser.add_argument(
        '--no-costs', action='store_true', help='leave out timing steps')
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument(
        '--quick', action='store_true', help='a few steps, to try the script')
    args = parser.parse_args()
    if args.seeds < 1:
        raise ValueError(f'--seeds {args.seeds}: expected 1 or more')
    if COCO in args.experiments and not (args.data and args.embeddings):
        raise ValueError('coco128 needs --data and --embeddings; leave it '
                         'out with --experiments known unknown')
    args.plan, args.console = Plan(args.quick), Console(highlight=False)
    return args


def main() -> None:
    """Run all seeds; show and write what came of it."""
    args = parse_args()
    warnings.filterwarnings('ignore', message='torch.meshgrid')
    MMLogger.get_current_instance().setLevel('WARNING')
    torch.set_num_threads(args.threads)
    runs = [Run(args, seed) for seed in range(args.seeds)]
    report = dict(
        torch=torch.__version__,
        machine=platform.machine(),
        threads=args.threads,
        seeds=args.seeds,
        quick=args.quick,
        rows=[row for run in runs for row in run.run()])
    report['costs'] = {} if args.no_costs else runs[0].costs()
    for shown in (*tables(report), *differences(report)):
        args.console.print(shown)
    out = Path(args.work_dir)
    with atomic_path(out / 'finetune.json') as path:
        path.write_text(json.dumps(report, indent=1), encoding='utf-8')
    plot_seeds(out / 'finetune.svg', [
        (f'{experiment}: {title}', {
            way: column(report['rows'], experiment, way, key)
            for way in (BEFORE, *SLUGS)
        }) for experiment in args.experiments
        for key, title in (('ap', 'AP'), ('retained', 'retained AP'))
    ])
    args.console.print(f'wrote {out / "finetune.json"} and finetune.svg')


if __name__ == '__main__':
    cli.run(main)
