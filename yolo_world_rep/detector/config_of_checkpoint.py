"""The config of a folded checkpoint, derived from the file itself.

Widths, depth, heads, guides and classes come from the tensors, the names from
the meta. The test pipeline, the normalisation and the thresholds are those of
the config that mmengine wrote into the meta of a training, as far as they are
plain values that :mod:`.spec_of_config` understands; nothing of that config is
run. A checkpoint that no training wrote has those of our configs.
"""
import ast
import warnings
from contextlib import suppress
from dataclasses import replace
from typing import Any, Callable, Dict, Mapping, Optional, Tuple

from mmengine.config import Config

from yolo_world_rep.config.composition import base_config, model_settings
from yolo_world_rep.config.variables import resolve_variables
from yolo_world_rep.inference.spec_checks import CHECKS
from yolo_world_rep.reparam import Checkpoint
from yolo_world_rep.reparam.folded_model import folded_model
from yolo_world_rep.text.names import META_KEY
from yolo_world_rep.utils.configs import config_root

from .class_names import test_dataset
from .remedies import PROTOTYPES
from .spec_of_config import letterbox_of_pipeline, post_processing_of

IMAGE_MODEL = 'backbone.image_model'
# Of the neck: the layers at its three levels, the finest first.
LEVELS = ('top_down_layers.1', 'top_down_layers.0', 'bottom_up_layers.1')
SEGMENTATION = ('yolo_world_v2_seg_s_rep_vlpan_bn_2e-4_80e_8gpus_finetune_'
                'coco.py')
# Characters of a config in a meta.
LONGEST = 1 << 20


def _attention(state: Mapping[str, Any], level: str,
               widen: float) -> Optional[Tuple[int, int]]:
    """Channels and heads of a level's attention, before it is scaled."""
    prefix = f'neck.{level}.attn_block'
    heads = state.get(f'{prefix}.bias')
    guide = state.get(f'{prefix}.guide_convs.0.weight')
    if guide is None:
        guide = state.get(f'{prefix}.guide_weight')
        width = None if guide is None else guide.shape[2]
    else:
        width = guide.shape[1]
    if heads is None or width is None:
        return None
    return round(len(heads) * width / widen), round(len(heads) / widen)


def scale_of(state: Mapping[str, Any]) -> Dict[str, Any]:
    """Settings of ``model`` that give the widths and depth of the tensors."""
    stem, last = (state[f'{IMAGE_MODEL}.{name}.weight'].shape[0]
                  for name in ('stem.conv', 'stage4.0.conv'))
    widen = stem / 64
    blocks = {key.split('.')[5] for key in state
              if key.startswith(f'{IMAGE_MODEL}.stage2.1.blocks.')}
    # stage2 of a YOLOv8 has six blocks, before it is scaled.
    factors = dict(deepen_factor=len(blocks) / 6, widen_factor=widen)
    channels = [256, 512, round(last / widen)]
    neck = dict(factors, in_channels=channels, out_channels=channels)
    attentions = [_attention(state, level, widen) for level in LEVELS]
    if None not in attentions:
        neck['embed_channels'], neck['num_heads'] = map(
            list, zip(*filter(None, attentions)))
    return dict(
        backbone=dict(image_model=dict(
            factors, last_stage_out_channels=channels[-1])),
        neck=neck,
        bbox_head=dict(head_module=dict(
            widen_factor=widen, in_channels=channels)))


def _plain(node: ast.expr) -> Any:
    """The value of an expression of ``dict(...)``, lists and literals."""
    if isinstance(node, ast.Call) and not node.args and (
            isinstance(node.func, ast.Name) and node.func.id == 'dict'):
        return {str(each.arg): _plain(each.value) for each in node.keywords}
    if isinstance(node, (ast.List, ast.Tuple)):
        kind = list if isinstance(node, ast.List) else tuple
        return kind(map(_plain, node.elts))
    return ast.literal_eval(node)


def trained_with(meta: Mapping[str, Any]) -> Dict[str, Any]:
    """The dicts of plain values in the config of a meta, by variable.

    Of what no training wrote since it was folded, it is that of its source.
    """
    source = (meta.get(META_KEY) or {}).get('source') or {}
    text = meta.get('cfg') or source.get('cfg')
    if not isinstance(text, str) or len(text) > LONGEST:
        return {}
    values = {}
    with suppress(SyntaxError, ValueError, RecursionError,
                  MemoryError), warnings.catch_warnings():
        warnings.simplefilter('ignore')  # what Python thinks of the text
        for node in ast.parse(text).body:
            if isinstance(node, ast.Assign) and isinstance(
                    node.targets[0], ast.Name):
                with suppress(ValueError):
                    value = _plain(node.value)
                    if isinstance(value, dict):
                        values[node.targets[0].id] = value
    return values


def _sound(read: Callable[[Any], Mapping[str, Any]], value: Any) -> bool:
    """Whether a part of a config is understood and its values are possible."""
    try:
        return all(CHECKS[name][0](each)
                   for name, each in read(value).items())
    except (ValueError, TypeError, OverflowError):
        return False


def _of_training(meta: Mapping[str, Any]) -> Dict[str, Any]:
    """Settings of the config of a training that are understood here."""
    values = trained_with(meta)
    settings: Dict[str, Any] = dict(model={})
    pipeline = next((layer['pipeline'] for layer in test_dataset(values)
                     if layer.get('pipeline')), None)
    if isinstance(pipeline, list) and _sound(letterbox_of_pipeline, pipeline):
        settings['test_dataloader'] = dict(dataset=dict(pipeline=[
            step for step in pipeline
            if 'LoadText' not in str(step.get('type'))]))
    model = values.get('model', {})
    thresholds = model.get('test_cfg')
    if isinstance(thresholds, dict) and _sound(post_processing_of, thresholds):
        settings['model']['test_cfg'] = thresholds
    before = model.get('data_preprocessor')
    if isinstance(before, dict) and isinstance(
            before.get('bgr_to_rgb'), bool) and all(
            CHECKS[name][0](before.get(name)) for name in ('mean', 'std')):
        settings['model']['data_preprocessor'] = {
            key: before[key] for key in ('mean', 'std', 'bgr_to_rgb')}
    return settings


def config_of_checkpoint(loaded: Checkpoint) -> Config:
    """A config for a checkpoint with head and neck folded, which has none.

    It has the model, the test pipeline and the thresholds; for training, our
    recipe on COCO. A checkpoint that is not folded, or has no names for its
    classes, is a ValueError that says what to run.
    """
    model = folded_model(loaded)
    if loaded.description.dual:
        raise ValueError(
            f'{loaded.path} has the dual neck of v1, and no tensor tells how '
            f'many heads the update of its texts has: give its config too.')
    state = loaded.state_dict
    # Its scale is set below: there are sizes without a config of their own.
    base = config_root() / 'segmentation' / SEGMENTATION if (
        PROTOTYPES in state) else base_config(replace(model, size='s'))
    cfg = Config.fromfile(str(base), import_custom_modules=False)
    count = len(model.classes)
    cfg.merge_from_dict(dict(
        num_classes=count, class_names=model.classes,
        num_padding=model.num_guide - count if model.num_guide else 0))
    cfg = resolve_variables(cfg)[0]
    for settings in (dict(model=scale_of(state)),
                     dict(model=model_settings(model)),
                     _of_training(loaded.meta)):
        cfg.merge_from_dict(settings)
    return cfg
