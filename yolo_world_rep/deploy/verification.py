"""Does an exported file detect what its model does?"""
from typing import List, Optional, Sequence, Tuple

import numpy as np
from mmengine.config import Config
from torch import nn

from yolo_world_rep.inference.backends import Backend, open_backend
from yolo_world_rep.inference.letterbox import Preprocess
from yolo_world_rep.inference.postprocess import Detections, PostProcess
from yolo_world_rep.inference.spec import Spec
from yolo_world_rep.utils.files import PathLike

from .comparison import (
    TOLERANCES,
    Difference,
    Matching,
    Report,
    Tolerance,
    above,
    compare_detections,
    compare_outputs,
    merge,
)
from .reference import Found, Reference

# Final detections with higher scores are compared.
THRESHOLD = 0.05
# Where there are none, so many of the best candidates of an image are.
CANDIDATES = 100


def sizes_to_check(spec: Spec) -> List[Tuple[int, int]]:
    """Heights and widths: of a dynamic file, another one as well."""
    height, width = spec.image_size
    if not spec.dynamic:
        return [(height, width)]
    step = max(spec.strides)
    # Higher than wide, unless the first is: not the same shape turned.
    other = (height, max(step, width // 2 // step * step))
    if other == (height, width):
        other = (height + step, width)
    return [(height, width), other]


def _run_file(backend: Backend, size: Tuple[int, int],
              images: Sequence[np.ndarray]) -> Tuple[list, list]:
    """Outputs and detections of each image, in batches of the file."""
    preprocess = Preprocess(backend.spec, size)
    postprocess = PostProcess(backend.spec)
    # Of a file for any number, two at a time show that it is one.
    step = backend.spec.batch or 2
    outputs: List[List[np.ndarray]] = []
    detections: List[Detections] = []
    for start in range(0, len(images), step):
        planes, placements = zip(*map(preprocess, images[start:start + step]))
        found = backend.run(np.stack(planes))
        detections += postprocess(found, placements)
        outputs += [[each[index:index + 1] for each in found]
                    for index in range(len(placements))]
    return outputs, detections


def _compare_sizes(backend: Backend, references: Sequence[Tuple[tuple, list]],
                   images: Sequence[np.ndarray], threshold: float,
                   limit: Optional[int],
                   tolerance: Tolerance) -> Tuple[list, Matching]:
    spec, lines, matching = backend.spec, [], Matching()
    kept = limit or spec.max_detections
    capped = spec.with_(max_detections=min(kept, spec.max_detections))
    for size, found in references:
        outputs, detections = _run_file(backend, size, images)
        for one, output, own, image in zip(found, outputs, detections, images):
            lines.append(compare_outputs(output, one.raw, spec, tolerance))
            expected, own = (above(each, threshold).take(slice(kept))
                             for each in (one.detections, own))
            matching += compare_detections(expected, own, capped, threshold,
                                           tolerance, image.shape[:2])
    return merge(lines), matching


def _judge(lines: List[Difference], matching: Matching,
           tolerance: Tolerance, masks: bool) -> List[Difference]:
    total = matching.expected + matching.found
    of_masks = [
        Difference('pixels of masks that differ, share',
                   matching.mask_differ / max(matching.mask_union, 1),
                   tolerance.masks)] if masks else []
    return lines + of_masks + [
        Difference('boxes of detections, px', matching.pixels,
                   tolerance.pixels),
        Difference('scores of detections', matching.scores, tolerance.scores),
        Difference('detections without counterpart', matching.unmatched,
                   float(int(tolerance.unmatched * total)))]


class Verification:
    """A model's detections in some images, to compare files with.

    ``model`` is as it was trained, not fused; the images are (h, w, 3), uint8,
    BGR. If nothing is found in them, a ValueError says so.
    """

    def __init__(self, cfg: Config, model: nn.Module, spec: Spec,
                 images: Sequence[np.ndarray]) -> None:
        assert images
        self.spec = spec
        self.images = list(images)
        self.threshold = max(THRESHOLD, spec.score_threshold)
        self.limit: Optional[int] = None
        self.notes: List[str] = []
        self.references = self._run(cfg, model, None)
        if self._count():
            return
        if spec.contract == 'nms':
            # The file cannot give what is below its own threshold.
            self.threshold = spec.score_threshold
            remark = f'those above {self.threshold:g} were compared'
        else:
            self.threshold, self.limit = 0.0, CANDIDATES
            self.references = self._run(cfg, model, 0.0)
            remark = (f'the {CANDIDATES} best candidates of each image were '
                      f'compared, whatever their score')
        if not self._count():
            raise ValueError(
                f'The model finds nothing with a score above '
                f'{self.threshold:g} in the {len(self.images)} image(s), so '
                f'that the file\'s detections cannot be checked. Give '
                f'`images` with objects of its classes.')
        self.notes.append(
            f'The model has no detection above {THRESHOLD:g} in these '
            f'images; {remark}. Give `images` with objects of its classes '
            f'for a check of what it detects.')

    def _run(self, cfg: Config, model: nn.Module,
             threshold: Optional[float]
             ) -> List[Tuple[Tuple[int, int], List[Found]]]:
        runs = []
        for size in sizes_to_check(self.spec):
            reference = Reference(cfg, model, size)
            runs.append(
                (size, [reference(image, threshold) for image in self.images]))
        return runs

    def _count(self) -> int:
        return sum((found.detections.scores > self.threshold).sum()
                   for _, run in self.references for found in run)

    def check(self, path: PathLike, precision: Optional[str] = None) -> Report:
        """Run a file, of OpenVINO in a precision, and compare."""
        rounded = precision not in (None, 'f32', 'fp32')
        tolerance = TOLERANCES['fp16' if rounded else self.spec.precision]
        with open_backend(path, precision=precision) as backend:
            self._check_metadata(backend.spec)
            if self.limit is not None:
                # Candidates below the file's threshold take part.
                backend.spec = backend.spec.with_(score_threshold=0.0,
                                                  class_scores={})
            lines, matching = _compare_sizes(
                backend, self.references, self.images, self.threshold,
                self.limit, tolerance)
            masks = bool(self.spec.mask_channels)
            return Report(
                backend.name, backend.precision, len(self.images),
                self.threshold, _judge(lines, matching, tolerance, masks),
                matching, list(self.notes))

    def _check_metadata(self, found: Spec) -> None:
        for name, expected in vars(self.spec).items():
            value = getattr(found, name)
            if value != expected:
                raise ValueError(
                    f'The file\'s metadata say {name}={value!r}; expected '
                    f'{expected!r} of config and command. Export it again.')
