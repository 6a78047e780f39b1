"""Average precision of any detector, through the one way to run it."""
import contextlib
import io
import logging
import math
from dataclasses import replace
from pathlib import Path
from typing import (
    Any,
    Callable,
    Dict,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
    Union,
)

import numpy as np
from mmengine.logging import print_log

from yolo_world_rep.datasets.annotation_checks import check_boxes
from yolo_world_rep.datasets.annotations import (
    COCO_LIMIT,
    Annotations,
    limits_for,
    most_objects,
    read_coco,
)
from yolo_world_rep.inference.predictor import Predictor
from yolo_world_rep.text.names import name_differences
from yolo_world_rep.utils.files import PathLike
from yolo_world_rep.utils.log import log

Rows = List[Dict[str, Any]]
Truth = Union[PathLike, Annotations]
#: As arguments of :meth:`Precisions.mean`.
FIGURES: Dict[str, Dict[str, Any]] = dict(
    AP={}, AP50=dict(iou=0.5), AP75=dict(iou=0.75), AP_small=dict(area=1),
    AP_medium=dict(area=2), AP_large=dict(area=3))


def truth_of(annotation_file: Truth, images: PathLike = '') -> Annotations:
    """The ground truth as training reads it, with what is there to find."""
    data = annotation_file if isinstance(
        annotation_file, Annotations) else read_coco(
            annotation_file, images, sizes=False)
    found = list(check_boxes(data, training=False)) if data.boxes else []
    for finding in found:
        if finding.level == 'error':
            raise ValueError(f'annotations {data.path}: {finding.text}')
    return replace(data, findings=(*data.findings, *found))


def quiet_coco(data: Annotations) -> Any:
    """pycocotools' index of annotations."""
    from pycocotools.coco import COCO
    truth = COCO()
    truth.dataset = dict(
        images=data.images, categories=data.categories,
        annotations=list(map(dict, data.boxes)))  # it writes into them
    with contextlib.redirect_stdout(io.StringIO()):  # it prints a lot
        truth.createIndex()
    return truth


class Precisions(NamedTuple):
    """COCO's evaluation: the precision of detections at each recall."""
    names: Tuple[str, ...]
    # (10 IoU thresholds, recalls, classes, areas), -1 where nothing is there;
    # None where nothing was found.
    table: Optional[np.ndarray]

    @classmethod
    def of(cls, truth: Any, rows: Rows, categories: Sequence[int],
           kind: str = 'bbox', limit: int = COCO_LIMIT) -> 'Precisions':
        """Evaluate what was found, the best ``limit`` of a class in an image.

        ``rows`` are those of
        :meth:`~yolo_world_rep.inference.results.Result.to_coco`,
        ``categories`` in the order of the classes; ``kind`` is 'bbox' or
        'segm'.
        """
        from pycocotools.cocoeval import COCOeval
        names = tuple(entry['name'] for entry in truth.loadCats(categories))
        if not rows:  # which pycocotools does not take
            return cls(names, None)
        if kind == 'segm':
            # With boxes, their sizes would count and not those of the masks.
            rows = [{name: row[name] for name in row if name != 'bbox'}
                    for row in rows]
        with contextlib.redirect_stdout(io.StringIO()):
            evaluation = COCOeval(truth, truth.loadRes(rows), kind)
            evaluation.params.catIds = categories
            evaluation.params.maxDets = [limit]
            evaluation.evaluate()
            evaluation.accumulate()
        # They are by rising number there.
        places = np.searchsorted(sorted(categories), categories)
        return cls(names, evaluation.eval['precision'][..., -1][:, :, places])

    def mean(self, names: Optional[Sequence[str]] = None,
             iou: Optional[float] = None, area: int = 0) -> float:
        """Average precision, 0..1, NaN if there is nothing to find.

        Of all classes or those of ``names``; at one IoU of 0.5 to 0.95, or
        over all; of all objects (``area`` 0), or small (1), medium (2), large
        ones (3).
        """
        if self.table is None:
            return 0.
        values = self.table[..., area]
        if names is not None:
            values = values[..., [self.names.index(name) for name in names]]
        if iou is not None:
            values = values[[round((iou - 0.5) / 0.05)]]
        values = values[values > -1]
        return float(values.mean()) if values.size else float('nan')

    def figures(self, prefix: str = '') -> Dict[str, float]:
        """COCO's six figures, by their names with a prefix."""
        return {f'{prefix}{name}': self.mean(**options)
                for name, options in FIGURES.items()}

    def by_class(self) -> Dict[str, float]:
        return {name: self.mean([name]) for name in self.names}


def without_nan(figures: Mapping[str, Any]) -> Dict[str, Any]:
    """Figures for JSON, which has no NaN but None."""
    return {
        name: without_nan(value) if isinstance(value, Mapping) else
        None if isinstance(value, float) and math.isnan(value) else value
        for name, value in figures.items()}


