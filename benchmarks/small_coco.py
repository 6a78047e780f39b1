"""A few photographs of COCO, small enough to train on without a GPU."""
import json
from pathlib import Path
from typing import List, Sequence, Tuple

import cv2
import numpy as np

from yolo_world_rep.datasets.shapes import ANNOTATION_FILE, TEXT_FILE
from yolo_world_rep.utils.files import PathLike, atomic_path

LEAST_SIDE = 8  # pixels; smaller boxes are left out
GREY = 114


def shrink(image: np.ndarray, boxes: np.ndarray,
           side: int) -> Tuple[np.ndarray, np.ndarray]:
    """Scale an image to fit a square, in its upper left corner.

    Args:
        image (np.ndarray): (H, W, 3), uint8.
        boxes (np.ndarray): x, y, width and height in pixels, (K, 4).
        side (int): Of the square, in pixels.

    Returns:
        tuple: The square, (side, side, 3), and the boxes in it.
    """
    height, width = image.shape[:2]
    scale = side / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    square = np.full((side, side, 3), GREY, np.uint8)
    square[:size[1], :size[0]] = cv2.resize(
        image, size, interpolation=cv2.INTER_AREA)
    ratio = np.array([size[0] / width, size[1] / height] * 2)
    return square, boxes * ratio


def write_small_coco(annotation_file: PathLike, images: PathLike,
                     folder: PathLike, chosen: slice,
                     side: int = 160) -> Path:
    """Write some images of a COCO file as a folder of ``ShapesDataset``.

    Args:
        annotation_file (str | Path): Of COCO.
        images (str | Path): Folder of its images.
        folder (str | Path): Where to: ``.png`` images, annotations and the
            texts of all categories.
        chosen (slice): Which of the images with boxes, in the file's order.
        side (int): Height and width in pixels. Defaults to 160.

    Returns:
        Path: The folder.

    Raises:
        ValueError: If an image cannot be read.
    """
    whole = json.loads(Path(annotation_file).read_text(encoding='utf-8'))
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    objects = [a for a in whole['annotations'] if not a.get('iscrowd')]
    used = {a['image_id'] for a in objects}
    rows: List[dict] = []
    annotations: List[dict] = []
    for entry in [i for i in whole['images'] if i['id'] in used][chosen]:
        path = Path(images) / entry['file_name']
        image = cv2.imread(str(path))
        if image is None:
            raise ValueError(f'{path}: not an image; give the folder of the '
                             f'images of {annotation_file}.')
        mine = [a for a in objects if a['image_id'] == entry['id']]
        small, boxes = shrink(image, np.array([a['bbox'] for a in mine]), side)
        name = f'{Path(entry["file_name"]).stem}.png'
        cv2.imwrite(str(folder / name), small)
        rows.append(
            dict(id=entry['id'], file_name=name, height=side, width=side))
        annotations += [
            dict(
                id=a['id'],
                image_id=entry['id'],
                category_id=a['category_id'],
                bbox=box.tolist(),
                area=float(box[2] * box[3]),
                iscrowd=0) for a, box in zip(mine, boxes)
            if box[2:].min() >= LEAST_SIDE
        ]
    write_classes(folder, dict(whole, images=rows, annotations=annotations),
                  [category['name'] for category in whole['categories']])
    return folder


def write_classes(folder: Path, coco: dict, names: Sequence[str]) -> None:
    """Write annotations and texts, with these names of the categories."""
    categories = [
        dict(category, name=name)
        for category, name in zip(coco['categories'], names)
    ]
    for file, content in ((ANNOTATION_FILE, dict(coco, categories=categories)),
                          (TEXT_FILE, [[name] for name in names])):
        with atomic_path(folder / file) as temporary:
            temporary.write_text(json.dumps(content), encoding='utf-8')
