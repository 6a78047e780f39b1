"""A file of Ultralytics becomes a checkpoint of ours; nothing in it runs."""
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Tuple

import torch
from torch import Tensor

from yolo_world_rep.checkpoint_file import Record
from yolo_world_rep.utils.files import (
    PathLike,
    about_file,
    require_new,
    sha256_of_file,
)
from yolo_world_rep.version import __version__

from .checkpoint import read_content, save_checkpoint
from .meta import meta_of
from .records import check_tensors, module_tensors
from .tensor_checks import check_weights
from .ultralytics import (
    check_modules,
    convert_state_dict,
    require_world_v2,
    size_of,
)
from .ultralytics_layers import PLACES


@dataclass(frozen=True)
class Translation:
    """The result of converting a file of Ultralytics.

    ``size`` is 's', 'm', 'l' or 'x', None for another; ``num_tensors`` were
    taken over.
    """
    path: Path
    size: Optional[str]
    num_tensors: int
    notes: List[str] = field(default_factory=list)


def find_model(content: Mapping[str, Any],
               path: PathLike) -> Tuple[Dict[str, Tensor], bool]:
    """The tensors of the model in a file, by names from ``model.0.`` on.

    The averaged weights (``ema``) are preferred, as in Ultralytics. The second
    value says whether the file told how its layers are built, and they are
    built as ours; a bare state dict does not tell.
    """
    found: Any = content
    for key in ('ema', 'model', 'state_dict'):
        if isinstance(content.get(key), (Record, dict)):
            found = content[key]
            break
    checked = isinstance(found, Record)
    state_dict = module_tensors(found) if checked else found
    check_tensors(
        Path(path), state_dict, 'a yolov8[smlx]-worldv2.pt or its state dict')
    # Wrappers put their own name before that of the list of layers.
    state_dict = {
        re.sub(r'^(?:module\.)?(?:model\.)?(?=model\.\d)', '', key): value
        for key, value in state_dict.items()
    }
    require_world_v2(state_dict)
    if checked:
        check_modules(found)
    return state_dict, checked


def convert_ultralytics(model: PathLike, out: PathLike,
                        overwrite: bool = False) -> Translation:
    """Write Ultralytics' YOLO-World-v2 as a text-conditioned checkpoint.

    ``model`` is a ``yolov8{s,m,l,x}-worldv2.pt``, fine-tuned or not, or a file
    with its state dict; nothing in it is run. ValueError if the model has no
    exact map; nothing is written then.
    """
    out = require_new(out, overwrite)
    with about_file(model):
        state_dict, checked = find_model(read_content(model), model)
        check_weights(model, state_dict)
        converted = convert_state_dict(state_dict)
    size = size_of(state_dict)
    notes = []
    if not checked:
        notes.append(
            'a bare state dict does not say how its layers are built; they '
            'are taken to be those of yolov8-worldv2.yaml, with SiLU and '
            'batch norms of eps 0.001')
    if size is None:
        notes.append(
            'the widths are of none of the public sizes s, m, l and x: the '
            'config must say them')
    if any(value.dtype == torch.float16 for value in state_dict.values()):
        notes.append(
            'the file is in half precision; the result is in float32 and '
            'has the same values')
    width = converted[f'{PLACES[12]}.attn_block.guide_fc.weight'].shape[1]
    source = dict(file=Path(model).name, sha256=sha256_of_file(model),
                  layout='ultralytics')
    meta = meta_of(
        dict(version=__version__, format='text', head='bn', embed_dims=width,
             size=size, source=source), None)
    save_checkpoint(out, converted, meta, overwrite)
    return Translation(out, size, len(converted), notes)