def masks_of_truth(truth: Any, annotation_file: PathLike) -> bool:
    """Whether the annotations have masks that found ones are compared with.

    If only some of them have one, a warning says so, and none is compared.
    """
    from pycocotools import mask as coco
    boxes = truth.dataset['annotations']
    bare = sum(not box.get('segmentation') for box in boxes)
    if bare:
        print_log(
            f'annotations {annotation_file}: {bare} of {len(boxes)} '
            f'annotations have no mask (segmentation), so the AP of masks is '
            f'not computed.', 'current', logging.WARNING)
        return False
    for place, box in enumerate(boxes):
        try:
            coco.area(truth.annToRLE(box))
        except Exception as error:  # of many kinds, by what it is
            raise ValueError(
                f'annotations {annotation_file}: annotations[{place}] has '
                f'segmentation={repr(box["segmentation"])[:80]}; expected a '
                f'list of polygons [[x1, y1, x2, y2, x3, y3, ...], ...] or '
                f'run lengths, in an image with width and height.') from error
    return True


def category_ids(truth: Any, names: Sequence[str], annotation_file: PathLike,
                 kept: Optional[Sequence[int]] = None) -> List[int]:
    """The category of each class, found by name.

    Where ``kept`` chooses classes, the others may be on one side alone.
    """
    categories = sorted(truth.dataset['categories'], key=lambda c: c['id'])
    known = [category['name'] for category in categories]
    for where, listed in (('the model', names), (annotation_file, known)):
        twice = sorted({name for name in listed if listed.count(name) > 1})
        if twice:
            raise ValueError(f'{where} has class names twice: {twice[:5]}; '
                             f'expected each once.')
    wanted = names if kept is None else [names[label] for label in kept]
    if not set(wanted) <= set(known) or kept is None and (
            len(wanted) < len(known)):
        raise ValueError(f'The model and {annotation_file} have other '
                         f'classes: {name_differences(wanted, known)}. '
                         f'Expected the same names, in any order, or '
                         f'`only` some that both have.')
    ids = {category['name']: category['id'] for category in categories}
    return [ids.get(name, -1) for name in names]


def evaluate(predictor: Predictor, annotation_file: Truth, images: PathLike,
             per_class: bool = False,
             on_image: Callable[[], None] = lambda: None) -> Dict[str, Any]:
    """Average precision on a data set in COCO's format.

    Args:
        predictor (Predictor): The detector, with a low score threshold, as
            by default. Where it reports some classes only, the figures are
            of these.
        annotation_file (str | Path | Annotations): The ground truth; its
            categories are matched to the classes by name.
        images (str | Path): Folder of the images.
        per_class (bool): Whether the result has ``per_class`` too.
            Defaults to False.
        on_image (Callable): Called after each image.

    Returns:
        dict: ``AP``, ``AP50``, ``AP75``, ``AP_small``, ``AP_medium`` and
        ``AP_large``, 0..1, NaN where there is nothing of that size; the
        same of the masks with ``segm_`` before, where model and
        annotations have some; ``images`` and ``detections``, their
        numbers; ``max_detections`` of a class in an image that counted;
        perhaps ``per_class``, AP of boxes by name.

    Raises:
        ValueError: If the file cannot be read, has other classes, or an
            image is missing or none.
    """
    data = truth_of(annotation_file, images)
    for finding in data.findings:
        if finding.level == 'warning':
            log(f'annotations {data.path}: {finding.text}', logging.WARNING)
    truth, place = quiet_coco(data), data.path
    kept = predictor.kept
    ids = category_ids(truth, list(predictor.names), place, kept)
    chosen = ids if kept is None else [ids[label] for label in kept]
    entries = truth.dataset['images']
    if not entries:
        raise ValueError(f'annotations {place}: no images in it.')
    paths = [Path(images) / entry['file_name'] for entry in entries]
    missing = [str(path) for path in paths if not path.is_file()]
    if missing:
        raise ValueError(f'images {images}: {len(missing)} of {len(paths)} '
                         f'are missing, such as {missing[0]}.')
    own = predictor.spec.max_detections
    most = most_objects(truth.dataset['annotations'])
    kept_in_image, limit = limits_for(most, own, predictor.max_detections)
    if predictor.spec.contract == 'nms' and kept_in_image > own:
        log(f'An image has {most} objects, and '
            f'{predictor.backend.path} keeps {own} detections. Export it '
            f'with yolo-world-rep export --with-nms --max-det '
            f'{kept_in_image}.', logging.WARNING)
    elif kept_in_image != own:
        predictor = predictor.with_limit(kept_in_image)
    masks = bool(predictor.spec.mask_channels) and masks_of_truth(
        truth, place)
    rows: Rows = []
    for entry, result in zip(entries, predictor.stream(paths)):
        rows += result.to_coco(entry['id'], ids)
        on_image()
    of_boxes = Precisions.of(truth, rows, chosen, limit=limit)
    scores: Dict[str, Any] = of_boxes.figures()
    if masks:
        scores.update(
            Precisions.of(truth, rows, chosen, 'segm', limit).figures(
                'segm_'))
    scores.update(images=len(entries), detections=len(rows),
                  max_detections=limit)
    if per_class:
        scores['per_class'] = of_boxes.by_class()
    return scores
