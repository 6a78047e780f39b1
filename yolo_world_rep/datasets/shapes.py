"""A world of coloured shapes, made on the fly.

Its classes are pairs of words, 'red circle' or 'blue star'. A model that
has seen every colour and every shape, but not every pair of them, can be
asked for the pairs that it has never seen.
"""
import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import cv2
import numpy as np
from mmyolo.datasets import YOLOv5CocoDataset
from mmyolo.registry import DATASETS

from ..registry import register
from ..utils.files import PathLike

# RGB; far enough apart that the light on a shape does not turn one into
# another.
COLOURS: Dict[str, Tuple[int, int, int]] = dict(
    red=(215, 40, 40),
    yellow=(235, 215, 50),
    green=(50, 165, 65),
    cyan=(70, 205, 220),
    blue=(50, 80, 205),
    pink=(240, 130, 190))
SHAPES = ('circle', 'square', 'triangle', 'star', 'cross', 'ring')

ANNOTATION_FILE = 'annotations.json'
TEXT_FILE = 'texts.json'
#: Greatest share of the smaller box that two boxes have in common.
MAX_OVERLAP = 0.15
_DESCRIPTION = 'shapes world of yolo_world_rep'
# What comes of an annotation file that is not ours.
UNREAD = (OSError, ValueError, KeyError, TypeError)


@dataclass(frozen=True)
class Scene:
    """An image and the objects in it.

    ``image`` is BGR, uint8, of shape (size, size, 3); ``boxes`` are x1, y1,
    x2, y2 in pixels, int, of shape (K, 4), x2 and y2 one past the last pixel;
    ``names`` are the pairs of words.
    """
    image: np.ndarray
    boxes: np.ndarray
    names: Tuple[str, ...]


def all_pairs() -> Tuple[str, ...]:
    """Every colour with every shape."""
    return tuple(f'{colour} {shape}' for colour in COLOURS for shape in SHAPES)


def unseen_pairs() -> Tuple[str, ...]:
    """The pairs to keep out of training, two for each colour and each shape.

    Every word is still seen, in four other pairs.
    """
    return tuple(
        f'{colour} {shape}' for i, colour in enumerate(COLOURS)
        for j, shape in enumerate(SHAPES) if (i - j) % len(SHAPES) in (0, 2))


def seen_pairs() -> Tuple[str, ...]:
    """The pairs to train with: all the others."""
    return tuple(name for name in all_pairs() if name not in unseen_pairs())


def outline(shape: str) -> List[np.ndarray]:
    """Contours of (P, 2) points in the unit circle; a second is a hole."""

    def regular(radii: Sequence[float], turn: float = 0.25) -> np.ndarray:
        angles = (np.arange(len(radii)) / len(radii) - turn) * 2 * np.pi
        return np.stack([np.cos(angles), np.sin(angles)], 1) * np.reshape(
            radii, (-1, 1))

    if shape == 'cross':
        arm = 0.32
        corner = np.array([[arm, 1], [arm, arm], [1, arm]]) * 0.94
        turns = [(1, 1), (1, -1), (-1, -1), (-1, 1)]
        quarters = [corner * turn for turn in turns]
        # Every other quarter is walked the other way round.
        return [np.concatenate([q[::1 - 2 * (i % 2)]
                                for i, q in enumerate(quarters)])]
    return {
        'circle': lambda: [regular([1.] * 64)],
        'ring': lambda: [regular([1.] * 64), regular([0.55] * 64)],
        'square': lambda: [regular([1.] * 4, turn=0.125)],
        'triangle': lambda: [regular([1.] * 3)],
        'star': lambda: [regular([1., 0.45] * 5)],
    }[shape]()


def stencil(shape: str, diameter: float, angle: float) -> np.ndarray:
    """How much of each pixel a shape covers, cropped to the shape.

    ``diameter`` is that of the circle around it in pixels, ``angle`` is in
    radians. Coverage is float32 from 0 to 1; each border row and column has a
    pixel that is covered by half or more.
    """
    fine = 8  # pixels are drawn this much finer and averaged
    side = int(np.ceil(diameter)) + 4
    turn = np.array([[np.cos(angle), np.sin(angle)],
                     [-np.sin(angle), np.cos(angle)]])
    contours = [
        np.round((points @ turn * diameter / 2 + side / 2) * fine).astype(
            np.int32) for points in outline(shape)
    ]
    canvas = np.zeros((side * fine, side * fine), np.uint8)
    cv2.fillPoly(canvas, contours, 255)
    alpha = canvas.reshape(side, fine, side, fine).mean((1, 3)) / 255
    rows, columns = (np.flatnonzero((alpha >= 0.5).any(axis))
                     for axis in (1, 0))
    return alpha[rows[0]:rows[-1] + 1,
                 columns[0]:columns[-1] + 1].astype(np.float32)


def background(rng: np.random.RandomState, size: int) -> np.ndarray:
    """Uneven, dull and noisy, float32, shape (size, size, 3)."""
    image = np.full((size, size, 3), rng.uniform(60, 190), np.float32)
    for cells, light, tint in ((3, 25, 6), (12, 14, 4)):
        grid = rng.normal(0, light, (cells, cells, 1)) + rng.normal(
            0, tint, (cells, cells, 3))
        image += cv2.resize(grid.astype(np.float32), (size, size),
                            interpolation=cv2.INTER_CUBIC)
    return image + rng.normal(0, 6, image.shape).astype(np.float32)


