"""A detector's inputs and outputs: the metadata of an exported file.

It needs no torch, so that whoever only runs an exported file reads it fast.
"""
import json
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Dict, Optional, Tuple

import numpy as np

from ..utils.files import parse_json
from .seal import BLANK
from .spec_checks import check_values

# The key under which the JSON travels in a file's metadata.
METADATA_KEY = 'yolo_world_rep'
METADATA_FILE = f'{METADATA_KEY}.json'  # in a TorchScript file
FORMAT_VERSION = 1
# What a file's outputs are; see Spec.
CONTRACTS = ('raw', 'decoded', 'nms')


@dataclass(frozen=True)
class Spec:
    """All that stands between an image and the detections of a model.

    The input is one tensor ``images``, float32 (B, 3, H, W): letterboxed,
    in ``channel_order``, ``(value - mean) / std`` for each channel. Outputs,
    in this order, with boxes (x1, y1, x2, y2) in pixels of the input:

    - ``raw``: for each stride s the logits (B, N, H/s, W/s), then for each
      stride the distances (B, 4, H/s, W/s) from the cell's centre to left,
      top, right and bottom in units of s.
    - ``decoded``: ``boxes`` (B, P, 4) and ``scores`` (B, P, N) in 0..1, of
      all P cells, finest level first, row by row.
    - ``nms``: ``num_dets`` (B, 1), ``boxes`` (B, K, 4), ``scores`` (B, K)
      and ``labels`` (B, K), the best first, zeros (labels -1) behind the
      first num_dets; K is ``max_detections``.

    A model with masks has M coefficients for each cell, or of ``nms`` for
    each detection: behind those ``raw`` has for each stride (B, M, H/s,
    W/s), ``decoded`` ``coefficients`` (B, P, M) and ``nms`` (B, K, M). Last
    are the ``prototypes`` (B, M, 2·H/s, 2·W/s) of the smallest stride s. A
    mask is the sigmoid of the product of both, inside the box.

    Args:
        classes (tuple[str]): Names of the N classes.
        image_size (tuple[int, int]): Height and width of the input; of a
            dynamic one, what images are letterboxed to by default.
        dynamic (bool): Whether height and width may be any multiple of the
            largest stride.
        batch (int, optional): Images at a time; None for any number.
        contract (str): ``'raw'``, ``'decoded'`` or ``'nms'``.
        strides (tuple[int]): Pixels of a cell, level by level.
        channel_order (str): ``'rgb'`` or ``'bgr'``.
        mean (tuple[float]): In ``channel_order``, of values 0..255.
        std (tuple[float]): Likewise.
        pad_value (int): What the letterbox is filled with, 0..255.
        resize (str): ``'keep_ratio'``: mmyolo's YOLOv5KeepRatioResize, then
            LetterResize without enlarging, as YOLO-World is tested.
            ``'letter'``: LetterResize alone.
        enlarge (bool): Whether ``'letter'`` enlarges small images.
        score_threshold (float): Minimum score of a detection.
        class_scores (dict): Minimum scores of some classes, by name, in
            place of ``score_threshold``.
        multi_label (bool): Whether a cell may be of several classes.
        nms_pre (int): Candidates that go into the suppression, at most.
        iou_threshold (float): Of two boxes of one class that overlap by
            more, the suppression keeps the better.
        class_agnostic (bool): Whether boxes of different classes suppress
            each other, too.
        max_detections (int): Of an image, at most.
        mask_channels (int): M, 0 of a model without masks.
        mask_threshold (float): Pixels of a mask are above it.
        precision (str): Of the weights: ``'fp32'``, ``'fp16'`` or ``'int8'``.
        provenance (dict): Where the file comes from, plain values.
    """
    classes: Tuple[str, ...]
    image_size: Tuple[int, int]
    dynamic: bool = False
    batch: Optional[int] = 1
    contract: str = 'decoded'
    strides: Tuple[int, ...] = (8, 16, 32)
    channel_order: str = 'rgb'
    mean: Tuple[float, ...] = (0., 0., 0.)
    std: Tuple[float, ...] = (255., 255., 255.)
    pad_value: int = 114
    resize: str = 'keep_ratio'
    enlarge: bool = True
    score_threshold: float = 0.001
    class_scores: Dict[str, float] = field(default_factory=dict)
    multi_label: bool = True
    nms_pre: int = 30000
    iou_threshold: float = 0.7
    class_agnostic: bool = False
    max_detections: int = 300
    mask_channels: int = 0
    mask_threshold: float = 0.5
    precision: str = 'fp32'
    provenance: Dict[str, Any] = field(default_factory=dict)

    @property
    def num_classes(self) -> int:
        """N."""
        return len(self.classes)

    @property
    def thresholds(self) -> np.ndarray:
        """The minimum score of each class, (N, ), float32."""
        return np.array([self.class_scores.get(name, self.score_threshold)
                         for name in self.classes], np.float32)

    @property
    def mask_stride(self) -> int:
        """Pixels of the input that one of a prototype is."""
        return self.strides[0] // 2

    def with_(self, **changes: Any) -> 'Spec':
        """A copy with other values."""
        return replace(self, **changes)

    def to_json(self) -> str:
        """The metadata's text."""
        return json.dumps(dict(format=FORMAT_VERSION, seal=BLANK,
                               **asdict(self)), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str, where: str) -> 'Spec':
        """Read what :meth:`to_json` wrote in the file ``where``.

        Raises:
            ValueError: If it is not ours, or of another version.
        """
        try:
            values = parse_json(text)
            version = values.pop('format')
            values.pop('seal', None)
        except (ValueError, AttributeError, KeyError, TypeError):
            raise ValueError(
                f'{where}: its metadata {METADATA_KEY!r} is no JSON object '
                f'with a format; expected what yolo-world-rep export writes. '
                f'Export the model again.') from None
        known = {entry.name for entry in fields(cls)}
        if version != FORMAT_VERSION or set(values) - known:
            raise ValueError(
                f'{where}: metadata of format {repr(version)[:40]}; this '
                f'version reads {FORMAT_VERSION}. Export the model again.')
        missing = {'classes', 'image_size'} - set(values)
        if missing:
            raise ValueError(f'{where}: its metadata has no '
                             f'{" and no ".join(sorted(missing))}. Export '
                             f'the model again.')
        check_values(values, where)
        settings: Dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in values.items()}
        return cls(**settings)
