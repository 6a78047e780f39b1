"""Names of the original that this package does not have.

They are registered all the same, so that a config that names one ends in
the reason.
"""
from typing import Any, Callable, Dict, NoReturn

from mmyolo.registry import MODELS

from ..registry import register

#: What each would be, and what to do instead.
REFUSED: Dict[str, str] = dict(
    YOLOWorldImageDetector='detection by image prompts is not supported; '
    'embed words (yolo-world-rep embed), or fit rows to examples by '
    'fine-tuning (docs/finetuning.md)',
    HuggingVisionBackbone='image encoders of transformers are not '
    'supported; name the YOLOv8CSPDarknet of the base config',
    CoVMSELoss='no public config names this loss; remove it',
    VanillaSigmoidBlock='no public config names this block, which has no '
    'text; name MaxSigmoidAttnBlock or EfficientCSPLayerWithTwoConv')


def refusal(name: str) -> str:
    """The sentence that refuses one of :data:`REFUSED`."""
    return f'{name} of the original YOLO-World is not here: {REFUSED[name]}.'


def _refuse(name: str) -> Callable[..., NoReturn]:

    def build(*_: Any, **__: Any) -> NoReturn:
        raise ValueError(refusal(name))

    build.__name__ = name
    return build


for _name in REFUSED:
    register(MODELS)(_refuse(_name))
