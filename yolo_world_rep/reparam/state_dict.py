"""Conversion of a state dict: text-conditioned layers become folded ones.

Levels, heads and widths are discovered from the keys. Pure functions:
nothing of the caller's is changed, and tensors that need no conversion are
shared with the input, not copied.
"""
import re
from dataclasses import dataclass
from typing import Dict, List, Mapping, Optional, Tuple, Union

from torch import Tensor

from . import folding
from .requirements import require_floats, require_scalar
from .weights import at_least_single

StateDict = Mapping[str, Tensor]

# Of a text; torch normalizes shorter ones to less than 1.
LEAST_NORM = 1e-12
# The form of the neck's guides after conversion.
NECK_FORMS = ('rep_conv', 'rep_linear', 'text')

GUIDED_LAYER = re.compile(r'^(?P<name>.+)\.guide_fc\.weight$')
CONTRAST_LAYER = re.compile(
    r'^(?P<name>.+\.cls_contrasts\.\d+)\.logit_scale$')
ENHANCER = re.compile(r'^(?P<name>.+\.text_enhancer)\.query\.1\.weight$')
FOLDED_LAYER = re.compile(r'^(?P<name>.+)\.('
                          r'guide_convs\.\d+\.weight|guide_weight|'
                          r'query_weight|'
                          r'cls_contrasts\.\d+\.conv\.weight)$')

# Of the layer norm and of the linear layer of a query.
QUERY = ('0.weight', '0.bias', '1.weight', '1.bias')
# Kept, and left behind. Anything else is not of a YOLO-World detector.
KEPT = ('backbone.image_model.', 'neck.', 'bbox_head.')
DROPPED = ('backbone.text_model.', 'embeddings', 'adapter.')


@dataclass(frozen=True)
class GuidedLayer:
    """A max-sigmoid attention of the neck.

    Args:
        name (str): Prefix of its keys, without the last dot.
        num_heads (int): M.
        embed_channels (int): E.
        text_channels (int): D.
    """
    name: str
    num_heads: int
    embed_channels: int
    text_channels: int


@dataclass(frozen=True)
class ContrastLayer:
    """A contrastive head.

    Args:
        name (str): Prefix of its keys, without the last dot.
        kind (str): 'bn' (v2) or 'l2' (v1).
        text_channels (int): D.
    """
    name: str
    kind: str
    text_channels: int


@dataclass(frozen=True)
class Layout:
    """What text conditioning a checkpoint has.

    Args:
        guided (tuple[GuidedLayer]): The neck's, in the order of the keys.
        contrasts (tuple[ContrastLayer]): The head's, likewise.
        enhancer (str, optional): Prefix of the keys of what updates a dual
            neck's texts from the image.
    """
    guided: Tuple[GuidedLayer, ...]
    contrasts: Tuple[ContrastLayer, ...]
    enhancer: Optional[str]

    @property
    def dual(self) -> bool:
        """Whether the neck updates its texts from the image."""
        return self.enhancer is not None

    @property
    def constant(self) -> Tuple[GuidedLayer, ...]:
        """The layers of the neck whose texts are as they came."""
        return tuple(layer for layer in self.guided
                     if not (self.dual and '.bottom_up_layers.' in layer.name))

    @property
    def head_kind(self) -> str:
        """'bn' or 'l2'."""
        return self.contrasts[0].kind

    @property
    def text_channels(self) -> int:
        """D, the same in every layer."""
        return self.contrasts[0].text_channels


def strip_wrapper(state_dict: StateDict) -> Dict[str, Tensor]:
    """Keys without the ``module.`` that a distributed wrapper puts first.

    Raises:
        ValueError: If there is a key with it and without.
    """
    bare = {
        key[len('module.'):] if key.startswith('module.') else key: value
        for key, value in state_dict.items()
    }
    if len(bare) < len(state_dict):
        twice = [key for key in bare
                 if key in state_dict and f'module.{key}' in state_dict]
        raise ValueError(
            f'The checkpoint has tensors with "module." before their name '
            f'and without, and one of both has to go: {some(twice)}.')
    return bare


def some(names: List[str], limit: int = 4) -> str:
    """The first few of many names."""
    more = f' and {len(names) - limit} more' if len(names) > limit else ''
    return ', '.join(names[:limit]) + more


