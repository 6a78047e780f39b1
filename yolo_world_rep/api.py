"""A model as one object: fold, detect, train, export, evaluate, edit, save."""
import os
from functools import cached_property
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Any,
    Dict,
    Iterator,
    List,
    Optional,
    Sequence,
    Tuple,
    Union,
)

import numpy as np

from .inference import Backend, Predictor, Result, open_backend
from .inference.backends import CHECKPOINTS, SUFFIXES
from .inference.backends.base import require_file
from .inference.predictor import OnError
from .inference.sources import images_of, is_one

if TYPE_CHECKING:
    from .inference.benchmark import Latency
    from .reparam import Checkpoint
    from .reparam.editing import Texts

PathLike = Union[str, 'os.PathLike[str]']
NAMES_SHOWN = 8


class YOLOWorld:
    """A YOLO-World in a file: text-conditioned, folded, tuned or exported.

    No method changes the object or its file: what makes another model
    returns another object. A checkpoint is read at once and nothing in it
    is executed; an exported file is opened at its first use and needs no
    torch.

    Args:
        model (str | Path | Checkpoint): A checkpoint (``.pth``,
            ``.safetensors``) or an exported file (``.onnx``, ``.xml``,
            ``.torchscript``).
        device (str): What it runs on, ``'cpu'`` or ``'cuda:0'``.
        threads (int, optional): Of the runtime, None for its choice.
        precision (str, optional): Of OpenVINO, None for float32.

    Raises:
        ValueError: If the file is none of these.

    Example:
        >>> from yolo_world_rep import YOLOWorld
        >>> model = YOLOWorld('yolo_world_v2_s.pth')
        >>> pets = model.fold(['cat', 'dog'])
        >>> results = pets.predict('images/')
    """

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
        self.path = require_file(model)
        suffix = self.path.suffix.lower()
        if suffix in CHECKPOINTS:
            from .reparam import load_checkpoint
            self._checkpoint = load_checkpoint(self.path)
        elif suffix == '.py' or suffix not in SUFFIXES:
            raise ValueError(
                f'model {self.path}: expected a checkpoint or an exported '
                f'file, which end in '
                f'{", ".join(each for each in SUFFIXES if each != ".py")}.')

    def _derived(self, checkpoint: 'Checkpoint') -> 'YOLOWorld':
        return YOLOWorld(checkpoint, **self._runtime)

    def _required(self, what: str) -> 'Checkpoint':
        """The checkpoint, without which some things cannot be done."""
        if self._checkpoint is None:
            raise ValueError(
                f'{self.path} is an exported file: {what}() needs the '
                f'checkpoint (.pth) that it was exported from.')
        return self._checkpoint

    @cached_property
    def _backend(self) -> Backend:
        if self._checkpoint is None:
            return open_backend(self.path, throughput=True, **self._runtime)
        found = self._checkpoint.description
        if found.text_conditioned and found.prompts is None:
            raise ValueError(
                f'{self.path} is text-conditioned: name what it shall detect '
                f'first, as in model.fold(["cat", "dog"]).')
        return open_backend(None, self._checkpoint, **self._runtime)

    @property
    def classes(self) -> Tuple[str, ...]:
        """Names of the classes; none of a text-conditioned checkpoint."""
        if self._checkpoint is None:
            return self._backend.spec.classes
        return tuple(self._checkpoint.class_names or ())

    def fold(self, words: 'Union[PathLike, Sequence[str], None]' = None, *,
             embeddings: Any = None, neck: Any = None, pad: bool = False,
             encoder: Optional[str] = None) -> 'YOLOWorld':
        """Fold class names into a text-conditioned checkpoint.

        Each folded layer is compared with the text-conditioned one in
        float64 before the result is returned.

        Args:
            words (Sequence[str] | str | Path, optional): The N classes, or a
                file of them. Defaults to None for the names that come with
                ``embeddings``, or for the prompts in the checkpoint.
            embeddings (str | Path | np.ndarray | TextEmbeddings, optional):
                Text embeddings (N, D) in place of those of the encoder.
            neck (str | Path | TextEmbeddings, optional): Another vocabulary
                for the neck.
            pad (bool): Whether the neck gets the padding prompt from the file
                beside ``embeddings``. With words it always does, where the
                model was trained with it.
            encoder (str, optional): What embeds the words: folder or hub name
                of a CLIP text model, or ``'words'``. Defaults to None for
                the CLIP of the public models.

        Returns:
            YOLOWorld: The folded model.

        Raises:
            ValueError: If the model has its classes already, or the texts do
                not fit it.

        Example:
            >>> pets = model.fold(['cat', 'dog'])
            >>> pets = model.fold(embeddings='pets.npy', pad=True)
        """
        import dataclasses

        from .reparam import conversion
        source = self._required('fold')
        if not source.description.text_conditioned:
            raise ValueError(
                f'{self.path} is {source.description.kind} and has its '
                f'classes already: edit(replace=[...]) gives it others.')
        if embeddings is None and words is not None:
            texts, neck_texts, kind = conversion.texts_for(
                source, words, encoder, self._runtime['device'])
            if neck is not None:
                neck_texts, kind = conversion.as_embeddings(neck), 'own'
        else:
            if embeddings is None:
                embeddings = conversion.texts_of_checkpoint(source)
            texts = _as_texts(embeddings, words)
            neck_texts = conversion.load_neck_texts(
                embeddings, texts, neck, pad)
            kind = 'padded' if pad else 'own' if neck is not None else 'same'
        folded, _ = conversion.fold(source, texts, neck_texts,
                                    neck_vocabulary=kind)
        path = source.path.with_name(
            f'{source.path.stem}{conversion.SUFFIXES["rep_conv"]}.pth')
        return self._derived(dataclasses.replace(folded, path=path))

    def predict(self, source: Any, **settings: Any
                ) -> Union[Result, List[Result]]:
        """Detections in images.

        Args:
            source (Any): A file, folder, pattern, video or address; an array
                (h, w, 3), uint8, BGR; an image of Pillow; bytes of a file; a
                tensor (3, h, w), RGB, uint8 or floats of 0 to 1; or several
                of these.
            **settings: Those of :meth:`stream`.

        Returns:
            Result | list[Result]: One for one image, a list for several.

        Raises:
            ValueError: If something is no image, or the model has no
                classes.

        Example:
            >>> result = pets.predict('garden.jpg', score=0.4)
            >>> result.boxes, result.scores, result.label_names
        """
        found = list(self.stream(source, **settings))
        return found[0] if is_one(source) else found

    def stream(self, source: Any, *, score: float = 0.25,
               only: Optional[Sequence[str]] = None,
               color: Optional[str] = None,
               image_size: Optional[Tuple[int, int]] = None,
               batch_size: Optional[int] = None, keep_images: bool = False,
               on_error: Optional[OnError] = None) -> Iterator[Result]:
        """Detections of images as they come, for videos and large folders.

        Args:
            source (Any): As of :meth:`predict`.
            score (float): Detections need more than that.
            only (Sequence[str], optional): Classes to report.
            color (str, optional): Order of the channels of arrays and
                tensors, ``'bgr'`` or ``'rgb'``. Defaults to None for BGR of
                arrays and RGB of tensors.
            image_size (tuple[int, int], optional): Height and width of the
                input, where the model takes any.
            batch_size (int, optional): Images at a time.
            keep_images (bool): Whether results hold their images, which
                frames of a video need to be drawn.
            on_error (Callable, optional): Called with each file that is no
                image, which is then left out; None to raise.

        Yields:
            Result: In the order of the images.

        Example:
            >>> for result in pets.stream('film.mp4', keep_images=True):
            ...     picture = result.plot()
        """
        if color not in (None, 'bgr', 'rgb'):
            raise ValueError(f'`color` {color!r}: expected "bgr" or "rgb".')
        predictor = Predictor(
            self._backend, score_threshold=score, classes=only,
            image_size=image_size, batch_size=batch_size)
        return predictor.stream(images_of(source, color), on_error,
                                keep_images)

    def edit(self, *, keep: Optional[Sequence[str]] = None,
             add: 'Optional[Texts]' = None, replace: 'Optional[Texts]' = None,
             encoder: Optional[str] = None) -> 'YOLOWorld':
        """Change the classes of a folded model, fine-tuned or not.

        Rows of classes that stay are copied bit for bit.

        Args:
            keep (Sequence[str], optional): Names of the classes that stay, in
                their new order. Defaults to None for all.
            add (Sequence[str] | str | Path, optional): Classes to add: names,
                a file of them, or a ``.npy`` of embeddings.
            replace (Sequence[str] | str | Path, optional): Classes that
                replace all, likewise.
            encoder (str, optional): As of :meth:`fold`.

        Raises:
            ValueError: If a class is unknown or there already, or the model
                cannot be edited.

        Example:
            >>> pets.edit(add=['hamster'])
            >>> pets.edit(keep=['dog'])
        """
        from .reparam.editing import edit
        return self._derived(edit(self._required('edit'), keep, add, replace,
                                  encoder=encoder))

    def save(self, path: PathLike, overwrite: bool = False) -> Path:
        """Write the checkpoint, whole or not at all.

        Args:
            path (str | Path): The ``.pth`` or ``.safetensors`` to write.
            overwrite (bool): Whether an older file is replaced.

        Raises:
            ValueError: If it exists, or the model is an exported file.

        Example:
            >>> pets.save('pets.pth')
        """
        from .reparam import save_checkpoint
        from .utils.files import require_new
        checkpoint = self._required('save')
        if Path(path).suffix.lower() not in CHECKPOINTS:
            raise ValueError(f'`path` {path}: expected a name that ends in '
                             f'{" or ".join(CHECKPOINTS)}.')
        require_new(path, overwrite, '`path`')
        save_checkpoint(path, checkpoint.state_dict, checkpoint.meta,
                        overwrite)
        return Path(path)

    def export(self, format: str = 'onnx',
               out_dir: PathLike = 'work_dirs/export', *,
               calibration: Optional[Sequence[str]] = None,
               **options: Any) -> 'YOLOWorld':
        """Export a folded model, and compare the file with it.

        Args:
            format (str): ``'onnx'``, ``'openvino'`` or ``'torchscript'``.
            out_dir (str | Path): Folder of the result, which is named after
                the checkpoint.
            calibration (Sequence[str], optional): Images, or folders of them,
                such as the model will see: the file is in INT8 then.
            **options: More of :func:`~.deploy.export.export_model` and, for
                INT8, of :func:`~.deploy.quantize.quantize_model`.

        Returns:
            YOLOWorld: The exported file; ``path`` is its own.

        Raises:
            ValueError: If it does not detect what the model does. No file is
                left then.
            ImportError: If a package is not installed.

        Example:
            >>> pets.export('onnx', dynamic=True).predict('garden.jpg')
        """
        checkpoint = self._required('export')
        written: Any
        if calibration is None:
            from .deploy.export import export_model
            written = export_model(None, checkpoint, out_dir, format,
                                   **options)
        else:
            from .deploy.quantize import quantize_model
            written = quantize_model(None, checkpoint, out_dir, format,
                                     calibration=calibration, **options)
        return YOLOWorld(written.path)

    def evaluate(self, annotations: PathLike, images: PathLike, *,
                 per_class: bool = False) -> Dict[str, Any]:
        """Average precision on data in COCO's format.

        Arguments, result and errors are those of
        :func:`~.detector.evaluation.evaluate`; categories are matched to the
        classes by name.

        Example:
            >>> pets.evaluate('val.json', 'images/')['AP50']
        """
        from .detector.evaluation import evaluate
        return evaluate(Predictor(self._backend), annotations, images,
                        per_class)

    def benchmark(self, *others: 'Union[YOLOWorld, PathLike]',
                  **options: Any) -> 'List[Latency]':
        """Latency of the model and others, measured in turns.

        Args:
            *others (YOLOWorld | str | Path): Models to compare with.
            **options: More of
                :func:`~.inference.benchmark.compare_latency`.

        Example:
            >>> pets.benchmark('pets.onnx', rounds=50)
        """
        from .inference.benchmark import compare_latency
        runtime = {key: value for key, value in self._runtime.items()
                   if value is not None}
        return compare_latency(
            [each if not isinstance(each, YOLOWorld) else each.path
             if each._checkpoint is None else each._backend
             for each in (self, *others)], **{**runtime, **options})

    def info(self) -> Dict[str, Any]:
        """What the model is, as plain values.

        Of a checkpoint what ``yolo-world-rep inspect`` says; of an exported
        file its metadata, see :class:`~.inference.spec.Spec`.

        Example:
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
        """What the representations say."""
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
                    else 'whatever is folded')

    def __repr__(self) -> str:
        said = ', '.join(f'{key} {value}' if key != 'kind' else value
                         for key, value in self._summary().items())
        return f'YOLOWorld({self.path.name!r}: {said})'

    def _repr_html_(self) -> str:
        from html import escape
        rows = ''.join(
            f'<tr><th>{key}</th><td>{escape(value)}</td></tr>' for key, value
            in dict(file=self.path.name, **self._summary()).items())
        return f'<table>{rows}</table>'


def _as_texts(given: Any, words: Any) -> Any:
    """Embeddings with the names of their rows, where words are given."""
    from dataclasses import replace

    from .reparam.conversion import as_embeddings
    from .text.embeddings import check_vectors, computed
    from .text.vocabulary import load_class_texts
    texts = computed(check_vectors(given, '`embeddings`'), None, 'embeddings'
                     ) if isinstance(given, np.ndarray) else (
                         as_embeddings(given))
    if words is None:
        return texts
    names = tuple(each[0] for each in load_class_texts(words)) if isinstance(
        words, (str, os.PathLike)) else tuple(words)
    if len(names) != len(texts.vectors):
        raise ValueError(f'{len(names)} words and {len(texts.vectors)} rows '
                         f'of embeddings: expected a name for each row.')
    return replace(texts, names=names)
