"""The detections in an image, in various formats."""
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np

from .images import as_bgr, read_image
from .prototypes import decode_mask, run_lengths


@dataclass(frozen=True)
class Result:
    """Detections in an image, the best first.

    Args:
        boxes (np.ndarray): (K, 4), float32, corners x1, y1, x2, y2 in
            pixels of the image.
        scores (np.ndarray): (K, ), float32.
        labels (np.ndarray): (K, ), int64, numbers of classes from 0.
        names (tuple[str]): Names of all classes of the model.
        shape (tuple[int, int]): Height and width of the image.
        path (Path, optional): Its file, or that of its video.
        frame (int, optional): Its number in the video.
        index (int): Its place among the images given, from 0.
        pixels (Any): The image where it is not read from ``path``.
        encoded_masks (np.ndarray, optional): (K, ), COCO's compressed run
            lengths; None of a model without masks.
    """
    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    names: Tuple[str, ...]
    shape: Tuple[int, int]
    path: Optional[Path] = None
    frame: Optional[int] = None
    index: int = 0
    pixels: Any = None
    encoded_masks: Optional[np.ndarray] = None

    def __len__(self) -> int:
        return len(self.scores)

    def __repr__(self) -> str:
        found = ', '.join(f'{name} {score:.2f}' for name, score in zip(
            self.label_names[:5], self.scores))
        more = ', …' if len(self) > 5 else ''
        return (f'Result({str(self.path or "image in memory")!r}, '
                f'{len(self)} found: {found}{more})')

    @property
    def stem(self) -> str:
        """The name for files about it."""
        stem = self.path.stem if self.path else f'image_{self.index:06d}'
        return stem if self.frame is None else f'{stem}_{self.frame:06d}'

    @property
    def label_names(self) -> List[str]:
        return [self.names[label] for label in self.labels]

    @property
    def masks(self) -> Optional[np.ndarray]:
        """(K, height, width), booleans; None of a model without masks."""
        if self.encoded_masks is None:
            return None
        bitmaps = np.zeros((len(self), *self.shape), bool)
        for index, counts in enumerate(self.encoded_masks):
            bitmaps[index] = decode_mask(counts, self.shape)
        return bitmaps

    @property
    def image(self) -> np.ndarray:
        """The image, (h, w, 3), uint8, BGR; read again if need be.

        Raises:
            ValueError: If it is a frame that was not kept, or its file
                can no longer be read.
        """
        if self.pixels is not None:
            return as_bgr(self.pixels)
        if self.frame is not None or self.path is None:
            raise ValueError('the image was not kept; predict it with '
                             'keep_images=True.')
        return read_image(self.path)

    def plot(self, font: Optional[str] = None,
             max_drawn: int = 100) -> np.ndarray:
        """The image with masks, boxes, names and scores, uint8, BGR.

        Args:
            font (str, optional): File of a font to prefer for the names, for
                scripts that no font of the system has.
            max_drawn (int): Detections to draw at most, the best.

        Raises:
            ValueError: If the image was not kept, or ``font`` is not a font.

        Examples:
            >>> picture = result.plot(font='NotoSansSC-Regular.otf')
        """
        from .drawing import draw_boxes, paint_masks
        image, labels = self.image, self.labels.tolist()
        if self.encoded_masks is not None:
            image = paint_masks(  # the best last, on top of the others
                image, (decode_mask(each, self.shape)
                        for each in self.encoded_masks[:max_drawn][::-1]),
                labels[:max_drawn][::-1])
        return draw_boxes(image, self.boxes, labels, self.names,
                          self.scores.tolist(), font, max_drawn)

    def _rows(self) -> List[Tuple[List[float], float, int]]:
        """Box, score and label of each detection, in Python's types."""
        return list(zip(self.boxes.tolist(), self.scores.tolist(),
                        self.labels.tolist()))

    def to_coco(self, image_id: int,
                category_ids: Optional[Sequence[int]] = None
                ) -> List[Dict[str, Any]]:
        """Rows of a COCO results file.

        Args:
            image_id (int): Of the image.
            category_ids (Sequence[int], optional): The category of each
                class, None for the class numbers from 0.

        Returns:
            list[dict]: ``image_id``, ``category_id``, ``bbox`` (x, y, width,
            height) and ``score`` of each detection; with masks their run
            lengths as ``segmentation``.
        """
        rows: List[Dict[str, Any]] = [
            dict(image_id=image_id,
                 category_id=label if category_ids is None
                 else category_ids[label],
                 bbox=[x1, y1, x2 - x1, y2 - y1], score=score)
            for (x1, y1, x2, y2), score, label in self._rows()
        ]
        if self.encoded_masks is not None:
            for row, counts in zip(rows, self.encoded_masks):
                row['segmentation'] = run_lengths(counts.decode('ascii'),
                                                  self.shape)
        return rows

    def to_txt(self) -> str:
        """Lines of a YOLO label file with scores.

        ``class x y width height score``, x and y of the centre, all four
        as fractions of the image's width and height.
        """
        height, width = self.shape
        return ''.join(
            f'{label} {(x1 + x2) / 2 / width:.6f} '
            f'{(y1 + y2) / 2 / height:.6f} {(x2 - x1) / width:.6f} '
            f'{(y2 - y1) / height:.6f} {score:.6f}\n'
            for (x1, y1, x2, y2), score, label in self._rows())

    def to_supervision(self) -> Any:
        """The ``supervision.Detections`` of it.

        Raises:
            ImportError: If supervision is not installed.
        """
        try:
            import supervision
        except ImportError as error:
            raise ImportError(
                f'to_supervision needs supervision ({error}): pip install '
                f'"yolo_world_rep[supervision]".') from error
        return supervision.Detections(
            xyxy=self.boxes, confidence=self.scores, class_id=self.labels,
            mask=self.masks, data=dict(class_name=np.array(self.label_names)))
