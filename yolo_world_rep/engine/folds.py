"""K trainings, each validated on another part of the images."""
import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

from ..config.composition import Wishes
from ..config.data_layouts import DataLayout
from ..utils.files import PathLike, atomic_path
from .checkpoints import checkpoint_to_resume
from .finetune import Model, finetune

Scores = Dict[str, float]


def cross_validate(model: Model, layout: DataLayout, folds: int,
                   work_dir: Optional[PathLike] = None, *,
                   resume: bool = False, overwrite: bool = False,
                   begin: Callable[[str], None] = lambda _: None,
                   **options: Any) -> List[Scores]:
    """Train ``folds`` times on the images of ``train``, by :func:`finetune`.

    Each image is in the validation data of one training; which one follows
    from its name and the seed of ``wishes``. The trainings are in
    ``WORK_DIR/fold_1`` and so on; ``folds.json`` has the scores of those that
    are done, which ``resume`` leaves as they are. ``begin`` is called with the
    folder of each. Other options, errors and scores are of :func:`finetune`.

    Example:
        >>> cross_validate('yolo_world_v2_s.pth', find_data('pets'), 5)
    """
    folder = Path(work_dir or Path('work_dirs', layout.name))
    note = folder / 'folds.json'
    seed = (options.get('wishes') or Wishes()).seed or 0
    plan = dict(folds=folds, seed=seed)
    old = json.loads(note.read_text(encoding='utf-8')) if (
        resume and note.exists()) else {}
    if old and {name: old.get(name) for name in plan} != plan:
        raise ValueError(f'{note} is of other folds than {folds}, or of '
                         f'another seed than {seed}: choose another '
                         f'`work_dir`.')
    done: List[Scores] = old.get('scores', [])
    for number in range(len(done), folds):
        own = folder / f'fold_{number + 1}'
        begin(str(own))
        part = replace(
            layout, parts=dict(train=layout.parts['train']),
            val_fraction=1 / folds, fold=(seed, number, folds))
        last = resume and checkpoint_to_resume(str(own))
        done.append(finetune(
            model, part, own, overwrite=overwrite or resume,
            resume='auto' if last else None, **options).scores)
        with atomic_path(note) as file:
            file.write_text(json.dumps(dict(plan, scores=done)),
                            encoding='utf-8')
    return done
