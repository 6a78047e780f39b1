"""What a state dict is, from its names and shapes."""
import re
from dataclasses import dataclass
from typing import Dict, List, Mapping, Optional, Tuple

from torch import Tensor

StateDict = Mapping[str, Tensor]

GUIDED_LAYER = re.compile(r'^(?P<name>.+)\.guide_fc\.weight$')
CONTRAST_LAYER = re.compile(r'^(?P<name>.+\.cls_contrasts\.\d+)\.logit_scale$')
ENHANCER = re.compile(r'^(?P<name>.+\.text_enhancer)\.query\.1\.weight$')
FOLDED_LAYER = re.compile(
    r'^(?P<name>.+)\.(guide_convs\.\d+\.weight|guide_weight|query_weight|'
    r'cls_contrasts\.\d+\.conv\.weight)$')

STEM = 'backbone.image_model.stem.conv.weight'
# Channels of the stem, which depend on widen_factor alone.
SIZES = {16: 'n', 32: 's', 48: 'm', 64: 'l', 80: 'x', 96: 'xl'}
HEAD_ROWS = '.cls_contrasts.0.conv.weight'
CLASS_BRANCH = '.cls_preds.0.0.conv.weight'
# Texts per batch in the training of the public models.
PRETRAIN_CLASSES = 80

# What is said of a folded checkpoint, by the form of its neck.
FOLDED_KINDS = dict(
    rep_conv='folded, convolutions in the neck (rep_conv)',
    rep_linear='folded, matrices in the neck (rep_linear)',
    text='folded head, text-conditioned neck (rep_head)',
    none='folded head, no guides in the neck')
HEADS = dict(bn='v2 (batch norm)', l2='v1 (L2)')


@dataclass(frozen=True)
class Description:
    """What a state dict is, by names and shapes; None for what it lacks.

    Args:
        neck (str): How texts are in the neck: 'text' where it takes them,
            'rep_conv' or 'rep_linear' where guides are folded, or 'none'.
        head (str, optional): 'bn' (v2) or 'l2' (v1).
        guided (tuple[str]): Prefixes of the neck's layers that take texts.
        contrasts (tuple[str]): Those of the head.
        enhancers (tuple[str]): Those that update texts from the image.
        folded_layers (tuple[str]): Those that texts are folded into, sorted.
        row_axes (dict): Axis of the texts, for each tensor with one row per
            text.
        dual (bool): Whether the neck updates its texts.
        stem (int, optional): Channels of the first convolution.
        text_width (int, optional): D.
        classes (int, optional): Rows of a folded head.
        guides (int, optional): Rows of a folded neck.
        class_branch (tuple[int], optional): Shape of the first convolution
            of the head's class branch.
        prompts (tuple[int], optional): Shape of the model's own texts.
        adapter (bool): Whether those go through an adapter.
        text_encoder (bool): Whether there is one.
    """
    neck: str
    head: Optional[str]
    guided: Tuple[str, ...]
    contrasts: Tuple[str, ...]
    enhancers: Tuple[str, ...]
    folded_layers: Tuple[str, ...]
    row_axes: Dict[str, int]
    dual: bool
    stem: Optional[int]
    text_width: Optional[int]
    classes: Optional[int]
    guides: Optional[int]
    class_branch: Optional[Tuple[int, ...]]
    prompts: Optional[Tuple[int, ...]]
    adapter: bool
    text_encoder: bool

    @property
    def folded(self) -> bool:
        """Whether texts are in the weights, at least in those of the head."""
        return bool(self.folded_layers)

    @property
    def text_conditioned(self) -> bool:
        """Whether head and neck take texts as an input."""
        return bool(self.contrasts) and not self.folded

    @property
    def kind(self) -> str:
        """What it is, in words."""
        if self.folded:
            return FOLDED_KINDS[self.neck]
        return 'text-conditioned' if self.contrasts else 'not a YOLO-World'

    @property
    def size(self) -> Optional[str]:
        """'s', 'm', 'l', ...; of no known size, the stem in words."""
        return None if self.stem is None else SIZES.get(
            self.stem, f'stem of {self.stem} channels')

    @property
    def head_name(self) -> Optional[str]:
        """The form of the head, in words."""
        return None if self.head is None else HEADS[self.head]

    def pretrain_classes(
            self, current: int = PRETRAIN_CLASSES) -> Optional[int]:
        """The ``pretrain_classes`` that a head needs to load this.

        The original's class branch is ``max(in_channels[0], num_classes)``
        wide, so its hidden width tells. None where ``current``, which the head
        has now, gives that width, or there is no such branch.
        """
        if self.class_branch is None:
            return None
        width, channels = self.class_branch[:2]
        known = width < channels or width == max(channels, current)
        return None if known else width


