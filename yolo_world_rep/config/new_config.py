"""A config for fine-tuning a folded checkpoint on one's own data."""
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping, Optional, Sequence, Tuple, Union

from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmyolo.registry import MODELS
from torch import nn

from ..reparam import Checkpoint, load_checkpoint, save_checkpoint
from ..reparam.editing import command_to_edit
from ..reparam.fit import compare, describe
from ..reparam.folded_model import FoldedModel, folded_model
from ..text.names import name_differences
from ..utils.files import PathLike, atomic_path, require_new
from ..utils.wording import command
from .batch_size import largest_batch, memory_probe, most_images
from .composition import Wishes, compose, require_possible
from .own_data import OwnData
from .recipes import frozen_parts
from .schedule import Schedule, make_schedule
from .variables import check_config, resolve_variables

STRIDE = 32  # sides of the input are multiples of it


@dataclass(frozen=True)
class NewConfig:
    """The written config, its inputs, and the command to run next."""
    path: Path
    data: OwnData
    text: str
    schedule: Schedule
    model: FoldedModel
    command: str


def require_classes(model: FoldedModel, names: Sequence[str],
                    source: PathLike) -> None:
    """Refuse a checkpoint whose classes are not those of the data.

    ``names`` are in the order of the labels; ``source`` is the file that has
    them, for the message, which gives the command that fixes the checkpoint.
    """
    difference = name_differences(model.classes, names)
    if not difference:
        return
    raise ValueError(f'{model.path} and {source} have other classes: '
                     f'{difference}. Run: ' +
                     command_to_edit(model.path, model.classes, names))


def verify(path: PathLike, model: FoldedModel,
           state_dict: Mapping[str, Any]) -> nn.Module:
    """Build the model of a config, which the checkpoint has to fit."""
    cfg, _ = resolve_variables(Config.fromfile(str(path)))
    check_config(cfg)
    with DefaultScope.overwrite_default_scope('mmyolo'):
        built = MODELS.build(cfg.model)
    fit = compare(state_dict, built.state_dict())
    if not fit:
        raise ValueError(
            f'{model.path} does not fit the config that follows from its '
            f'size {model.size!r}: {" ".join(describe(fit))}')
    return built


def require_image_size(img_size: Sequence[int]) -> Tuple[int, int]:
    """Width and height, multiples of 32, of one number or two."""
    if len(img_size) not in (1, 2):
        raise ValueError(f'`img_size` has {len(img_size)} numbers: expected '
                         f'one, or width and height.')
    width, height = img_size[0], img_size[-1]
    if any(side <= 0 or side % STRIDE for side in (width, height)):
        raise ValueError(f'`img_size` {width} {height}: expected positive '
                         f'multiples of {STRIDE}.')
    return width, height


def launch_command(out: PathLike, gpus: int) -> str:
    """The parts that a config trains."""
    devices = ['--device', ','.join(map(str, range(gpus)))] * (gpus > 1)
    return command('train', out, *devices)


def new_config(data: OwnData, checkpoint: Union[PathLike, Checkpoint],
               out: PathLike, wishes: Wishes,
               overwrite: bool = False) -> NewConfig:
    """Write a config for data and a folded checkpoint that go together.

    ``data`` is of :func:`~.own_data.read_own_data`; if it was converted, its
    COCO files go beside ``out``, the ``.py`` to write, and so does a
    checkpoint whose path is there. Nothing is written if the data have
    errors, or data, checkpoint and wishes do not go together.
    """
    out = Path(out)
    if out.suffix != '.py':
        raise ValueError(f'`out` {out}: expected a name that ends in .py.')
    require_new(out, overwrite)
    frozen_parts(wishes.recipe, wishes.freeze)
    require_possible(wishes)
    data.require_sound()
    loaded = checkpoint if isinstance(
        checkpoint, Checkpoint) else load_checkpoint(checkpoint)
    model = folded_model(loaded, wishes.size)
    require_classes(model, data.train.names,
                    data.layout.parts['train'].path)
    images, batch = data.train.large_enough, wishes.batch_size

    def write(batch_size: Optional[int]) -> Tuple[Schedule, str]:
        schedule = make_schedule(images, wishes.gpus, batch_size,
                                 wishes.epochs, wishes.lr)
        text = compose(data, model, wishes, schedule, out)
        temporary.write_text(text, encoding='utf-8')
        return schedule, text

    with atomic_path(out) as temporary:
        schedule, text = write(None if isinstance(batch, str) else batch)
        built = verify(temporary, model, loaded.state_dict)
        if batch == 'auto':
            schedule, text = write(largest_batch(
                memory_probe(built, wishes.image_size),
                most_images(images, wishes.gpus)))
        data.write()
        if loaded is checkpoint and model.path.parent == out.parent:
            save_checkpoint(model.path, loaded.state_dict, loaded.meta, True)
    return NewConfig(out, data, text, schedule, model,
                     launch_command(out, wishes.gpus))
