"""Conversion of a state dict: text-conditioned layers become folded ones.

Levels, heads and widths are read off the keys and shapes. The functions are
pure, and tensors that need no conversion are shared with the input.
"""
from typing import Dict, Optional

from torch import Tensor

from yolo_world_rep.moved import moved_names
from yolo_world_rep.utils.wording import some

from . import folding
from .description import StateDict
from .layers import (
    DROPPED,
    QUERY,
    GuidedLayer,
    Layout,
    check_text,
    inspect_layout,
)
from .tensor_checks import at_least_single

# The form of the neck's guides after conversion.
NECK_FORMS = ('rep_conv', 'rep_linear', 'text')


def strip_wrapper(state_dict: StateDict) -> Dict[str, Tensor]:
    """Keys without the ``module.`` that a distributed wrapper puts first."""
    bare = {key[len('module.'):] if key.startswith('module.') else key: value
            for key, value in state_dict.items()}
    if len(bare) < len(state_dict):
        twice = [key for key in bare
                 if key in state_dict and f'module.{key}' in state_dict]
        raise ValueError(
            f'The checkpoint has tensors with "module." before their name '
            f'and without, and one of both has to go: {some(twice)}.')
    return bare


def fold_guided_layer(layer: GuidedLayer, state_dict: StateDict,
                      text_ND: Tensor, neck_form: str) -> Dict[str, Tensor]:
    """The tensors that replace a layer's text projection."""
    weight = state_dict[f'{layer.name}.guide_fc.weight']
    bias = state_dict[f'{layer.name}.guide_fc.bias']
    guide = folding.project_guide(text_ND.double(), weight.double(),
                                  bias.double(), layer.num_heads)
    guide = guide.to(at_least_single(weight.dtype)).contiguous()
    if neck_form == 'rep_linear':
        return {f'{layer.name}.guide_weight': guide}
    return {f'{layer.name}.guide_convs.{head}.weight': conv
            for head, conv in enumerate(folding.guide_to_convs(guide))}


def fold_enhancer(name: str, state_dict: StateDict,
                  text_ND: Tensor) -> Dict[str, Tensor]:
    """The tensors that replace a text enhancer's query.

    They are the queries and, in the neck, the texts to be updated.
    """
    parts = [state_dict[f'{name}.query.{part}'] for part in QUERY]
    query = folding.project_query(text_ND.double(),
                                  *(part.double() for part in parts))
    dtype = at_least_single(parts[0].dtype)
    return {
        f'{name}.query_weight': query.to(dtype),
        f'{name.rpartition(".")[0]}.texts': text_ND.to(dtype)
    }


def fold_contrast_layer(name: str, state_dict: StateDict,
                        text_ND: Tensor) -> Dict[str, Tensor]:
    """The tensors that replace a head's scale and bias."""
    scale = state_dict[f'{name}.logit_scale']
    bias = state_dict[f'{name}.bias']
    weight, bias = folding.fold_contrast(text_ND.double(), scale.double(),
                                         bias.double())
    dtype = at_least_single(scale.dtype)
    return {f'{name}.conv.weight': weight.to(dtype),
            f'{name}.conv.bias': bias.to(dtype)}


def text_layers(layout: Layout, state_dict: StateDict) -> Dict[str, Tensor]:
    """The layers that texts are folded through, by name; some megabytes."""
    names = [f'{layer.name}.guide_fc.{part}' for layer in layout.constant
             for part in ('weight', 'bias')]
    names += [f'{name}.{part}' for name in layout.contrasts for part in (
        'logit_scale', 'bias')]
    if layout.dual:
        names += [f'{layout.enhancer}.query.{part}' for part in QUERY]
    return {name: state_dict[name].clone() for name in names}


