"""The equations of YOLO-World's text conditioning, and how text folds.

Everything that computes a logit or folds a text, in models, conversion and
verification alike, calls this file. It needs torch alone and mutates
nothing. Source: YOLO-World, arXiv:2401.17270, section 3.2 (text contrastive
head, eq. 1; text-guided CSP layer, eq. 2) and section 3.4
(re-parameterization).

Shape suffixes::

    B images     N texts      D text width    S = H·W positions
    M heads      d channels of a head         E = M·d embed channels
"""
from typing import List, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .guide_max import guide_max


def normalize_text(text_ND: Tensor) -> Tensor:
    """t / ‖t‖ along the last axis, what the head sees of a text."""
    return F.normalize(text_ND, dim=-1)


def normalize_feature(feature_BDHW: Tensor) -> Tensor:
    """z / ‖z‖ along the channels, for the heads of v1."""
    return F.normalize(feature_BDHW, dim=1)


def contrast(feature_BDHW: Tensor, text_BND: Tensor, logit_scale: Tensor,
             bias: Tensor) -> Tensor:
    """Text-conditioned head: exp(s)·⟨z, t/‖t‖⟩ + b.

    Args:
        feature_BDHW (Tensor): Normalized image features z.
        text_BND (Tensor): Text embeddings of each image, of any norm.
        logit_scale (Tensor): s, scalar.
        bias (Tensor): b, scalar.

    Returns:
        Tensor: Logits, (B, N, H, W).
    """
    height, width = feature_BDHW.shape[-2:]
    logits_BNS = normalize_text(text_BND) @ feature_BDHW.flatten(2)
    logits_BNS = logits_BNS * logit_scale.exp() + bias
    return logits_BNS.unflatten(-1, (height, width))


def fold_contrast(text_ND: Tensor, logit_scale: Tensor,
                  bias: Tensor) -> Tuple[Tensor, Tensor]:
    """Fold texts, scale and bias of a head into a 1×1 convolution.

    ``weight_n = exp(s)·t_n/‖t_n‖``, ``bias_n = b``. What normalizes the
    image feature (batch norm or L2) stays in front of it.

    Args:
        text_ND (Tensor): Text embeddings, of any norm but zero.
        logit_scale (Tensor): s, scalar.
        bias (Tensor): b, scalar.

    Returns:
        tuple[Tensor, Tensor]: Weight (N, D, 1, 1) and bias (N, ).
    """
    weight_ND = normalize_text(text_ND) * logit_scale.exp()
    return (weight_ND[:, :, None, None].contiguous(),
            bias.reshape(1).repeat(len(text_ND)))


def adapt_prompts(prompts_ND: Tensor,
                  adapter: Optional[Sequence[Tensor]] = None) -> Tensor:
    """Tuned prompts as neck and head take them.

    Without an adapter they stay as they are: the head normalizes every text,
    the neck none. Behind an adapter they are normalized for both:
    (t + MLP(t)) / ‖t + MLP(t)‖.

    Args:
        prompts_ND (Tensor): The prompts.
        adapter (Sequence[Tensor], optional): Weight and bias of the first
            and of the second layer of a residual MLP. Defaults to None.
    """
    if adapter is None:
        return prompts_ND
    weight_in, bias_in, weight_out, bias_out = adapter
    hidden = F.linear(prompts_ND, weight_in, bias_in).relu()
    return normalize_text(prompts_ND + F.linear(hidden, weight_out, bias_out))


def split_heads(guide_NE: Tensor, num_heads: int) -> Tensor:
    """(…, N, E) -> (…, M, N, d); head m owns channels m·d to m·d + d."""
    return guide_NE.unflatten(-1, (num_heads, -1)).transpose(-3, -2)


def project_guide(text_ND: Tensor, weight: Tensor, bias: Tensor,
                  num_heads: int) -> Tensor:
    """Guides of the neck from the raw text: g = W t + b, by heads.

    The text is not normalized here; the head normalizes, the neck does not.

    Args:
        text_ND (Tensor): (…, N, D) text embeddings.
        weight (Tensor): W, (E, D).
        bias (Tensor): b, (E, ).
        num_heads (int): M.

    Returns:
        Tensor: Guides, (…, M, N, d).
    """
    return split_heads(F.linear(text_ND, weight, bias), num_heads)


def project_query(text_ND: Tensor, norm_weight: Tensor, norm_bias: Tensor,
                  weight: Tensor, bias: Tensor) -> Tensor:
    """Queries (…, N, E) of the dual neck's text update: q = W LN(t) + b.

    The texts are (…, N, D) and not normalized, the layer norm's weight and
    bias (D, ), W (E, D) and b (E, ).
    """
    norm = F.layer_norm(text_ND, text_ND.shape[-1:], norm_weight, norm_bias)
    return F.linear(norm, weight, bias)


