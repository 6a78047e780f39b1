"""Detect: images in, results out, with every core at work."""
import copy
import threading
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import (
    Any,
    Callable,
    Iterable,
    Iterator,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
    Union,
)

import numpy as np

from yolo_world_rep.utils.files import about_file

from .backends import Backend, open_backend
from .letterbox import Placement, Preprocess
from .postprocess import Detections, PostProcess, labels_of
from .results import Result
from .sources import Item, frames, is_one, is_video, load
from .spec import Spec

ImageLike = Union[str, Path, np.ndarray, Item, Any]
OnError = Callable[[Item, ValueError], None]


def _raise(_: Item, error: ValueError) -> None:
    raise error


class _Loaded(NamedTuple):
    item: Item
    pixels: Optional[np.ndarray]
    planes: np.ndarray
    placement: Placement


class Predictor:
    """A detector together with its pre- and post-processing.

    Args:
        model (str | Path | Config | Backend): See
            :func:`~.backends.open_backend`.
        checkpoint (str | Path, optional): Weights of a config.
        device (str): Defaults to ``'cpu'``.
        threads (int, optional): Threads of the runtime, None for its choice.
        precision (str, optional): Precision of OpenVINO, None for float32.
        batch_size (int, optional): Images per batch, None for the file's fixed
            number, otherwise 1.
        workers (int): Threads that load images. Defaults to 2.
        score_threshold (float, optional): Minimum score. Defaults to None for
            that of the model's tests, often 0.001.
        class_scores (Mapping[str, float], optional): Minimum scores of some
            classes, in place of ``score_threshold``.
        max_detections (int, optional): Detections in an image, at most.
            Defaults to None for those of the model's tests, often 300.
        class_agnostic (bool, optional): Whether boxes of different classes
            suppress each other. Defaults to None for the model's setting.
        image_size (tuple[int, int], optional): Height and width of the input,
            if they can vary. Defaults to None for those of its tests.
        classes (Sequence[str], optional): Names of the classes to report,
            None for all.
        cfg_options (dict, optional): Settings to override in a config.
        words (str | Path | Sequence[str], optional): Class names for a
            text-conditioned checkpoint.
        encoder (str, optional): Encoder of these words.

    Raises:
        ValueError: If the model cannot be loaded or an argument does not fit
            it.
    """

    def __init__(self,
                 model: Any,
                 checkpoint: Any = None,
                 *,
                 device: str = 'cpu',
                 threads: Optional[int] = None,
                 precision: Optional[str] = None,
                 batch_size: Optional[int] = None,
                 workers: int = 2,
                 score_threshold: Optional[float] = None,
                 class_scores: Optional[Mapping[str, float]] = None,
                 max_detections: Optional[int] = None,
                 class_agnostic: Optional[bool] = None,
                 image_size: Optional[Tuple[int, int]] = None,
                 classes: Optional[Sequence[str]] = None,
                 cfg_options: Optional[dict] = None,
                 words: Any = None,
                 encoder: Optional[str] = None) -> None:
        if isinstance(model, Backend):
            self.backend = model
        else:
            self.backend = open_backend(
                model, checkpoint, device=device, threads=threads,
                precision=precision, throughput=True, cfg_options=cfg_options,
                words=words, encoder=encoder)
        spec = self.backend.spec
        for name, value in (('batch_size', batch_size), ('workers', workers)):
            if value is not None and value < 1:
                raise ValueError(f'`{name}` {value}: expected 1 or more.')
        if spec.batch and (batch_size or 1) > spec.batch:
            raise ValueError(f'`batch_size` {batch_size}: {self.backend.path} '
                             f'takes {spec.batch} image(s) at a time. Give '
                             f'`batch_size` {spec.batch}, or export it with '
                             f'yolo-world-rep export --batch dynamic.')
        self.batch_size = batch_size or spec.batch or 1
        self.workers = workers
        self.preprocess = Preprocess(spec, input_size(spec, image_size))
        self.max_detections = max_detections
        self.postprocess = PostProcess(
            spec, score_threshold=score_threshold, class_scores=class_scores,
            max_detections=max_detections, class_agnostic=class_agnostic)
        self.kept = None if classes is None else labels_of(
            classes, spec.classes)

    @property
    def spec(self) -> Spec:
        """The model's, with the settings that were given."""
        return self.postprocess.spec

    def with_limit(self, max_detections: int) -> 'Predictor':
        """One that keeps another number of detections in an image."""
        other = copy.copy(self)
        other.postprocess = PostProcess(self.spec,
                                        max_detections=max_detections)
        return other

    @property
    def names(self) -> Tuple[str, ...]:
        """Names of the model's classes."""
        return self.spec.classes

    def close(self) -> None:
        """Release the runtime's resources."""
        self.backend.close()

    def __enter__(self) -> 'Predictor':
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def predict(self, images: Union[ImageLike, Iterable[ImageLike]]
                ) -> List[Result]:
        """Detections of one image or several.

        Args:
            images (str | Path | np.ndarray | PIL.Image.Image | Iterable):
                Files, arrays (h, w, 3) of uint8 in BGR, images of Pillow,
                bytes of files, tensors (3, h, w) in RGB.

        Returns:
            list[Result]: One for each image, in their order.

        Raises:
            ValueError: If one of them is not an image.
        """
        if isinstance(images, (str, Path, np.ndarray)) or is_one(images):
            images = [images]
        return list(self.stream(images))

    def stream(self, images: Iterable[ImageLike],
               on_error: Optional[OnError] = None, keep_images: bool = False
               ) -> Iterator[Result]:
        """Detections of images one after the other, as they come.

        Images are loaded, run and suppressed in parallel, a few ahead.

        Args:
            images (Iterable): Like in :meth:`predict`, also videos and
                :class:`Item`.
            on_error (Callable, optional): Called with each file that is not an
                image, which is then skipped; None to raise.
            keep_images (bool): Whether results keep their images. If not, they
                are read again when needed, which frames of videos cannot be.
                Defaults to False.

        Yields:
            Result: In the order of the images.

        Raises:
            ValueError: If one is not an image and there is no ``on_error``.
        """
        self.backend.require_process()
        concurrency = self.backend.concurrency
        # One more than run, which suppresses while the others compute.
        running = threading.BoundedSemaphore(concurrency)
        loaders = ThreadPoolExecutor(self.workers, 'load')
        runners = ThreadPoolExecutor(concurrency + 1, 'infer')
        try:
            ahead = self.batch_size * (concurrency + 1) + self.workers
            batches: deque[Future] = deque()
            for batch in self._batches(loaders, images, ahead,
                                       on_error or _raise, keep_images):
                batches.append(runners.submit(self._infer, batch, running))
                while len(batches) > concurrency + 1 or (
                        batches and batches[0].done()):
                    yield from batches.popleft().result()
            while batches:
                yield from batches.popleft().result()
        finally:
            loaders.shutdown(wait=True, cancel_futures=True)
            runners.shutdown(wait=True, cancel_futures=True)

    def _batches(self, loaders: ThreadPoolExecutor,
                 images: Iterable[ImageLike], ahead: int, on_error: OnError,
                 keep_images: bool) -> Iterator[List[_Loaded]]:
        """Loaded images in groups, in their order."""
        waiting: deque[Tuple[Item, Future]] = deque()
        batch: List[_Loaded] = []
        items = enumerate(self._items(images, on_error))
        while True:
            for index, item in islice(items, ahead - len(waiting)):
                item = item._replace(index=index)
                waiting.append(
                    (item, loaders.submit(self._load, item, keep_images)))
            if not waiting:
                break
            item, future = waiting.popleft()
            try:
                batch.append(future.result())
            except ValueError as error:
                on_error(item, error)
            if len(batch) == self.batch_size:
                yield batch
                batch = []
        if batch:
            yield batch

    @staticmethod
    def _items(images: Iterable[ImageLike],
               on_error: OnError) -> Iterator[Item]:
        for image in images:
            if isinstance(image, (str, Path)):
                image = Item(Path(image))
            elif not isinstance(image, Item):
                image = Item(image=image)
            if (image.image is not None or image.path is None
                    or not is_video(image.path)):
                yield image
                continue
            try:
                yield from frames(image.path)
            except ValueError as error:
                on_error(image, error)

    def _load(self, item: Item, keep_images: bool) -> _Loaded:
        image = load(item)
        try:
            planes, placement = self.preprocess(image)
        except ValueError as error:
            raise ValueError(f'{item.name}: {error}') from error
        kept = item.image if item.frame is None else None
        return _Loaded(item._replace(image=None),
                       image if keep_images else kept, planes, placement)

    def _infer(self, batch: List[_Loaded],
               running: threading.BoundedSemaphore) -> List[Result]:
        images = batch[0].planes[None] if len(batch) == 1 else np.stack(
            [loaded.planes for loaded in batch])
        with running:
            outputs = self.backend.run(images)
        with about_file(self.backend.path):
            found = self.postprocess(
                outputs, [loaded.placement for loaded in batch])
        return [self._result(*pair) for pair in zip(batch, found)]

    def _result(self, loaded: _Loaded, found: Detections) -> Result:
        if self.kept is not None:
            found = found.take(np.isin(found.labels, self.kept))
        return Result(*found[:3], self.names, loaded.placement.shape,
                      loaded.item.path, loaded.item.frame,
                      loaded.item.index, loaded.pixels, found.masks)


def input_size(spec: Any, size: Optional[Tuple[int, int]]) -> Optional[tuple]:
    """A checked size (H, W) that is not the model's own, None if it is."""
    if size is None or tuple(size) == spec.image_size:
        return None
    step = max(spec.strides)
    if not spec.dynamic:
        raise ValueError(f'image size {tuple(size)}: the model takes '
                         f'{spec.image_size} only. Leave it out, or export it '
                         f'with yolo-world-rep export --dynamic.')
    if any(side < step or side % step for side in size):
        raise ValueError(f'image size {tuple(size)}: expected height and '
                         f'width, multiples of {step}.')
    return tuple(size)
