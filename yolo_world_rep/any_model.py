"""A model of any form as one object: what it is, and what it detects."""
import os
from functools import cached_property
from typing import (
    TYPE_CHECKING,
    Any,
    Dict,
    Iterator,
    List,
    Mapping,
    Optional,
    Sequence,
    Tuple,
    Union,
)

from .inference import Backend, Predictor, Result, open_backend
from .inference.backends import CHECKPOINTS, SUFFIXES
from .inference.backends.base import require_file
from .inference.predictor import OnError
from .inference.sources import images_of, is_one
from .utils.files import PathLike
from .utils.public_models import path_of

if TYPE_CHECKING:
    from .inference.benchmark import Latency
    from .reparam import Checkpoint

NAMES_SHOWN = 8


class AnyModel:
    """A checkpoint or an exported file, see :class:`~.api.YOLOWorld`."""

    def __init__(self, model: 'Union[PathLike, Checkpoint]', *,
                 device: str = 'cpu', threads: Optional[int] = None,
                 precision: Optional[str] = None) -> None:
        self._runtime: Dict[str, Any] = dict(
            device=device, threads=threads, precision=precision)
        self._checkpoint: Optional[Checkpoint] = None
        # Whether the file is what the object is.
        self._saved = isinstance(model, (str, os.PathLike))
        if not isinstance(model, (str, os.PathLike)):
            self._checkpoint = model
            self.path = model.path
            return
        self.path = require_file(path_of(model))
        suffix = self.path.suffix.lower()
        if suffix in CHECKPOINTS:
            from .reparam import load_checkpoint
            self._checkpoint = load_checkpoint(self.path)
        elif suffix == '.py' or suffix not in SUFFIXES:
            raise ValueError(
                f'model {self.path}: expected a checkpoint or an exported '
                f'file, which end in '
                f'{", ".join(each for each in SUFFIXES if each != ".py")}.')

    @cached_property
    def _backend(self) -> Backend:
        if self._checkpoint is None:
            return open_backend(self.path, throughput=True, **self._runtime)
        found = self._checkpoint.description
        if found.text_conditioned and found.prompts is None:
            raise ValueError(
                f'{self.path} is text-conditioned: name what to detect '
                f'first, as in model.fold(["cat", "dog"]).')
        return open_backend(None, self._checkpoint, **self._runtime)

    @property
    def classes(self) -> Tuple[str, ...]:
        """Names of the classes, empty for a text-conditioned checkpoint."""
        if self._checkpoint is None:
            return self._backend.spec.classes
        return tuple(self._checkpoint.class_names or ())

    def predict(self, source: Any, **settings: Any
                ) -> Union[Result, List[Result]]:
        """Detections in images.

        Args:
            source (Any): A file, folder, pattern, video or address; an array
                (h, w, 3), uint8, BGR; an image of Pillow; bytes of a file; a
                tensor (3, h, w), RGB, uint8 or floats of 0 to 1; or several
                of these.
            **settings: See :meth:`stream`.

        Returns:
            Result | list[Result]: One for one image, a list for several.

        Raises:
            ValueError: If something is not an image, or the model has no
                classes.

        Examples:
            >>> result = pets.predict('garden.jpg', score=0.4)
            >>> result.boxes, result.scores, result.label_names
        """
        found = list(self.stream(source, **settings))
        return found[0] if is_one(source) else found

    def stream(self, source: Any, *, score: float = 0.25,
               class_scores: Optional[Mapping[str, float]] = None,
               max_detections: Optional[int] = None,
               class_agnostic: Optional[bool] = None,
               only: Optional[Sequence[str]] = None,
               color: Optional[str] = None,
               image_size: Optional[Tuple[int, int]] = None,
               batch_size: Optional[int] = None, keep_images: bool = False,
               on_error: Optional[OnError] = None) -> Iterator[Result]:
        """Detections of images as they come, for videos and large folders.

        Args:
            source (Any): See :meth:`predict`.
            score (float): Minimum score of a detection.
            class_scores (Mapping[str, float], optional): Minimum scores of
                some classes, in place of ``score``.
            max_detections (int, optional): Detections in an image, at most.
                Defaults to None for the model's setting, often 300.
            class_agnostic (bool, optional): Whether boxes of different
                classes suppress each other.
            only (Sequence[str], optional): Classes to report.
            color (str, optional): Order of the channels of arrays and
                tensors, ``'bgr'`` or ``'rgb'``. Defaults to None for BGR of
                arrays and RGB of tensors.
            image_size (tuple[int, int], optional): Height and width of the
                input, if the model allows others.
            batch_size (int, optional): Images per batch.
            keep_images (bool): Whether results keep their images, needed to
                draw frames of a video.
            on_error (Callable, optional): Called with each file that is not an
                image, which is then skipped; None to raise.

        Yields:
            Result: In the order of the images.

        Examples:
            >>> for result in pets.stream('film.mp4', keep_images=True):
            ...     picture = result.plot()
        """
        if color not in (None, 'bgr', 'rgb'):
            raise ValueError(f'`color` {color!r}: expected "bgr" or "rgb".')
        predictor = Predictor(
            self._backend, score_threshold=score, class_scores=class_scores,
            max_detections=max_detections, class_agnostic=class_agnostic,
            classes=only, image_size=image_size, batch_size=batch_size)
        return predictor.stream(images_of(source, color), on_error,
                                keep_images)

    def evaluate(self, data: PathLike, images: Optional[PathLike] = None, *,
                 split: str = 'val', only: Optional[Sequence[str]] = None,
                 image_size: Optional[Tuple[int, int]] = None,
                 max_detections: Optional[int] = None,
                 class_agnostic: Optional[bool] = None,
                 per_class: bool = False, **options: Any) -> Dict[str, Any]:
        """Average precision on a data set; categories are matched by name.

        Args:
            data (str | Path): A COCO file, with ``images``; or a YAML of
                Ultralytics, or a folder in one of the usual layouts.
            images (str | Path, optional): Folder of the COCO file's images.
            split (str): Of ``data`` without ``images``. Defaults to 'val'.
            only (Sequence[str], optional): As of :meth:`stream`.
            image_size (tuple[int, int], optional): As of :meth:`stream`.
            max_detections (int, optional): Detections in an image that are
                kept, and that count. Defaults to None for what the data need.
            class_agnostic (bool, optional): As of :meth:`stream`.
            per_class (bool): Whether the result has ``per_class`` too.
            **options: Of ``data`` without ``images``, as of
                :func:`~.config.data_layouts.find_data`.

        Returns:
            dict: As of :func:`~.detector.evaluation.evaluate`.

        Raises:
            ValueError: If the data cannot be read or have other classes.

        Examples:
            >>> pets.evaluate('val.json', 'images/')['AP50']
            >>> pets.evaluate('pets.yaml')['AP']
        """
        from .detector.evaluation import evaluate
        predictor = Predictor(
            self._backend, image_size=image_size, classes=only,
            max_detections=max_detections, class_agnostic=class_agnostic)
        truth: Any = data
        if images is None:
            from .config.data_layouts import find_data
            from .config.own_data import read_split
            truth = read_split(
                find_data(data, only=only or (), **options), split)
            images = truth.images_dir
        return evaluate(predictor, truth, images, per_class)

    def benchmark(self, *others: 'Union[AnyModel, PathLike]',
                  **options: Any) -> 'List[Latency]':
        """Latency of the model and others, which take turns.

        Args:
            *others (YOLOWorld | str | Path): Models to compare with.
            **options: More of
                :func:`~.inference.benchmark.compare_latency`.

        Examples:
            >>> pets.benchmark('pets.onnx', rounds=50)
        """
        from .inference.benchmark import compare_latency
        runtime = {key: value for key, value in self._runtime.items()
                   if value is not None}
        return compare_latency(
            [each if not isinstance(each, AnyModel) else each.path
             if each._checkpoint is None else each._backend
             for each in (self, *others)], **{**runtime, **options})

    def info(self) -> Dict[str, Any]:
        """A description of the model, as plain values.

        For a checkpoint, the output of ``yolo-world-rep inspect``; for an
        exported file, its metadata, see :class:`~.inference.spec.Spec`.

        Examples:
            >>> pets.info()['size']
            's'
        """
        if self._checkpoint is None:
            from dataclasses import asdict
            return dict(file=str(self.path), runtime=self._backend.name,
                        **asdict(self._backend.spec))
        from .reparam.inspection import inspect_checkpoint
        found = inspect_checkpoint(self._checkpoint)
        if not self._saved:  # its file, if there is one, is another model
            del found['file'], found['sha256']
        return found

    def _summary(self) -> Dict[str, str]:
        """The values shown by both representations."""
        more = len(self.classes) - NAMES_SHOWN
        names = ', '.join(self.classes[:NAMES_SHOWN]) + (
            f' and {more} more' if more > 0 else '')
        if self._checkpoint is None:
            spec = self._backend.spec
            said = dict(kind=f'exported, for {self._backend.name}',
                        input='{} x {}'.format(*spec.image_size),
                        weights=spec.precision)
        else:
            found = self._checkpoint.description
            said = dict(kind=found.kind, size=str(found.size))
        return dict(said, classes=f'{len(self.classes)}: {names}' if names
                    else 'none yet: fold() names them')

    def __repr__(self) -> str:
        said = ', '.join(f'{key} {value}' if key != 'kind' else value
                         for key, value in self._summary().items())
        return f'{type(self).__name__}({self.path.name!r}: {said})'

    def _repr_html_(self) -> str:
        from html import escape
        rows = ''.join(
            f'<tr><th>{key}</th><td>{escape(value)}</td></tr>' for key, value
            in dict(file=self.path.name, **self._summary()).items())
        return f'<table>{rows}</table>'