def _shape(state_dict: StateDict, ending: str,
           least: int) -> Optional[Tuple[int, ...]]:
    """Shape of the first tensor of this ending with at least so many axes."""
    return next((tuple(tensor.shape) for key, tensor in state_dict.items()
                 if key.endswith(ending) and tensor.dim() >= least), None)


def rows(state_dict: StateDict, ending: str, axis: int) -> Optional[int]:
    """Length along an axis of the first tensor whose name ends so."""
    shape = _shape(state_dict, ending, axis + 1)
    return None if shape is None else shape[axis]


def _names(pattern: 're.Pattern[str]', state_dict: StateDict) -> List[str]:
    return [match['name'] for match in map(pattern.match, state_dict) if match]


def _row_axes(state_dict: StateDict) -> Dict[str, int]:
    axes = {}
    for key in filter(FOLDED_LAYER.match, state_dict):
        axes[key] = 1 if key.endswith('.guide_weight') else 0
        if key.endswith('.conv.weight'):
            axes[key[:-len('weight')] + 'bias'] = 0
    for key in ('embeddings', 'neck.texts'):
        if key in state_dict:  # the texts of a neck that takes some
            axes[key] = 0
    return axes


def description_of(state_dict: StateDict) -> Description:
    """What a state dict is, by names and shapes; without wrappers' names."""
    guided = _names(GUIDED_LAYER, state_dict)
    axes = _row_axes(state_dict)
    neck = 'rep_conv' if any('.guide_convs.' in key for key in axes) else (
        'rep_linear' if any(key.endswith('.guide_weight') for key in axes)
        else 'text' if guided else 'none')
    contrastive = [key for key in state_dict if '.cls_contrasts.' in key]
    normed = any('.norm.' in key for key in contrastive)
    guides = rows(state_dict, '.guide_convs.0.weight', 0)
    prompts = state_dict.get('embeddings')
    return Description(
        neck=neck,
        head=('bn' if normed else 'l2') if contrastive else None,
        guided=tuple(guided),
        contrasts=tuple(_names(CONTRAST_LAYER, state_dict)),
        enhancers=tuple(_names(ENHANCER, state_dict)),
        folded_layers=tuple(sorted(set(_names(FOLDED_LAYER, state_dict)))),
        row_axes=axes,
        dual=any('.text_enhancer.' in key for key in state_dict),
        stem=rows(state_dict, STEM, 0),
        text_width=rows(state_dict, '.guide_fc.weight', 1)
        or rows(state_dict, '.cls_preds.0.2.bias', 0),
        classes=rows(state_dict, HEAD_ROWS, 0),
        guides=rows(state_dict, '.guide_weight', 1)
        if guides is None else guides,
        class_branch=_shape(state_dict, CLASS_BRANCH, 2),
        prompts=None if prompts is None else tuple(prompts.shape),
        adapter=any(key.startswith('adapter.') for key in state_dict),
        text_encoder=any(
            key.startswith('backbone.text_model.') for key in state_dict))
