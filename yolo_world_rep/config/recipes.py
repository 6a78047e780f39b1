"""Which parts of a folded model train, and how fast.

Once the texts are folded, every place that used them has weights of its
own: the rows of the classes in the head, the guides in the neck. They can
train at other rates than the layers around them, or not at all.
"""
from typing import Dict, Mapping, Sequence, Tuple

# Names for users; patterns of YOLOWv5OptimizerConstructor's lr_mults.
PARTS: Dict[str, str] = dict(
    backbone='backbone',
    neck='neck',
    guides='neck.*.attn_block.guide_*',
    head='bbox_head',
    classes='bbox_head.head_module.cls_contrasts.*.conv')
# The part around a part.
_AROUND = dict(guides='neck', classes='head')
# The parts that a recipe keeps as they are.
RECIPES: Dict[str, Tuple[str, ...]] = {
    'full': (), 'neck-head': ('backbone', ), 'head': ('backbone', 'neck')}


def frozen_parts(name: str, freeze: Sequence[str] = (),
                 guided: bool = True) -> Tuple[str, ...]:
    """The parts that stay as they are, of a recipe and of ``freeze``.

    ``guided`` says whether the neck has guides. A ``ValueError`` refuses what
    is unknown, and to freeze everything.
    """
    parts = [part for part in PARTS if guided or part != 'guides']
    for what, given, known in (('recipe', [name], RECIPES),
                               ('freeze', freeze, parts)):
        for each in given:
            if each not in known:
                raise ValueError(f'`{what}` {each!r}: expected one of '
                                 f'{", ".join(known)}.')
    frozen = tuple(dict.fromkeys((*RECIPES[name], *freeze)))
    if {'backbone', 'neck', 'head'} <= set(frozen):
        raise ValueError(f'`freeze` {" ".join(freeze)} leaves nothing of the '
                         f'recipe {name!r} to train.')
    return frozen


def lr_mults(name: str, multipliers: Mapping[str, float], guided: bool = True,
             freeze: Sequence[str] = ()) -> Dict[str, float]:
    """``paramwise_cfg.lr_mults`` (pattern to factor) of a recipe.

    ``multipliers`` are by keys of :data:`PARTS`; the rest is as of
    :func:`frozen_parts`. A ``ValueError`` refuses parts that are unknown or
    frozen and factors that are not positive.
    """
    frozen = frozen_parts(name, freeze, guided)
    parts = [part for part in PARTS if guided or part != 'guides']
    for part, factor in multipliers.items():
        about = f'learning-rate multiplier of {part!r}'
        if part not in parts:
            raise ValueError(f'{about}; expected one of {", ".join(parts)}.')
        if part in frozen or _AROUND.get(part) in frozen:
            raise ValueError(f'{about}: `freeze` or the recipe {name!r} '
                             f'freezes it. Leave the multiplier out, or train '
                             f'the part.')
        if not factor > 0:
            raise ValueError(f'{about}: {factor:g}; expected a positive '
                             f'number. The recipes freeze parts: '
                             f'{", ".join(RECIPES)}.')
    return {PARTS[part]: factor for part, factor in multipliers.items()}
