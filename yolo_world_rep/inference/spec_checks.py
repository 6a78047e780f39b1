"""Whether the metadata of an exported file can be believed."""
import math
from typing import TYPE_CHECKING, Any, Callable, Dict, Mapping, Sequence, Tuple

import numpy as np

if TYPE_CHECKING:
    from .spec import Spec

# Of the input: no detector is larger, and more would fill the memory.
MAX_SIDE = 1 << 14
MAX_PIXELS = 1 << 28
MAX_COUNT = 10_000_000

Check = Callable[[Any], bool]


def _whole(low: int, high: int) -> Check:
    return lambda value: type(value) is int and low <= value <= high


def _number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _several(check: Check, count: int = 0) -> Check:
    return lambda value: isinstance(value, (list, tuple)) and bool(
        value) and len(value) == (count or len(value)) and all(
            map(check, value))


def _one_of(*names: str) -> Tuple[Check, str]:
    listed = f'{", ".join(names[:-1])} or {names[-1]}'
    return lambda value: value in names, listed


FLAG = (lambda value: type(value) is bool, 'true or false')
SHARE = (lambda value: _number(value) and 0 <= value < 1,
         'a number from 0 to less than 1')
# Of each value a test, and what to call what passes it.
CHECKS: Dict[str, Tuple[Check, str]] = dict(
    classes=(_several(lambda name: isinstance(name, str)), 'a list of names'),
    image_size=(_several(_whole(1, MAX_SIDE), 2), 'height and width'),
    dynamic=FLAG,
    batch=(lambda value: value is None or _whole(1, MAX_SIDE)(value),
           'a number of images or null'),
    contract=_one_of('raw', 'decoded', 'nms'),
    strides=(_several(_whole(1, 1024)), 'a list of pixels'),
    channel_order=_one_of('rgb', 'bgr'),
    mean=(_several(_number, 3), 'three numbers'),
    std=(_several(lambda value: _number(value) and value > 0, 3),
         'three positive numbers'),
    pad_value=(_whole(0, 255), 'a number in 0..255'),
    resize=_one_of('keep_ratio', 'letter'),
    enlarge=FLAG,
    score_threshold=SHARE,
    class_scores=(
        lambda value: isinstance(value, dict) and all(
            isinstance(name, str) and SHARE[0](score)
            for name, score in value.items()),
        'an object of scores from 0 to less than 1'),
    multi_label=FLAG,
    nms_pre=(_whole(1, MAX_COUNT), 'a number of boxes'),
    iou_threshold=(lambda value: _number(value) and 0 <= value <= 1,
                   'a number in 0..1'),
    class_agnostic=FLAG,
    max_detections=(_whole(1, MAX_COUNT), 'a number of boxes'),
    mask_channels=(_whole(0, 1024), 'a number of coefficients'),
    mask_threshold=SHARE,
    precision=_one_of('fp32', 'fp16', 'int8'),
    provenance=(lambda value: isinstance(value, dict), 'an object'))


def check_values(values: Mapping[str, Any], where: str) -> None:
    """Refuse values that no export writes; ``where`` is the file's name."""
    for name, value in values.items():
        fits, expected = CHECKS[name]
        try:
            good = fits(value)
        except (TypeError, OverflowError):  # no text at all, huge numbers
            good = False
        if not good:
            raise ValueError(
                f'{where}: its metadata has {name}={repr(value)[:80]}; '
                f'expected {expected}. Export the model again.')
    if values.get('mask_channels') and values.get('strides', (2, ))[0] % 2:
        raise ValueError(
            f'{where}: its metadata has masks and strides='
            f'{values["strides"]!r}; expected an even first one, as '
            f'prototypes are twice as fine. Export the model again.')
    height, width = values['image_size']
    step = max(values.get('strides', (1, )))
    images = values.get('batch') or 1
    if height % step or width % step or images * height * width > MAX_PIXELS:
        raise ValueError(
            f'{where}: its metadata has images of {height}x{width}, {images} '
            f'at a time; expected multiples of the largest stride, {step}, '
            f'and at most {MAX_PIXELS:,} pixels. Export the model again.')


def shapes_of(spec: 'Spec', size: Sequence[int],
              batch: int) -> Sequence[Sequence[Any]]:
    """Shapes of the outputs for images of a size (H, W), None for any."""
    classes, masks = spec.num_classes, spec.mask_channels
    maps = [(size[0] // stride, size[1] // stride) for stride in spec.strides]
    prototypes = (batch, masks, 2 * maps[0][0], 2 * maps[0][1])
    if spec.contract == 'raw':
        shapes = [(batch, count, *each)
                  for count in ((classes, 4, masks) if masks else (classes, 4))
                  for each in maps]
        return [*shapes, prototypes] if masks else shapes
    shapes_by_contract: Dict[str, Sequence[Sequence[Any]]] = dict(
        decoded=((batch, None, 4), (batch, None, classes)),
        nms=((batch, 1), (batch, None, 4), (batch, None), (batch, None)))
    more = [(batch, None, masks), prototypes] if masks else []
    return [*shapes_by_contract[spec.contract], *more]


def check_outputs(outputs: Sequence[np.ndarray],
                  expected: Sequence[Sequence[Any]]) -> None:
    """Refuse outputs whose shapes are not those of :func:`shapes_of`."""
    for number, (output, shape) in enumerate(zip(outputs, expected)):
        if output.ndim != len(shape) or any(
                wanted is not None and found != wanted
                for found, wanted in zip(output.shape, shape)):
            wanted = tuple('any' if n is None else n for n in shape)
            raise ValueError(
                f'output {number} is of shape {output.shape}; expected '
                f'{wanted}, as its metadata says. Export the model again.')
