"""From words to a fine-tuned text-free detector, step by step."""
import os
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional

import rich.progress
import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.logging import MMLogger
from rich.console import Console
from rich.table import Table
from torch import nn

from ..datasets import shapes
from ..detector.detections import data_loader, evaluate_detector
from ..detector.loading import load_detector
from ..reparam import convert_checkpoint
from ..report.figures import Mark, count
from ..text import load_class_texts
from ..utils.files import PathLike
from ..utils.timing import interleaved_medians
from . import networks, picture, training
from .training import FOLDED_CONFIG, TEXT_CONFIG
from .world import TEXT_CHANNELS, Sizes, make_world

TEXT, FOLDED, TUNED = 'text-conditioned', 'folded', 'folded, fine-tuned'
CONFIGS = {TEXT: TEXT_CONFIG, FOLDED: FOLDED_CONFIG, TUNED: FOLDED_CONFIG}


class Score(NamedTuple):
    """Mean AP over IoU thresholds from 0.5 to 0.95, and AP at 0.5."""
    ap: float
    ap50: float


@dataclass(frozen=True)
class Options:
    """How to run the demo."""
    work_dir: Path
    tools: Path  # folder of train.py
    configs: Path  # folder of the demo's configs
    seed: int = 0
    sizes: Sizes = Sizes()
    epochs: int = 6
    finetune_epochs: int = 8
    rounds: int = 50  # time measurements of each model
    # Of torch, in trainings too: a model this small gains little from a second
    # one, and threads that wait for each other lose much on a busy machine.
    threads: int = 1


