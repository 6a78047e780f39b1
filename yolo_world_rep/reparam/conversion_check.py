"""A conversion proves itself: layer by layer, in float64, on random maps.

The references follow the definitions of the paper literally, with loops over
texts and heads, and share no code with what they check.
"""
from dataclasses import dataclass
from typing import Iterable, List, Optional

import torch
import torch.nn.functional as F
from torch import Tensor

from .description import StateDict
from .layers import QUERY, GuidedLayer, Layout, inspect_layout
from .state_dict import (
    fold_contrast_layer,
    fold_enhancer,
    fold_guided_layer,
    strip_wrapper,
)

# Folding is exact up to rounding in float64.
EXACT = 1e-10
# What rounding the folded weights to the checkpoint's type may cost, of
# the range of the outputs.
ROUNDED = {torch.float64: 1e-10, torch.float32: 1e-4}
ROUNDED_HALF = 2e-2
# Of torch's layer norm.
LAYER_NORM_EPS = 1e-5
# A feature map that is not square.
HEIGHT, WIDTH = 5, 7


@dataclass(frozen=True)
class LayerCheck:
    """How far a folded layer is from the text-conditioned one.

    Args:
        name (str): Prefix of the layer's keys.
        kind (str): What the layer has become.
        num_texts (int): N.
        exact (float): Relative error of the fold itself, in float64.
        stored (float): The same with the weights as they are stored.
        tolerance (float): What ``stored`` may be.
    """
    name: str
    kind: str
    num_texts: int
    exact: float
    stored: float
    tolerance: float

    @property
    def passed(self) -> bool:
        """Whether both errors are within their tolerance; NaN is not."""
        return self.exact <= EXACT and self.stored <= self.tolerance


def _error(found: Tensor, expected: Tensor) -> float:
    """Largest difference over the largest expected value."""
    return float((found - expected).abs().max() / expected.abs().max())


def _gate_by_definition(embed: Tensor, text: Tensor, layer: GuidedLayer,
                        state_dict: StateDict) -> Tensor:
    """σ(max_n ⟨e_m, (W t_n + b)_m⟩ / √d + β_m) · γ_m, one head at a time."""
    weight = state_dict[f'{layer.name}.guide_fc.weight'].double()
    bias = state_dict[f'{layer.name}.guide_fc.bias'].double()
    beta = state_dict[f'{layer.name}.bias'].double()
    guide = text @ weight.t() + bias
    width = layer.embed_channels // layer.num_heads
    gates = []
    for head in range(layer.num_heads):
        own = slice(head * width, (head + 1) * width)
        products = torch.einsum('nc,bchw->bnhw', guide[:, own], embed[:, own])
        gates.append((products.amax(1) / width**0.5 + beta[head]).sigmoid())
    return torch.stack(gates, 1) * _scale(layer, state_dict)


def _scale(layer: GuidedLayer, state_dict: StateDict) -> Tensor:
    """γ as (M, 1, 1); 1 where the layer has none."""
    scale = state_dict.get(f'{layer.name}.scale')
    if scale is None:
        return torch.ones((), dtype=torch.float64)
    return scale.double().reshape(-1, 1, 1)


def _folded_gate(embed: Tensor, layer: GuidedLayer,
                 folded: StateDict) -> Tensor:
    """The gate of a converted layer by convolutions, in its stored form."""
    matrix = folded.get(f'{layer.name}.guide_weight')
    beta = folded[f'{layer.name}.bias'].double()
    gates = []
    for head, share in enumerate(embed.chunk(layer.num_heads, 1)):
        if matrix is None:
            weight = folded[f'{layer.name}.guide_convs.{head}.weight']
        else:
            weight = matrix[head][:, :, None, None]
        logits = F.conv2d(share, weight.double()) / share.shape[1]**0.5
        gates.append((logits.amax(1) + beta[head]).sigmoid())
    return torch.stack(gates, 1) * _scale(layer, folded)


def _queries_by_definition(text: Tensor, name: str,
                           state_dict: StateDict) -> Tensor:
    """W ((t − mean)/√(variance + ε) · g + h) + b, one text at a time."""
    gain, shift, weight, bias = (
        state_dict[f'{name}.query.{part}'].double() for part in QUERY)
    queries = []
    for row in text:
        centred = row - row.mean()
        norm = centred / (centred.pow(2).mean() + LAYER_NORM_EPS)**0.5
        queries.append(weight @ (norm * gain + shift) + bias)
    return torch.stack(queries)


