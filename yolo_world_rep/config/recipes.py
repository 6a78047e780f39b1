"""Which parts of a folded model train, and how fast.

Once the texts are folded, every place that used them has weights of its
own: the rows of the classes in the head, the guides in the neck. They can
train at other rates than the layers around them, or not at all.
"""
from typing import Any, Dict, Mapping, NamedTuple, Tuple

# Names for users; patterns of YOLOWv5OptimizerConstructor's lr_mults.
PARTS: Dict[str, str] = dict(
    backbone='backbone',
    neck='neck',
    guides='neck.*.attn_block.guide_*',
    head='bbox_head',
    classes='bbox_head.head_module.cls_contrasts.*.conv')
# The part around a part.
_AROUND = dict(guides='neck', classes='head')
LAST_STAGE = 4  # of YOLOv8CSPDarknet: stem, stage1 to stage4


class Recipe(NamedTuple):
    """The parts that stay frozen, and the ``model`` settings for that."""
    frozen: Tuple[str, ...]
    model: Dict[str, Any]


_FROZEN_BACKBONE = dict(backbone=dict(frozen_stages=LAST_STAGE))
RECIPES: Dict[str, Recipe] = {
    'full': Recipe((), {}),
    'neck-head': Recipe(('backbone', ), _FROZEN_BACKBONE),
    'head': Recipe(('backbone', 'neck'),
                   {**_FROZEN_BACKBONE, 'neck': dict(freeze_all=True)}),
}


def recipe(name: str) -> Recipe:
    """A recipe by its name, or ``ValueError``."""
    if name not in RECIPES:
        raise ValueError(f'recipe={name!r}; expected one of '
                         f'{", ".join(RECIPES)}.')
    return RECIPES[name]


def lr_mults(name: str, multipliers: Mapping[str, float],
             guided: bool = True) -> Dict[str, float]:
    """``paramwise_cfg.lr_mults`` (pattern to factor) of a recipe.

    ``multipliers`` are by keys of :data:`PARTS`; ``guided`` says whether the
    neck has guides. A ``ValueError`` refuses parts that are unknown or frozen
    and factors that are not positive.
    """
    frozen = recipe(name).frozen
    parts = [part for part in PARTS if guided or part != 'guides']
    for part, factor in multipliers.items():
        about = f'learning-rate multiplier of {part!r}'
        if part not in parts:
            raise ValueError(f'{about}; expected one of {", ".join(parts)}.')
        if part in frozen or _AROUND.get(part) in frozen:
            raise ValueError(f'{about}: the recipe {name!r} freezes it. Leave '
                             f'the multiplier out, or take another recipe.')
        if not factor > 0:
            raise ValueError(f'{about}: {factor:g}; expected a positive '
                             f'number. The recipes freeze parts: '
                             f'{", ".join(RECIPES)}.')
    return {PARTS[part]: factor for part, factor in multipliers.items()}