class Story:
    """Runs the steps; each shows what it does and its result."""

    steps = 8

    def __init__(self, options: Options,
                 console: Optional[Console] = None) -> None:
        self.options = options
        self.console = console or Console(highlight=False)
        self.start = time.monotonic()
        self.step = 0
        self.work_dir = Path(options.work_dir).absolute()
        self.data_root = self.work_dir / 'world'
        self.seen, self.unseen = shapes.seen_pairs(), shapes.unseen_pairs()
        self.all = shapes.all_pairs()
        self.groups = dict(seen=self.seen, unseen=self.unseen, all=self.all)

    def run(self) -> Dict[str, Dict[str, Score]]:
        """Run everything; the scores by model and group of classes."""
        warnings.filterwarnings('ignore', message='torch.meshgrid')
        torch.set_num_threads(self.options.threads)
        # What the trainings log is in their files.
        MMLogger.get_current_instance().setLevel('WARNING')
        embeddings = self.generate()
        self.headline('Train the text-conditioned model')
        text_file = self.train(TEXT_CONFIG, 'text', self.options.epochs)
        conversion = self.fold(text_file, embeddings)
        models = {TEXT: self.load(TEXT_CONFIG, text_file),
                  FOLDED: self.load(FOLDED_CONFIG, conversion)}
        found, scores = {}, {}
        self.headline('Evaluate zero-shot')
        for name in (TEXT, FOLDED):
            found[name], scores[name] = self.evaluate(models[name], name)
        self.compare(models, scores)
        self.headline('Fine-tune the folded model on all pairs')
        tuned_file = self.train(FOLDED_CONFIG, 'tuned',
                                self.options.finetune_epochs,
                                load_from=conversion)
        models[TUNED] = self.load(FOLDED_CONFIG, tuned_file)
        self.headline('Evaluate the fine-tuned model')
        found[TUNED], scores[TUNED] = self.evaluate(models[TUNED], TUNED)
        milliseconds = self.measure(models)
        self.show(scores, milliseconds, self.draw(found))
        return scores

    # ------------------------------- steps -------------------------------
    def generate(self) -> Path:
        sizes = self.options.sizes
        self.headline(f'Generate a world of {len(shapes.COLOURS)} colours x '
                      f'{len(shapes.SHAPES)} shapes and embed their names')
        with self.bar() as progress:
            task = progress.add_task('images', total=sum(sizes))
            path = make_world(self.data_root, sizes, self.options.seed,
                              on_image=lambda: progress.advance(task))
        self.say(f'{sizes.train} images of {len(self.seen)} pairs to train '
                 f'with, {sizes.val} of all {len(self.all)} to evaluate, '
                 f'{sizes.finetune} of all to fine-tune with')
        self.say(f'never shown in training: {", ".join(self.unseen)}')
        return path

    def fold(self, checkpoint: Path, embeddings: Path) -> Path:
        """Fold the embeddings of all pairs, verified layer by layer."""
        self.headline('Fold the texts into the weights')
        conversion = convert_checkpoint(
            checkpoint, embeddings, self.work_dir / 'folded', overwrite=True)
        worst = max(check.exact for check in conversion.checks)
        self.say(f'{len(self.all)} texts x {TEXT_CHANNELS} channels folded '
                 f'into {len(conversion.checks)} layers; each verified in '
                 f'float64, largest relative error {worst:.0e}')
        self.say(f'wrote {conversion.path}')
        return conversion.path

    def evaluate(self, model: nn.Module, name: str):
        config = self.config(CONFIGS[name])
        loader = data_loader(config.test_dataloader)
        found: List[DetDataSample] = []
        with self.bar() as progress:
            task = progress.add_task(name, total=len(loader.dataset))

            def on_sample(sample: DetDataSample) -> None:
                found.append(sample)
                progress.advance(task)

            precisions = evaluate_detector(
                model, loader, config.test_evaluator, on_sample)
        scores = {
            group: Score(precisions.mean(names), precisions.mean(names, 0.5))
            for group, names in self.groups.items()
        }
        self.say('AP ' + ', '.join(
            f'{group} {score.ap:.3f}' for group, score in scores.items()))
        return found, scores

    def compare(self, models: Dict[str, nn.Module], scores: dict) -> None:
        """Refuse a folded model that is not the text-conditioned one."""
        difference = networks.relative_difference(
            models[TEXT], models[FOLDED], self.batch(TEXT_CONFIG))
        gap = max(abs(scores[TEXT][group].ap - scores[FOLDED][group].ap)
                  for group in self.groups)
        self.say(f'folded against text-conditioned: largest difference of AP '
                 f'{gap:.1e}; of the logits, over their range, '
                 f'{difference:.0e} in float32')
        # Detections whose scores differ by rounding may change places.
        if gap > 1e-3 or difference > 1e-4:
            raise RuntimeError('the folded model is not the text-conditioned '
                               'one')

    def measure(self, models: Dict[str, nn.Module]) -> Dict[str, float]:
        self.headline('Measure the time')
        # The texts are encoded once, as in any use of a fixed vocabulary.
        models[TEXT].reparameterize(
            load_class_texts(self.data_root / 'val' / shapes.TEXT_FILE))
        calls = {
            name: networks.forward_call(model, self.batch(CONFIGS[name]))
            for name, model in models.items()
        }
        milliseconds = interleaved_medians(calls, self.options.rounds)
        self.say(f'medians of {self.options.rounds} images, taken in turns, '
                 f'on {self.options.threads} thread(s)')
        return milliseconds

    def draw(self, found: dict) -> Path:
        self.headline('Draw')
        truths = picture.load_truth(
            self.data_root / 'val' / shapes.ANNOTATION_FILE)
        chosen = picture.choose_images(truths, self.unseen, number=3)
        columns: Dict[str, Dict[int, List[Mark]]] = {}
        for name, samples in found.items():
            columns[name] = {
                each.img_id: picture.judge(
                    each, truths[each.img_id], self.all, starred=self.unseen)
                for each in samples
            }
            everything = [m for marks in columns[name].values() for m in marks]
            self.say(f'{name}: {count(everything)} in '
                     f'{len(columns[name])} images, at a score of 0.3')
            columns[name] = {i: columns[name][i] for i in chosen}
        path = self.work_dir / 'detections.png'
        picture.draw(path, columns, truths)
        return path

    def show(self, scores: dict, milliseconds: Dict[str, float],
             path: Path) -> None:
        table = Table(
            title=f'AP on {len(self.all)} pairs of colour and shape, '
            f'{len(self.unseen)} of them unseen before fine-tuning')
        table.add_column('model')
        for title in ('shown', 'AP seen', 'AP unseen', 'AP50 unseen',
                      'ms / image'):
            table.add_column(title, justify='right')
        for name, of_groups in scores.items():
            shown = self.all if name == TUNED else self.seen
            unseen = of_groups['unseen']
            table.add_row(name, str(len(shown)),
                          f'{of_groups["seen"].ap:.3f}', f'{unseen.ap:.3f}',
                          f'{unseen.ap50:.3f}', f'{milliseconds[name]:.1f}')
        self.console.print()
        self.console.print(table)
        self.say(f'detections side by side: {path}')
        self.say(f'{time.monotonic() - self.start:.0f} s in all')

    # ------------------------------ helpers ------------------------------
    def headline(self, title: str) -> None:
        self.step += 1
        elapsed = time.monotonic() - self.start
        self.console.print(f'[bold]\\[{self.step}/{self.steps}] {title}[/] '
                           f'[dim]{elapsed:.0f} s[/]', soft_wrap=True)

    def say(self, text: str) -> None:
        self.console.print(f'      {text}', markup=False, soft_wrap=True)

    def bar(self) -> rich.progress.Progress:
        bars = rich.progress
        return bars.Progress(
            bars.TextColumn('     '), bars.SpinnerColumn(),
            bars.TextColumn('{task.description}'), bars.BarColumn(),
            bars.MofNCompleteColumn(), bars.TimeElapsedColumn(),
            console=self.console)

    def config(self, name: str) -> Config:
        return training.read_config(
            self.options.configs / name, self.data_root)

    def load(self, config: str, checkpoint: PathLike) -> nn.Module:
        return load_detector(self.config(config), checkpoint)[0]

    def batch(self, config: str) -> dict:
        return next(iter(data_loader(self.config(config).test_dataloader)))

    def train(self, config: str, name: str, epochs: int,
              **options: object) -> Path:
        """Train with ``tools/train.py``; gives the last checkpoint."""
        work_dir = self.work_dir / name
        command = training.training_command(
            self.options.tools, self.options.configs / config, work_dir,
            max_epochs=epochs, randomness__seed=self.options.seed, **options)
        self.say('python ' + ' '.join(map(os.path.relpath, command[1:3])) +
                 ' ' + ' '.join(command[3:]))
        log = self.work_dir / f'{name}.log'
        training.run_training(
            command, self.data_root, log, self.options.threads,
            lambda line: line.startswith('epoch') and self.say(line))
        self.say(f'log: {log}')
        return work_dir / f'epoch_{epochs}.pth'