def _logits_by_definition(feature: Tensor, text: Tensor, name: str,
                          state_dict: StateDict) -> Tensor:
    """exp(s)·⟨z, t_n/‖t_n‖⟩ + b."""
    scale = state_dict[f'{name}.logit_scale'].double()
    bias = state_dict[f'{name}.bias'].double()
    direction = text / text.pow(2).sum(1, keepdim=True).sqrt()
    products = torch.einsum('bdhw,nd->bnhw', feature, direction)
    return products * scale.exp() + bias


def _folded_logits(feature: Tensor, name: str, folded: StateDict) -> Tensor:
    return F.conv2d(feature, folded[f'{name}.conv.weight'].double(),
                    folded[f'{name}.conv.bias'].double())


def _double(state_dict: StateDict, prefix: str) -> StateDict:
    return {key: tensor.double() for key, tensor in state_dict.items()
            if key.startswith(prefix + '.')}


def check_conversion(source: StateDict, converted: StateDict, text: Tensor,
                     neck_text: Optional[Tensor] = None,
                     seed: int = 0) -> List[LayerCheck]:
    """Compare every folded layer with the text-conditioned one.

    Args:
        source (Mapping): State dict before the conversion.
        converted (Mapping): State dict after it.
        text (Tensor): The texts folded, (N, D).
        neck_text (Tensor, optional): Those of the neck where they differ.
        seed (int): Of the random feature maps. Defaults to 0.

    Returns:
        list[LayerCheck]: One entry per layer, neck first.
    """
    source = strip_wrapper(source)
    return check_layers(
        inspect_layout(source), source, converted, text,
        text if neck_text is None else neck_text, seed)


def check_layers(layout: Layout, source: StateDict, converted: StateDict,
                 text: Tensor, neck_text: Tensor,
                 seed: int = 0) -> List[LayerCheck]:
    """:func:`check_conversion` of a source whose layers are known."""
    text, neck_text = text.double(), neck_text.double()
    generator = torch.Generator().manual_seed(seed)
    checks = []

    def features(channels: int) -> Tensor:
        return torch.randn(2, channels, HEIGHT, WIDTH, dtype=torch.float64,
                           generator=generator)

    def add(name: str, kind: str, texts: Tensor, expected: Tensor,
            exact: Tensor, stored: Tensor, dtype: torch.dtype) -> None:
        checks.append(
            LayerCheck(name, kind, len(texts), _error(exact, expected),
                       _error(stored, expected),
                       ROUNDED.get(dtype, ROUNDED_HALF)))

    for layer in layout.guided:
        if f'{layer.name}.guide_weight' in converted:
            form = 'rep_linear'
        elif f'{layer.name}.guide_convs.0.weight' in converted:
            form = 'rep_conv'
        else:
            continue  # the head alone was folded
        embed = features(layer.embed_channels)
        own = _double(source, layer.name)
        exact = {**own, **fold_guided_layer(layer, own, neck_text, form)}
        add(layer.name, form, neck_text,
            _gate_by_definition(embed, neck_text, layer, source),
            _folded_gate(embed, layer, exact),
            _folded_gate(embed, layer, converted),
            source[f'{layer.name}.guide_fc.weight'].dtype)
    query = f'{layout.enhancer}.query_weight'
    if layout.enhancer is not None and query in converted:
        own = _double(source, layout.enhancer)
        exact = fold_enhancer(layout.enhancer, own, neck_text)
        add(layout.enhancer, 'rep_query', neck_text,
            _queries_by_definition(neck_text, layout.enhancer, source),
            exact[query], converted[query].double(),
            source[f'{layout.enhancer}.query.1.weight'].dtype)
    for name in layout.contrasts:
        feature = features(layout.text_channels)
        if layout.head_kind == 'l2':
            feature = feature / feature.norm(dim=1, keepdim=True)
        exact = fold_contrast_layer(name, _double(source, name), text)
        add(name, f'rep_{layout.head_kind}', text,
            _logits_by_definition(feature, text, name, source),
            _folded_logits(feature, name, exact),
            _folded_logits(feature, name, converted),
            source[f'{name}.logit_scale'].dtype)
    return checks


def require_exact(checks: Iterable[LayerCheck]) -> None:
    """Raise ValueError, with names and errors, if a layer is too far off."""
    failed = [check for check in checks if not check.passed]
    if failed:
        raise ValueError(
            'The folded model does not compute what the text-conditioned '
            'one does, so nothing was written: ' + ', '.join(
                f'{check.name} (error {check.exact:.1e} in float64, '
                f'{check.stored:.1e} as stored; allowed {EXACT:.0e} and '
                f'{check.tolerance:.0e})' for check in failed) +
            '. Please report this with the checkpoint\'s name.')
