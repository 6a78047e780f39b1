"""From a checkpoint and data to a fine-tuned checkpoint."""
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Optional, Sequence, Union

import numpy as np
from mmengine.runner import Runner

from ..config.composition import Wishes
from ..config.data_layouts import DataLayout, find_data
from ..config.migration import config_from_file
from ..config.new_config import NewConfig, new_config
from ..config.own_data import read_own_data
from ..reparam import Checkpoint, load_checkpoint, save_checkpoint
from ..reparam.conversion import SUFFIXES, fold, texts_for
from ..utils.files import PathLike, require_new
from . import launch
from .terminal import quiet

Model = Union[PathLike, Checkpoint]
Words = Union[PathLike, Sequence[str], None]
# In the work dir: the config, and what was made for it.
START = 'start'
# As yolo_world_rep.detector.evaluation names the figures of CocoMetric.
FIGURES = {'': '', '_50': '50', '_75': '75', '_s': '_small', '_m': '_medium',
           '_l': '_large'}


@dataclass(frozen=True)
class Finetuned:
    """The files of a training in its work dir.

    ``checkpoint`` is the best one, else the last; ``scores`` are its ``AP``,
    ``AP50``, ``AP75``, ``AP_small``, ``AP_medium`` and ``AP_large`` on the
    validation data, 0..1, NaN where there is nothing of that size.
    """
    checkpoint: Path
    config: Path
    report: Optional[Path]
    scores: Dict[str, float]


def prepare(model: Model, layout: DataLayout,
            work_dir: Optional[PathLike] = None, *,
            wishes: Optional[Wishes] = None, words: Words = None,
            encoder: Optional[str] = None,
            overwrite: bool = False) -> NewConfig:
    """Write the config of :func:`finetune`, and what it starts from.

    All of it goes to ``WORK_DIR/start``.
    """
    folder = Path(work_dir or Path('work_dirs', layout.name))
    out = require_new(folder / START / f'{folder.resolve().name}.py',
                      overwrite, '`work_dir`')
    loaded = model if isinstance(
        model, Checkpoint) else load_checkpoint(model)
    own = read_own_data(layout, out)
    own.require_sound()
    path = loaded.path
    if loaded.description.text_conditioned:
        names = own.train.names
        texts, neck_texts, kind = texts_for(loaded, words or names, encoder)
        if len(texts.vectors) != len(names):
            raise ValueError(f'`words` are {len(texts.vectors)}, and the data '
                             f'have {len(names)} classes: {list(names)}. Give '
                             f'one for each, in this order.')
        loaded, _ = fold(loaded, texts, neck_texts, 'rep_conv', names, kind)
        path = out.with_name(f'{path.stem}{SUFFIXES["rep_conv"]}.pth')
    elif words or encoder:
        raise ValueError(f'{path} is {loaded.description.kind} and has its '
                         f'classes already: leave `words` and `encoder` out.')
    elif loaded is model:
        path = out.with_name(f'{path.stem}.pth')
    if path.parent == out.parent:
        save_checkpoint(path, loaded.state_dict, loaded.meta, overwrite=True)
    return new_config(own, path, out, wishes or Wishes(), overwrite)


def result_of(runner: Runner, config: Path) -> Finetuned:
    """The files that a finished training has left."""
    hub = runner.message_hub
    scores = {}
    history = {name.split('/')[-1]: buffer.data[0]
               for name, buffer in hub.log_scalars.items()
               if name.startswith('val/coco/')}
    if 'bbox_mAP' in history:
        best = int(np.argmax(history['bbox_mAP']))
        for name, values in history.items():
            kind, _, figure = name.partition('_mAP')
            prefix = '' if kind == 'bbox' else f'{kind}_'
            value = float(values[best])
            scores[f'{prefix}AP{FIGURES[figure]}'] = (
                value if value >= 0 else float('nan'))
    report = Path(runner.work_dir, 'report', 'report.md')
    new = report.is_file() and (
        report.stat().st_mtime >= config.stat().st_mtime)
    return Finetuned(
        Path(hub.get_info('best_ckpt', None) or hub.get_info('last_ckpt')),
        config, report if new else None, scores)


def finetune(model: Model, data: Union[PathLike, DataLayout],
             work_dir: Optional[PathLike] = None, *,
             wishes: Optional[Wishes] = None, words: Words = None,
             encoder: Optional[str] = None,
             val_fraction: Optional[float] = None, amp: bool = False,
             overwrite: bool = False, resume: Optional[str] = None,
             cfg_options: Optional[Dict[str, Any]] = None) -> Finetuned:
    """Fine-tune a checkpoint on data as they are.

    Args:
        model (str | Path | Checkpoint): A folded checkpoint that has the
            classes of the data, or a text-conditioned one, into which they
            are folded.
        data (str | Path | DataLayout): A YAML of Ultralytics, a COCO file or
            a folder, as of :func:`~.config.data_layouts.find_data`.
        work_dir (str | Path, optional): Folder of everything that is written.
            Defaults to ``work_dirs/NAME``, by the name of the data.
        wishes (Wishes, optional): How to train: epochs, batch size, image
            size and so on. Defaults to None for what the data suggest.
        words (str | Path | Sequence[str], optional): What a text-conditioned
            model is told of each class, in the order of the data, or a file
            of it. Defaults to None for the names of the classes.
        encoder (str, optional): What embeds the words, as of
            :func:`~yolo_world_rep.text.embed_words`.
        val_fraction (float, optional): Share of the images held out where
            there are no validation data. Defaults to 0.2.
        amp (bool): Train in mixed precision. Defaults to False.
        overwrite (bool): Replace the config of an earlier run.
        resume (str, optional): Go on from a checkpoint, or from the last one
            in the ``work_dir`` ('auto').
        cfg_options (dict, optional): Settings of the config, by dotted key.

    Returns:
        Finetuned: The files and the scores of the best checkpoint.

    Raises:
        ValueError: If data, checkpoint and wishes do not go together.

    Examples:
        >>> tuned = finetune('yolo_world_v2_s.pth', 'pets.yaml',
        ...                  wishes=Wishes(epochs=40))
        >>> tuned.checkpoint, tuned.scores['AP']
    """
    layout = data if isinstance(data, DataLayout) else find_data(
        data, val_fraction)
    made = prepare(model, layout, work_dir, wishes=wishes, words=words,
                   encoder=encoder, overwrite=overwrite or bool(resume))
    with quiet():
        cfg = launch.config_for_training(
            config_from_file(str(made.path)), str(made.path),
            work_dir=str(made.path.parents[1]), amp=amp, resume=resume,
            cfg_options=cfg_options)
        # mmengine gives one of the same name the folder of an older run.
        (cfg.get('visualizer') or {}).pop('name', None)
        launch.check_files(cfg, ('train_dataloader', 'val_dataloader'))
        runner = launch.build_runner(cfg)
        launch.train(runner)
    return result_of(runner, made.path)