def inspect_layout(state_dict: StateDict) -> Layout:
    """Find the layers that text enters.

    Args:
        state_dict (Mapping): Of a text-conditioned checkpoint.

    Returns:
        Layout: The layers.

    Raises:
        ValueError: If the checkpoint is reparameterized already, has no
            YOLO-World layers, has keys of something else, or lacks keys.
    """
    folded = sorted({
        match['name']
        for match in map(FOLDED_LAYER.match, state_dict) if match
    })
    if folded:
        raise ValueError(
            f'The checkpoint is reparameterized already ({some(folded)}). '
            f'Fine-tune it as it is with a rep config, or convert the '
            f'text-conditioned checkpoint it came from again.')
    guided = []
    for name in _names(GUIDED_LAYER, state_dict):
        guided.append(_guided_layer(state_dict, name))
    contrasts = []
    for name in _names(CONTRAST_LAYER, state_dict):
        for part in ('logit_scale', 'bias'):
            require_scalar(state_dict, f'{name}.{part}')
        kind = 'bn' if f'{name}.norm.weight' in state_dict else 'l2'
        # What feeds the head puts out as many channels as a text has.
        feeder = name.replace('cls_contrasts', 'cls_preds') + '.2.bias'
        width = len(require_floats(state_dict, feeder, None))
        contrasts.append(ContrastLayer(name, kind, width))
    if not contrasts:
        raise ValueError(
            'The checkpoint has no YOLO-World layers: no key matches '
            'bbox_head.head_module.cls_contrasts.*.logit_scale. Give the '
            'checkpoint of a text-conditioned YOLO-World for mmyolo.')
    foreign = [
        key for key in state_dict if not key.startswith(KEPT + DROPPED)
    ]
    if foreign:
        raise ValueError(
            f'The checkpoint has keys that belong to no part of a '
            f'YOLO-World detector: {some(foreign)}. Remove them if they '
            f'are of no use.')
    layers: List[Union[GuidedLayer, ContrastLayer]] = [*guided, *contrasts]
    widths = {layer.text_channels for layer in layers}
    if len(widths) > 1:
        raise ValueError(
            'The layers take texts of different widths: ' + ', '.join(
                f'{layer.name} {layer.text_channels}' for layer in layers))
    enhancers = _names(ENHANCER, state_dict)
    for name in enhancers:
        width = layers[0].text_channels
        embed = len(require_floats(state_dict, f'{name}.query.1.weight', None,
                                   width))
        for part, shape in zip(QUERY, ((width, ), (width, ), (embed, width),
                                       (embed, ))):
            require_floats(state_dict, f'{name}.query.{part}', *shape)
    return Layout(
        tuple(guided), tuple(contrasts), enhancers[0] if enhancers else None)


def _guided_layer(state_dict: StateDict, name: str) -> GuidedLayer:
    embed, width = require_floats(state_dict, f'{name}.guide_fc.weight',
                                  None, None).shape
    require_floats(state_dict, f'{name}.guide_fc.bias', embed)
    heads = len(require_floats(state_dict, f'{name}.bias', None))
    scale = state_dict.get(f'{name}.scale')
    if embed % heads or scale is not None and scale.numel() != heads:
        raise ValueError(
            f'The checkpoint\'s {name} has {embed} channels'
            + ('' if scale is None else f', {scale.numel()} scales')
            + f' and {heads} heads; expected a multiple of the heads, and a '
            f'scale for each or none. It is damaged or of an unknown kind.')
    return GuidedLayer(name, heads, embed, width)


def _names(pattern: 're.Pattern[str]', state_dict: StateDict) -> List[str]:
    return [
        match['name'] for match in map(pattern.match, state_dict) if match
    ]


def check_text(layout: Layout, text_ND: Tensor) -> None:
    """Whether texts fit the layers they are to be folded into.

    Raises:
        ValueError: If they are no finite (N, D) of the layers' D, or a row
            is zero.
    """
    if text_ND.dim() != 2 or not text_ND.numel():
        raise ValueError(
            f'Text embeddings of shape {tuple(text_ND.shape)}; expected '
            f'(N, {layout.text_channels}) with N at least 1.')
    if text_ND.shape[1] != layout.text_channels:
        raise ValueError(
            f'Text embeddings of width {text_ND.shape[1]}, but the '
            f'checkpoint\'s layers take {layout.text_channels}. Encode the '
            f'texts with the encoder that the checkpoint was trained with.')
    if not text_ND.isfinite().all():
        raise ValueError(
            'Text embeddings with NaN or infinite values; encode the texts '
            'again.')
    small = text_ND.double().norm(dim=1) <= LEAST_NORM
    zero = small.nonzero().flatten().tolist()
    if zero:
        raise ValueError(
            f'Text embeddings with rows of zeros ({zero[:5]}), or of a norm '
            f'of at most {LEAST_NORM:g}: they have no direction to compare '
            f'with. Encode these texts again.')