def make_scene(names: Sequence[str], seed: Sequence[int], size: int = 160,
               count: Tuple[int, int] = (3, 8)) -> Scene:
    """An image with a few shapes on it; the same seed gives the same scene.

    ``count`` is the least and greatest number of objects: there are fewer
    where no room is left.
    """
    # RandomState and not Generator: its numbers are frozen forever.
    rng = np.random.RandomState(list(seed))
    image = background(rng, size)
    boxes, chosen = np.zeros((0, 4), int), []
    for _ in range(rng.randint(count[0], count[1] + 1)):
        name = names[rng.randint(len(names))]
        colour, shape = name.split()
        diameter = size * np.exp(rng.uniform(np.log(0.12), np.log(0.42)))
        alpha = stencil(shape, diameter, rng.uniform(-0.5, 0.5))
        box = _free_place(rng, alpha.shape, size, boxes)
        if box is None:
            continue
        light = rng.uniform(0.8, 1.08)
        paint = np.array(COLOURS[colour][::-1]) * light + rng.normal(0, 6, 3)
        texture = rng.normal(0, 7, alpha.shape + (1, ))
        x1, y1, x2, y2 = box
        patch = image[y1:y2, x1:x2]
        patch += alpha[..., None] * (paint + texture - patch)
        boxes = np.vstack([boxes, box])
        chosen.append(name)
    image = np.clip(np.round(image), 0, 255).astype(np.uint8)
    return Scene(image, boxes, tuple(chosen))


def _free_place(rng: np.random.RandomState, shape: Tuple[int, int],
                size: int, boxes: np.ndarray) -> Optional[np.ndarray]:
    """A place where an object hides (nearly) nothing, None without one."""
    height, width = shape
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    smaller = np.minimum(areas, height * width)
    for _ in range(30):
        corner = np.array([
            rng.randint(size - width + 1), rng.randint(size - height + 1)])
        box = np.concatenate([corner, corner + (width, height)])
        common = np.minimum(boxes[:, 2:], box[2:]) - np.maximum(
            boxes[:, :2], box[:2])
        if (common.clip(0).prod(1) <= MAX_OVERLAP * smaller).all():
            return box
    return None


def _content(folder: Path) -> Any:
    return json.loads((folder / ANNOTATION_FILE).read_text(encoding='utf-8'))


def write_dataset(folder: PathLike, count: int, names: Sequence[str],
                  seed: Sequence[int], classes: Optional[Sequence[str]] = None,
                  size: int = 160,
                  on_image: Callable[[], None] = lambda: None) -> Path:
    """Write images, their COCO ``annotations.json``, and ``texts.json``.

    Image ``i`` depends on ``names`` (pairs of words that occur), ``seed``,
    ``size`` (height and width in pixels) and ``i`` alone. ``classes`` are the
    categories in their order, ``names`` by default; the texts are these in the
    form of YOLO-World. ``on_image`` is called after each image. The folder
    appears when it is complete, replacing an older one.

    Raises:
        ValueError: If ``folder`` holds anything else, or a name is not among
            the classes.
    """
    folder = Path(folder).absolute()
    classes = list(names if classes is None else classes)
    foreign = sorted(set(names) - set(classes))
    if foreign:
        raise ValueError(f'classes: {foreign} are not among them, but are '
                         f'to occur in the images; add them to classes')
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        try:
            ours = _content(folder)['info']['description'] == _DESCRIPTION
        except UNREAD:
            ours = False
        if not ours:
            raise ValueError(
                f'folder={str(folder)!r} holds something else than generated '
                f'shapes; name another folder or remove it')
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
            prefix=f'.{folder.name}.', dir=folder.parent) as temporary:
        built = Path(temporary) / folder.name
        built.mkdir()
        images, annotations = [], []
        for index in range(count):
            scene = make_scene(names, [*seed, index], size)
            file_name = f'{index:05d}.jpg'
            written = cv2.imwrite(str(built / file_name), scene.image,
                                  [cv2.IMWRITE_JPEG_QUALITY, 95])
            if not written:
                raise OSError(f'cannot write {built / file_name}')
            images.append(
                dict(id=index, file_name=file_name, height=size, width=size))
            for box, name in zip(scene.boxes.tolist(), scene.names):
                x1, y1, x2, y2 = box
                annotations.append(
                    dict(id=len(annotations) + 1, image_id=index,
                         category_id=classes.index(name) + 1,
                         bbox=[x1, y1, x2 - x1, y2 - y1],
                         area=(x2 - x1) * (y2 - y1), iscrowd=0))
            on_image()
        coco = dict(
            info=dict(description=_DESCRIPTION, seed=list(seed)),
            images=images, annotations=annotations,
            categories=[dict(id=i, name=name)
                        for i, name in enumerate(classes, 1)])
        (built / ANNOTATION_FILE).write_text(
            json.dumps(coco), encoding='utf-8')
        (built / TEXT_FILE).write_text(
            json.dumps([[name] for name in classes]), encoding='utf-8')
        if folder.exists():
            shutil.rmtree(folder)
        built.replace(folder)
    return folder


@register(DATASETS)
class ShapesDataset(YOLOv5CocoDataset):
    """Images written by :func:`write_dataset`, with the classes of the file.

    Args:
        data_root (str): The folder.
    """

    def __init__(self, data_root: str, **kwargs) -> None:
        try:
            categories = _content(Path(data_root))['categories']
        except UNREAD as error:
            raise ValueError(
                f'data_root={data_root!r} holds no generated shapes '
                f'({error}); make them with yolo-world-rep demo') from None
        super().__init__(
            data_root=data_root, ann_file=ANNOTATION_FILE,
            data_prefix=dict(img=''),
            metainfo=dict(classes=tuple(c['name'] for c in categories)),
            **kwargs)
