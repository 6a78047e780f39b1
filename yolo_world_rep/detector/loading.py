"""A detector of a config, with all of a checkpoint in it."""
import logging
from typing import Any, Dict, Optional, Tuple, Union

from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.registry import DefaultScope
from mmyolo.registry import MODELS
from torch import nn

from yolo_world_rep.config.migration import config_from_file
from yolo_world_rep.config.options import with_options
from yolo_world_rep.config.variables import resolve_variables
from yolo_world_rep.detector.class_branch import with_class_branch
from yolo_world_rep.detector.remedies import remedies
from yolo_world_rep.reparam import Checkpoint, load_checkpoint
from yolo_world_rep.reparam.fit import compare, describe, under
from yolo_world_rep.reparam.neck_forms import in_form_of
from yolo_world_rep.utils.files import PathLike


def read_config(config: Union[Config, PathLike],
                cfg_options: Optional[dict] = None) -> Config:
    """A copy of a config with options, and what is derived from them set."""
    if not isinstance(config, Config):
        try:
            config = config_from_file(str(config))
        except (OSError, SyntaxError, KeyError) as error:
            raise ValueError(
                f'config {str(config)!r} cannot be read: {error}. Expected a '
                f'config file of mmyolo (.py).') from error
    return resolve_variables(with_options(config, cfg_options))[0]


def load_detector(cfg: Config, checkpoint: Union[PathLike, Checkpoint]
                  ) -> Tuple[nn.Module, Checkpoint]:
    """A config's detector, in evaluation mode, with all of a checkpoint in it.

    Nothing in the file is executed. The detector has the class names of the
    file in ``dataset_meta``; one that does not fit is a ValueError with a
    remedy.
    """
    loaded = load_checkpoint(checkpoint)
    checkpoint = loaded.path
    for note in loaded.notes:
        print_log(f'{checkpoint}: {note}.', 'current', logging.WARNING)
    cfg = with_class_branch(cfg, loaded.description)
    with DefaultScope.overwrite_default_scope('mmyolo'):
        model = MODELS.build(cfg.model)
    allowances: Dict[str, Any] = getattr(
        model, 'checkpoint_allowances', dict)()
    wanted = model.state_dict()
    whole, note = in_form_of(loaded.state_dict, wanted)
    if note:
        print_log(f'{checkpoint}: {note}.', 'current')
    state = {
        name: tensor for name, tensor in whole.items()
        if name in wanted or not under(name, allowances.get('unexpected', ()))}
    # Prompts that the config takes from their file; a part that training
    # would start anew is not fit for use.
    given = ['embeddings'] if getattr(model, 'embedding_path', '') else []
    fit = compare(
        state, {name: tensor for name, tensor in wanted.items()
                if name in state or not under(name, given)})
    if not fit:
        raise ValueError(
            f'Checkpoint {checkpoint} does not fit the model of the config. '
            + ' '.join(
                remedies(fit, model, whole, loaded.meta, loaded.path)
                or ['Give the config that the checkpoint was trained with.'])
            + f' {" ".join(describe(fit))}')
    model.load_state_dict(state, strict=False)
    names = loaded.class_names
    model.dataset_meta = None if names is None else dict(classes=names)
    return model.eval(), loaded