def fold_guided_layer(layer: GuidedLayer, state_dict: StateDict,
                      text_ND: Tensor, neck_form: str) -> Dict[str, Tensor]:
    """The tensors that take the place of a layer's text projection."""
    weight = state_dict[f'{layer.name}.guide_fc.weight']
    bias = state_dict[f'{layer.name}.guide_fc.bias']
    guide = folding.project_guide(text_ND.double(), weight.double(),
                                  bias.double(), layer.num_heads)
    guide = guide.to(at_least_single(weight.dtype)).contiguous()
    if neck_form == 'rep_linear':
        return {f'{layer.name}.guide_weight': guide}
    return {
        f'{layer.name}.guide_convs.{head}.weight': conv
        for head, conv in enumerate(folding.guide_to_convs(guide))
    }


def fold_enhancer(name: str, state_dict: StateDict,
                  text_ND: Tensor) -> Dict[str, Tensor]:
    """The tensors that take the place of a text enhancer's query.

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


def fold_contrast_layer(layer: ContrastLayer, state_dict: StateDict,
                        text_ND: Tensor) -> Dict[str, Tensor]:
    """The tensors that take the place of a head's scale and bias."""
    scale = state_dict[f'{layer.name}.logit_scale']
    bias = state_dict[f'{layer.name}.bias']
    weight, bias = folding.fold_contrast(text_ND.double(), scale.double(),
                                         bias.double())
    dtype = at_least_single(scale.dtype)
    return {
        f'{layer.name}.conv.weight': weight.to(dtype),
        f'{layer.name}.conv.bias': bias.to(dtype)
    }


def text_layers(state_dict: StateDict) -> Dict[str, Tensor]:
    """What folding takes from a checkpoint, and what it takes to fold again.

    Args:
        state_dict (Mapping): Of a text-conditioned checkpoint.

    Returns:
        dict: Guide projections, scales and biases under their own names;
        some megabytes.
    """
    state_dict = strip_wrapper(state_dict)
    layout = inspect_layout(state_dict)
    names = [f'{layer.name}.guide_fc.{part}' for layer in layout.constant
             for part in ('weight', 'bias')]
    names += [f'{layer.name}.{part}' for layer in layout.contrasts
              for part in ('logit_scale', 'bias')]
    if layout.dual:
        names += [f'{layout.enhancer}.query.{part}' for part in QUERY]
    return {name: state_dict[name].clone() for name in names}


def tuned_prompts(state_dict: StateDict) -> Tensor:
    """The texts of prompt tuning, (N, D), of the norms that the neck meets.

    Args:
        state_dict (Mapping): With ``embeddings`` and maybe ``adapter``.

    Raises:
        ValueError: If there are no such texts.
    """
    state_dict = strip_wrapper(state_dict)
    if 'embeddings' not in state_dict:
        raise ValueError(
            'The checkpoint has no prompts of its own (no tensor named '
            '"embeddings"), as prompt tuning makes them. Give the texts '
            'as a file: --text-embed FILE.npy.')
    names = [
        f'adapter.{layer}.{part}' for layer in (0, 2)
        for part in ('weight', 'bias')
    ]
    missing = [name for name in names if name not in state_dict]
    if missing and len(missing) < len(names):
        raise ValueError(f'The adapter of the prompts is incomplete: '
                         f'{some(missing)} missing. Use a whole checkpoint.')
    return folding.adapt_prompts(
        state_dict['embeddings'].double(),
        None if missing else [state_dict[name].double() for name in names])


def reparameterize_state_dict(state_dict: StateDict,
                              text: Tensor,
                              neck_form: str = 'rep_conv',
                              neck_text: Optional[Tensor] = None
                              ) -> Dict[str, Tensor]:
    """Fold texts into a text-conditioned detector's weights.

    Products are computed in float64 and rounded once, to the precision of
    the layer, of a layer in half precision to float32. The text encoder and
    tuned prompts are left behind. Of a dual neck the top-down half folds,
    and the queries of what updates its texts; the texts stay with it, under
    ``neck.texts``, for the bottom-up half.

    Args:
        state_dict (Mapping): Of a text-conditioned YOLO-World.
        text (Tensor): Text embeddings, (N, D), of any norm: the head
            normalizes them, the neck takes them as they are.
        neck_form (str): 'rep_conv' (a convolution a head), 'rep_linear'
            (one matrix), or 'text': the head alone is folded and the texts
            stay with the model, under ``embeddings``, for the neck.
            Defaults to 'rep_conv'.
        neck_text (Tensor, optional): Another vocabulary for the neck, such
            as the same texts and the padding prompt. Defaults to None for
            ``text``.

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
    if neck_text is None:
        neck_text = text
    check_text(layout, neck_text)
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
        replaced[f'{contrast.name}.logit_scale'] = fold_contrast_layer(
            contrast, state_dict, text)
        replaced[f'{contrast.name}.bias'] = {}
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
