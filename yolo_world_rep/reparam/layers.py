"""The layers of a text-conditioned checkpoint that text enters, checked."""
from dataclasses import dataclass
from typing import Optional, Tuple

from torch import Tensor

from yolo_world_rep.utils.wording import some

from .description import StateDict, description_of
from .tensor_checks import require_floats, require_scalar

# Of a text; torch normalizes shorter ones to less than 1.
LEAST_NORM = 1e-12
# Of the layer norm and of the linear layer of a query.
QUERY = ('0.weight', '0.bias', '1.weight', '1.bias')
# Kept, and left behind. Anything else is not of a YOLO-World detector.
KEPT = ('backbone.image_model.', 'neck.', 'bbox_head.')
DROPPED = ('backbone.text_model.', 'embeddings', 'adapter.')


@dataclass(frozen=True)
class GuidedLayer:
    """A max-sigmoid attention of the neck: key prefix, M, E and D."""
    name: str
    num_heads: int
    embed_channels: int
    text_channels: int


@dataclass(frozen=True)
class Layout:
    """The text conditioning of a checkpoint.

    ``guided`` and ``contrasts`` (key prefixes) are the layers of neck and head
    in the order of the keys, ``head_kind`` is 'bn' (v2) or 'l2' (v1),
    ``text_channels`` D, and ``enhancer`` the key prefix of what updates a dual
    neck's texts from the image.
    """
    guided: Tuple[GuidedLayer, ...]
    contrasts: Tuple[str, ...]
    head_kind: str
    text_channels: int
    enhancer: Optional[str]

    @property
    def dual(self) -> bool:
        """Whether the neck updates its texts from the image."""
        return self.enhancer is not None

    @property
    def constant(self) -> Tuple[GuidedLayer, ...]:
        """The layers of the neck that take the texts unchanged."""
        return tuple(layer for layer in self.guided
                     if not (self.dual and '.bottom_up_layers.' in layer.name))


def inspect_layout(state_dict: StateDict) -> Layout:
    """Find the layers that text enters.

    Args:
        state_dict (Mapping): Of a text-conditioned checkpoint.

    Raises:
        ValueError: If the checkpoint is reparameterized already, has no
            YOLO-World layers, has foreign keys, or lacks keys.
    """
    found = description_of(state_dict)
    if found.folded:
        raise ValueError(
            f'The checkpoint is reparameterized already '
            f'({some(found.folded_layers)}). Fine-tune it as it is with a '
            f'rep config, or convert the text-conditioned checkpoint it came '
            f'from again.')
    guided = [_guided_layer(state_dict, name) for name in found.guided]
    widths = {layer.name: layer.text_channels for layer in guided}
    for name in found.contrasts:
        for part in ('logit_scale', 'bias'):
            require_scalar(state_dict, f'{name}.{part}')
        # The layer before the head has as many outputs as a text channels.
        feeder = name.replace('cls_contrasts', 'cls_preds') + '.2.bias'
        widths[name] = len(require_floats(state_dict, feeder, None))
    if not found.contrasts or found.head is None:
        raise ValueError(
            'The checkpoint has no YOLO-World layers: no key matches '
            'bbox_head.head_module.cls_contrasts.*.logit_scale. Give the '
            'checkpoint of a text-conditioned YOLO-World for mmyolo.')
    foreign = [key for key in state_dict if not key.startswith(KEPT + DROPPED)]
    if foreign:
        raise ValueError(
            f'The checkpoint has keys that belong to no part of a '
            f'YOLO-World detector: {some(foreign)}. Remove them if they '
            f'are of no use.')
    width, *others = set(widths.values())
    if others:
        raise ValueError(
            'The layers take texts of different widths: ' +
            ', '.join(f'{name} {width}' for name, width in widths.items()))
    for name in found.enhancers:
        embed = len(require_floats(state_dict, f'{name}.query.1.weight', None,
                                   width))
        for part, shape in zip(QUERY, ((width, ), (width, ), (embed, width),
                                       (embed, ))):
            require_floats(state_dict, f'{name}.query.{part}', *shape)
    return Layout(
        tuple(guided), found.contrasts, found.head, width,
        found.enhancers[0] if found.enhancers else None)


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


def check_text(layout: Layout, text_ND: Tensor) -> None:
    """ValueError unless texts are finite, nonzero (N, D) of the layers' D."""
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
