"""From a checkpoint and data to a fine-tuned checkpoint."""
import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Dict, Optional, Sequence, Union

import numpy as np
from mmengine.config import Config

from ..config.composition import Wishes
from ..config.data_layouts import DataLayout, find_data
from ..config.migration import config_from_file
from ..config.new_config import NewConfig, new_config
from ..config.own_data import read_own_data
from ..reparam import Checkpoint, load_checkpoint
from ..reparam.conversion import fold, name_of_folded, texts_for
from ..utils.files import PathLike, require_new
from . import launch
from .coco_metric import FIGURES
from .terminal import quiet

Model = Union[PathLike, Checkpoint]
Words = Union[PathLike, Sequence[str], None]
# Folder in the work dir: the config, and what was made for it.
START = 'start'


@dataclass(frozen=True)
class Finetuned:
    """The files of a training in its work dir.

    ``checkpoint`` is the best one, else the last if any; ``scores`` are its
    ``AP``, ``AP50``, ``AP75``, ``AP_small``, ``AP_medium`` and ``AP_large`` on
    the validation data, 0..1, NaN where there is nothing of that size.
    """
    checkpoint: Optional[Path]
    config: Path
    report: Optional[Path]
    scores: Dict[str, float]


def prepare(model: Model, layout: DataLayout,
            work_dir: Optional[PathLike] = None, *,
            wishes: Optional[Wishes] = None, words: Words = None,
            encoder: Optional[str] = None,
            overwrite: bool = False) -> NewConfig:
    """Write what :func:`finetune` starts from to ``WORK_DIR/start``."""
    folder = Path(work_dir or Path('work_dirs', layout.name))
    out = require_new(folder / START / f'{folder.resolve().name}.py',
                      overwrite, '`work_dir`, continue with `resume`')
    loaded = load_checkpoint(model)
    path, found = loaded.path, loaded.description
    own = read_own_data(layout, out, None if found.text_conditioned
                        else loaded.class_names)
    own.require_sound()
    if found.text_conditioned:
        names = own.train.names
        texts, neck_texts, kind = texts_for(loaded, words or names, encoder)
        if len(texts.vectors) != len(names):
            raise ValueError(f'`words` are {len(texts.vectors)}: expected one '
                             f'for each class of the data, which are '
                             f'{list(names)}.')
        loaded, _ = fold(loaded, texts, neck_texts, 'rep_conv', names, kind)
        path = out.with_name(name_of_folded(path.stem))
    elif words or encoder:
        raise ValueError(f'{path} is {found.kind} and has its classes '
                         f'already: leave `words` and `encoder` out.')
    elif loaded is model:
        path = out.with_name(f'{path.stem}.pth')
    return new_config(own, replace(loaded, path=path), out,
                      wishes or Wishes(), overwrite)


def config_to_train(config: PathLike, work_dir: Optional[PathLike] = None,
                    **options: Any) -> Config:
    """The config in a file for :func:`train`, its files checked.

    ``options`` are those of :func:`~.launch.config_for_training`.
    """
    cfg = launch.config_for_training(
        config_from_file(str(config)), str(config),
        work_dir=work_dir and str(work_dir), **options)
    # mmengine gives one of the same name the folder of an older run.
    (cfg.get('visualizer') or {}).pop('name', None)
    # What new_config wrote was checked, and its findings said.
    made = Path(config).parent.name == START
    launch.check_files(cfg, ('train_dataloader', 'val_dataloader'),
                       logging.INFO if made else logging.WARNING)
    return cfg


def train(cfg: Config, config: PathLike, trust: bool = False) -> Finetuned:
    """Train with a config that came from a file."""
    runner = launch.build_runner(cfg, trust)
    launch.train(runner)
    hub = runner.message_hub
    history = {name: hub.get_scalar(f'val/coco/bbox_{name}').data[0]
               for name in FIGURES if f'val/coco/bbox_{name}' in
               hub.log_scalars}
    best = int(np.argmax(history.get('mAP', [0])))
    report = hub.get_info('report')
    last = hub.get_info('best_ckpt') or hub.get_info('last_ckpt')
    return Finetuned(
        last and Path(last), Path(config), report and Path(report),
        {FIGURES[name]: float(values[best]) if values[best] >= 0 else np.nan
         for name, values in history.items()})


def finetune(model: Model, data: Union[PathLike, DataLayout],
             work_dir: Optional[PathLike] = None, *,
             wishes: Optional[Wishes] = None, words: Words = None,
             encoder: Optional[str] = None,
             val_fraction: Optional[float] = None, overwrite: bool = False,
             resume: Optional[str] = None, **options: Any) -> Finetuned:
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
        overwrite (bool): Replace the config of an earlier run.
        resume (str, optional): Go on from a checkpoint, or from the last one
            in the ``work_dir`` ('auto').
        **options: ``amp``, ``cfg_options`` and others of
            :func:`~.launch.config_for_training`.

    Returns:
        Finetuned: The files and the scores of the best checkpoint.

    Raises:
        ValueError: If data, checkpoint and wishes do not go together.

    Example:
        >>> tuned = finetune('yolo_world_v2_s.pth', 'pets.yaml',
        ...                  wishes=Wishes(epochs=40))
        >>> tuned.checkpoint, tuned.scores['AP']
    """
    layout = data if isinstance(data, DataLayout) else find_data(
        data, val_fraction)
    made = prepare(model, layout, work_dir, wishes=wishes, words=words,
                   encoder=encoder, overwrite=overwrite or bool(resume))
    with quiet():
        cfg = config_to_train(made.path, made.path.parents[1], resume=resume,
                              **options)
        return train(cfg, made.path, options.get('trust', False))