def guide_to_convs(guide_MNd: Tensor) -> List[Tensor]:
    """Guides as the weights of one d→N 1×1 convolution per head."""
    return [weight[:, :, None, None].contiguous() for weight in guide_MNd]


def guide_from_convs(weights: Sequence[Tensor]) -> Tensor:
    """The inverse of :func:`guide_to_convs`, (M, N, d)."""
    return torch.stack([weight.flatten(1) for weight in weights])


def max_sigmoid_gate(embed_BEHW: Tensor, guide_MNd: Tensor, bias_M: Tensor,
                     scale: Optional[Tensor] = None) -> Tensor:
    """Attention of the neck: σ(max_n ⟨e_m, g_mn⟩ / √d + β_m) · γ_m.

    d is the width of a head in the *embed* channels, the guide's last axis.

    Args:
        embed_BEHW (Tensor): Image embeddings e, E = M·d channels.
        guide_MNd (Tensor): Guides, (M, N, d), or (B, M, N, d) for one set
            per image.
        bias_M (Tensor): β, (M, ).
        scale (Tensor, optional): γ, M values in any shape. Defaults to 1.

    Returns:
        Tensor: Gates, (B, M, H, W).
    """
    height, width = embed_BEHW.shape[-2:]
    num_heads, width_head = guide_MNd.shape[-3], guide_MNd.shape[-1]
    embed_BMdS = embed_BEHW.flatten(2).unflatten(1, (num_heads, width_head))
    peak_BMS = guide_max(embed_BMdS, guide_MNd)
    gate_BMS = (peak_BMS / width_head**0.5 + bias_M[:, None]).sigmoid()
    if scale is not None:
        gate_BMS = gate_BMS * scale.reshape(-1, 1)
    return gate_BMS.unflatten(-1, (height, width))


def apply_gate(feature_BCHW: Tensor, gate_BMHW: Tensor) -> Tensor:
    """Multiply each head's share of the channels by its gate."""
    heads = feature_BCHW.unflatten(1, (gate_BMHW.shape[1], -1))
    return (heads * gate_BMHW[:, :, None]).flatten(1, 2)


def compose_linear(weight_DC: Tensor, bias_D: Tensor, weight_ND: Tensor,
                   bias_N: Tensor) -> Tuple[Tensor, Tensor]:
    """Two linear maps, the second after the first, as one: (N, C) and (N, ).

    The first may be a class branch's last convolution with its batch norm, the
    second the folded texts.
    """
    return weight_ND @ weight_DC, weight_ND @ bias_D + bias_N


def length_factor(weight_DC: Tensor, bias_D: Tensor) -> Tuple[Tensor, Tensor]:
    """A smaller linear map whose outputs have the same lengths.

    ``‖W x + b‖ = ‖R [x; 1]‖`` with the triangular factor R of
    ``[W b] = Q R``, since Q keeps lengths: C + 1 channels in place of D.
    Weight (K, C) and bias (K, ) with K = min(D, C + 1).
    """
    factor = torch.linalg.qr(
        torch.cat([weight_DC, bias_D[:, None]], 1), mode='r')[1]
    return factor[:, :-1], factor[:, -1]


def fold_width(guide_MNd: Tensor) -> Tensor:
    """Guides with the 1/√d of :func:`max_sigmoid_gate` in them."""
    return guide_MNd / guide_MNd.shape[-1]**0.5


def fold_embed(guide_MNd: Tensor, bias_M: Tensor, weight_EC: Tensor,
               bias_E: Tensor) -> Tuple[Tensor, Tensor]:
    """The guides' product with a linear embedding, as one linear map.

    ``⟨W_m x + b_m, g_mn⟩ + β_m = ⟨W_mᵀ g_mn, x⟩ + ⟨b_m, g_mn⟩ + β_m``; β
    may be added before the maximum over n, as it is the same for each.

    Args:
        guide_MNd (Tensor): Guides with 1/√d in them.
        bias_M (Tensor): β.
        weight_EC (Tensor): W, batch norm included.
        bias_E (Tensor): b, batch norm included.

    Returns:
        tuple[Tensor, Tensor]: Weight (M·N, C) and bias (M·N, ), by heads.
    """
    num_heads = len(guide_MNd)
    weight_MdC = weight_EC.unflatten(0, (num_heads, -1))
    bias_Md1 = bias_E.reshape(num_heads, -1, 1)
    bias_MN = (guide_MNd @ bias_Md1).flatten(1) + bias_M[:, None]
    return (guide_MNd @ weight_MdC).flatten(0, 1), bias_MN.flatten()
