"""A YOLO-World as one object: fold, detect, train, export, edit, save."""
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Any,
    Dict,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
    Union,
)

from .any_model import AnyModel
from .inference.backends import CHECKPOINTS
from .utils.files import PathLike

if TYPE_CHECKING:
    from .reparam import Checkpoint
    from .reparam.editing import Texts


class Trained(NamedTuple):
    """The result of a training: the tuned model, its report, its scores.

    The report is ``None`` if none was written; the scores are those of
    :class:`~.engine.finetune.Finetuned`.
    """
    model: 'YOLOWorld'
    report: Optional[Path]
    scores: Dict[str, float]


class YOLOWorld(AnyModel):
    """A YOLO-World in a file: text-conditioned, folded, tuned or exported.

    No method changes the object or its file; methods that make another model
    return a new object. A checkpoint is read at once, and nothing in it is
    executed. An exported file is opened when it is first used and needs no
    torch.

    Args:
        model (str | Path | Checkpoint): A checkpoint (``.pth``,
            ``.safetensors``), an exported file (``.onnx``, ``.xml``,
            ``.torchscript``), or the name of a public model, such as
            ``yolo-world-v2-s``, which is downloaded once.
        device (str): ``'cpu'`` or ``'cuda:0'``.
        threads (int, optional): Threads of the runtime, None for its choice.
        precision (str, optional): Precision of OpenVINO, None for float32.

    Raises:
        ValueError: If the file is none of these.

    Examples:
        >>> from yolo_world_rep import YOLOWorld
        >>> model = YOLOWorld('yolo_world_v2_s.pth')
        >>> pets = model.fold(['cat', 'dog'])
        >>> results = pets.predict('images/')
    """

    def _derived(self, checkpoint: 'Checkpoint') -> 'YOLOWorld':
        return YOLOWorld(checkpoint, **self._runtime)

    def _required(self, what: str) -> 'Checkpoint':
        """The checkpoint, or ``ValueError`` for an exported file."""
        if self._checkpoint is None:
            raise ValueError(
                f'{self.path} is an exported file: {what}() needs the '
                f'checkpoint (.pth) that it was exported from.')
        return self._checkpoint

    def fold(self, words: 'Union[PathLike, Sequence[str], None]' = None, *,
             embeddings: Any = None, neck: Any = None, pad: bool = False,
             encoder: Optional[str] = None,
             norms: str = 'refuse') -> 'YOLOWorld':
        """Fold class names into a text-conditioned checkpoint.

        Each folded layer is compared with the text-conditioned one in
        float64 before the result is returned.

        Args:
            words (Sequence[str] | str | Path, optional): The N classes, or a
                file of them. Defaults to None for the names that come with
                ``embeddings``, or for the prompts in the checkpoint.
            embeddings (str | Path | np.ndarray | TextEmbeddings, optional):
                Text embeddings (N, D) to use instead of the encoder's.
            neck (str | Path | TextEmbeddings, optional): Another vocabulary
                for the neck.
            pad (bool): Whether the neck gets the padding prompt, from the file
                next to ``embeddings``. With words it always does, if the model
                was trained with it.
            encoder (str, optional): Encoder of the words: folder or hub name
                of a CLIP text model, or ``'words'``. Defaults to None for the
                CLIP of the public models.
            norms (str): What becomes of embeddings for the neck whose norms
                are not 1: ``'refuse'``, ``'normalize'`` or ``'keep'``.

        Returns:
            YOLOWorld: The folded model.

        Raises:
            ValueError: If the model has its classes already, or the texts do
                not fit it.

        Examples:
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
        texts, neck_texts, kind = conversion.choose_texts(
            source, words, embeddings, neck, pad, encoder,
            self._runtime['device'])
        names = None if embeddings is None else (
            conversion.class_names_of(texts, words))
        folded, _ = conversion.fold(source, texts, neck_texts, names=names,
                                    neck_vocabulary=kind, norms=norms)
        path = source.path.with_name(
            conversion.name_of_folded(source.path.stem))
        return self._derived(dataclasses.replace(folded, path=path))

    def edit(self, *, keep: Optional[Sequence[str]] = None,
             drop: Optional[Sequence[str]] = None,
             add: 'Optional[Texts]' = None, replace: 'Optional[Texts]' = None,
             rename: Optional[Mapping[str, str]] = None,
             order: Optional[Sequence[str]] = None,
             encoder: Optional[str] = None,
             norms: str = 'refuse') -> 'YOLOWorld':
        """Change the classes of a folded model, fine-tuned or not.

        Rows of classes that stay are copied bit for bit.

        Args:
            keep (Sequence[str], optional): Names of the classes that stay, in
                their new order. Defaults to None for all.
            add (Sequence[str] | str | Path, optional): Classes to add: names,
                a file of them, or a ``.npy`` of embeddings.
            replace (Sequence[str] | str | Path, optional): Classes that
                replace all, likewise.
            rename (Mapping[str, str], optional): New names by old ones; the
                weights stay as they are.
            order (Sequence[str], optional): All names of the result, in
                their new order.
            encoder (str, optional): As of :meth:`fold`.
            norms (str): As of :meth:`fold`.

        Raises:
            ValueError: If a class is unknown or already there, or the model
                cannot be edited.

        Examples:
            >>> pets.edit(add=['hamster'])
            >>> pets.edit(keep=['dog'])
            >>> pets.edit(rename={'dog': 'hound'})
        """
        from .reparam.editing import edit
        return self._derived(edit(
            self._required('edit'), keep, add, replace, encoder=encoder,
            norms=norms, drop=drop, rename=rename, order=order))

    def train(self, data: PathLike, *, work_dir: Optional[PathLike] = None,
              encoder: Optional[str] = None,
              val_fraction: Optional[float] = None,
              image_size: Optional[Tuple[int, int]] = None,
              amp: bool = False, overwrite: bool = False,
              resume: Optional[str] = None,
              cfg_options: Optional[Dict[str, Any]] = None,
              **wishes: Any) -> Trained:
        """Fine-tune on data as they are, on a GPU if there is one.

        A text-conditioned model gets the classes of the data folded in
        first; a folded one must have them already.

        Args:
            data (str | Path): A YAML of Ultralytics, a COCO file, or a folder
                in one of the usual layouts.
            work_dir (str | Path, optional): Folder of everything that is
                written. Defaults to ``work_dirs/NAME``.
            encoder (str, optional): As of :meth:`fold`.
            val_fraction (float, optional): Share of the images to validate
                on where the data have no set for it. Defaults to 0.2.
            image_size (tuple[int, int], optional): Height and width of the
                input, multiples of 32. Defaults to (640, 640).
            amp (bool): Whether to train in mixed precision.
            overwrite (bool): Whether the config of an earlier run is replaced.
            resume (str, optional): ``'auto'``, or a checkpoint to go on from.
            cfg_options (dict, optional): Settings of the config.
            **wishes: Those of :class:`~.config.composition.Wishes`, such as
                ``epochs``, ``batch_size``, ``recipe``; and those of
                :func:`~.config.data_layouts.find_data`, such as ``only``.

        Returns:
            Trained: The tuned model, its report and its scores.

        Raises:
            ValueError: If data and model do not go together.

        Examples:
            >>> tuned, report, scores = pets.train('pets.yaml', epochs=40)
        """
        from inspect import signature

        from .config.composition import Wishes
        from .config.data_layouts import find_data
        from .config.new_config import require_image_size
        from .engine.finetune import finetune
        if image_size is not None:  # which configs have the other way round
            wishes['image_size'] = require_image_size(image_size[::-1])
        model = self.path if self._saved else self._required('train')
        layout = find_data(data, val_fraction, **{
            name: wishes.pop(name)
            for name in signature(find_data).parameters if name in wishes})
        tuned = finetune(
            model, layout, work_dir, wishes=Wishes(**wishes), encoder=encoder,
            amp=amp, overwrite=overwrite,
            resume=resume, cfg_options=cfg_options)
        assert tuned.checkpoint is not None, 'its config saves each epoch'
        return Trained(YOLOWorld(tuned.checkpoint, **self._runtime),
                       tuned.report, tuned.scores)

    def export(self, format: str = 'onnx',
               out_dir: PathLike = 'work_dirs/export', *,
               calibration: Optional[Sequence[str]] = None,
               **options: Any) -> 'YOLOWorld':
        """Export a folded model, and compare the file with it.

        Args:
            format (str): ``'onnx'``, ``'openvino'`` or ``'torchscript'``.
            out_dir (str | Path): Folder of the result, which is named after
                the checkpoint.
            calibration (Sequence[str], optional): Images or folders like those
                the model will see; the file is in INT8.
            **options: More of :func:`~.deploy.export.export_model` and, for
                INT8, of :func:`~.deploy.quantize.quantize_model`.

        Returns:
            YOLOWorld: The exported file, with its ``path``.

        Raises:
            ValueError: If its detections differ from the model's. No file is
                kept then.
            ImportError: If a package is not installed.

        Examples:
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

    def save(self, path: PathLike, overwrite: bool = False) -> Path:
        """Write the checkpoint, completely or not at all.

        Args:
            path (str | Path): The ``.pth`` or ``.safetensors`` to write.
            overwrite (bool): Whether to overwrite an existing file.

        Raises:
            ValueError: If it exists, or the model is an exported file.

        Examples:
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