def tuned_prompts(state_dict: StateDict) -> Tensor:
    """The texts of prompt tuning, (N, D), with the norms the neck meets."""
    state_dict = strip_wrapper(state_dict)
    if 'embeddings' not in state_dict:
        raise ValueError(
            'The checkpoint has no prompts of its own (no tensor named '
            '"embeddings"), as prompt tuning makes them. Give a file of '
            'texts (.npy) as `text_embed`.')
    names = [f'adapter.{layer}.{part}' for layer in (0, 2)
             for part in ('weight', 'bias')]
    missing = [name for name in names if name not in state_dict]
    if missing and len(missing) < len(names):
        raise ValueError(f'The adapter of the prompts is incomplete: '
                         f'{some(missing)} missing. Use a whole checkpoint.')
    return folding.adapt_prompts(
        state_dict['embeddings'].double(),
        None if missing else [state_dict[name].double() for name in names])


def reparameterize_state_dict(
        state_dict: StateDict, text: Tensor, neck_form: str = 'rep_conv',
        neck_text: Optional[Tensor] = None) -> Dict[str, Tensor]:
    """Fold texts into a text-conditioned detector's weights.

    Products are computed in float64 and rounded once, to the precision of
    the layer, or to float32 if the layer is in half precision. The text
    encoder and tuned prompts are left behind. Of a dual neck the top-down
    half is folded, and the queries of its text update; the texts stay in the
    neck, under ``neck.texts``, for the bottom-up half.

    Args:
        state_dict (Mapping): Of a text-conditioned YOLO-World.
        text (Tensor): Text embeddings, (N, D), of any norm: the head
            normalizes them, the neck takes them as they are.
        neck_form (str): 'rep_conv' (a convolution per head), 'rep_linear'
            (one matrix), or 'text': only the detection head is folded and
            the neck keeps its texts, under ``embeddings``.
        neck_text (Tensor, optional): Another vocabulary for the neck, such
            as the same texts and the padding prompt. Defaults to ``text``.

    Returns:
        dict: The state dict of the reparameterized detector.

    Raises:
        ValueError: If the checkpoint or the texts do not fit, see
            :func:`inspect_layout` and :func:`check_text`.
    """
    if neck_form not in NECK_FORMS:
        raise ValueError(
            f'neck_form={neck_form!r}; expected one of {NECK_FORMS}.')
    state_dict = strip_wrapper(state_dict)
    layout = inspect_layout(state_dict)
    check_text(layout, text)
    if neck_text is not None:
        check_text(layout, neck_text)
    return fold_texts(layout, state_dict, text, neck_form,
                      text if neck_text is None else neck_text)


def fold_texts(layout: Layout, state_dict: StateDict, text: Tensor,
               neck_form: str, neck_text: Tensor) -> Dict[str, Tensor]:
    """:func:`reparameterize_state_dict` of checked arguments."""
    replaced: Dict[str, Dict[str, Tensor]] = {}
    if neck_form != 'text':
        for guided in layout.constant:
            replaced[f'{guided.name}.guide_fc.weight'] = fold_guided_layer(
                guided, state_dict, neck_text, neck_form)
            replaced[f'{guided.name}.guide_fc.bias'] = {}
        if layout.enhancer is not None:
            first, *others = (f'{layout.enhancer}.query.{part}'
                              for part in QUERY)
            replaced[first] = fold_enhancer(layout.enhancer, state_dict,
                                            neck_text)
            replaced.update({other: {} for other in others})
    for contrast in layout.contrasts:
        replaced[f'{contrast}.logit_scale'] = fold_contrast_layer(
            contrast, state_dict, text)
        replaced[f'{contrast}.bias'] = {}
    converted: Dict[str, Tensor] = {}
    for key, tensor in state_dict.items():
        if key in replaced:
            converted.update(replaced[key])
        elif not key.startswith(DROPPED):
            converted[key] = tensor
    if neck_form == 'text' and layout.guided:
        weight = state_dict[f'{layout.guided[0].name}.guide_fc.weight']
        converted['embeddings'] = neck_text.to(at_least_single(weight.dtype))
    return converted


__getattr__ = moved_names(__name__, {'Layout': 'reparam.layers.Layout'})
