"""A small data set of one's own and folded checkpoints that fit it."""
import json
from pathlib import Path
from typing import Any, Dict, Sequence

import torch
from builders import build_detector, detector_cfg, text_state
from mmengine.config import ConfigDict
from mmengine.registry import init_default_scope
from mmyolo.registry import MODELS

from yolo_world_rep.datasets import shapes

NAMES = shapes.all_pairs()[:3]
# A full-size YOLO-World-v2-S, which is what configs are written for.
SMALL = dict(widen_factor=0.5, num_heads=(4, 8, 16), embed_dims=512)


def write_data(root: Path, train: int = 4, val: int = 2,
               size: int = 64) -> None:
    """Drawn images and COCO files, ``root/train`` and ``root/val``."""
    for number, (name, count) in enumerate((('train', train),
                                            ('val', val))):
        shapes.write_dataset(root / name, count, NAMES, (3, number),
                             size=size)


def arguments(root: Path) -> Dict[str, Any]:
    """Where :func:`write_data` put them, for ``find_data``."""
    return dict(
        data=root,
        train_ann='train/annotations.json',
        val_ann='val/annotations.json')


def change(path: Path, edit: Any) -> None:
    """Edit a JSON file in place."""
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def save_text_checkpoint(path: Path) -> None:
    """A text-conditioned S with random weights."""
    torch.manual_seed(0)
    model = build_detector('text', num_classes=80, **SMALL)
    model.init_weights()
    torch.save(dict(state_dict=text_state(model), meta={}), path)


def folded_checkpoint(form: str = 'rep_conv',
                      names: Sequence[str] = NAMES,
                      num_guide: int = None,
                      meta: Dict[str, Any] = None,
                      block_type: str = None,
                      **model: Any) -> Dict[str, Any]:
    """What the converter would write, with random weights."""
    init_default_scope('mmyolo')
    torch.manual_seed(0)
    num_guide = len(names) if num_guide is None else num_guide
    cfg = detector_cfg(form, num_classes=len(names), **{**SMALL, **model})
    cfg['neck']['guide_channels'] = num_guide
    if block_type is not None:
        cfg['neck']['block_cfg']['type'] = block_type
    built = MODELS.build(ConfigDict(cfg))
    built.init_weights()
    state = built.state_dict()
    about = dict(
        format=form,
        head='bn',
        num_classes=len(names),
        num_guide=num_guide,
        embed_dims=512,
        classes=tuple(names),
        source=dict(sha256='0'))
    about.update(meta or {})
    return dict(
        state_dict=state,
        meta=dict(
            yolo_world_rep=about, dataset_meta=dict(classes=tuple(names))))
