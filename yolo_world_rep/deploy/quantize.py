"""Static INT8 of an exported detector, and what it costs in precision.

How numbers are quantized is in :mod:`.runtime_quantizers`; which layers stay
in FP32 is decided in :mod:`.quantization_rule`.
"""
from dataclasses import dataclass, field
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    List,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
    Union,
)

from mmengine.logging import print_log

from yolo_world_rep.inference.processor import SAFE_BITS
from yolo_world_rep.inference.spec import METADATA_KEY, Spec
from yolo_world_rep.reparam import Checkpoint
from yolo_world_rep.utils.files import PathLike, require_new, workshop

from . import onnx_file
from .calibration import DEFAULT_COUNT, CalibrationImages, choose_images
from .export import export_model, name_of_file
from .formats import publish, suffixes_of
from .quantization_rule import Layer, explain_layers, plan_layers
from .runtime_quantizers import (
    quantize_onnx,
    quantize_openvino,
    require_quantizer,
)

if TYPE_CHECKING:
    import onnx

# Points of AP in FP32 below which a comparison says nothing.
LEAST_AP = 1.0


class Scores(NamedTuple):
    """AP in points, 0..100, by COCO's measure, in the same runtime."""
    fp32: float
    int8: float
    images: int

    @property
    def drop(self) -> float:
        return self.fp32 - self.int8

    def __str__(self) -> str:
        return (f'AP on {self.images} images: FP32 {self.fp32:.2f}, INT8 '
                f'{self.int8:.2f}, {self.drop:.2f} points lost')


@dataclass(frozen=True)
class Quantized:
    """The result of a quantization."""
    path: Path
    spec: Spec
    layers: List[Layer] = field(repr=False)
    calibrated: int  # number of images
    sizes: Sequence[int]  # bytes of the FP32 and of the INT8 file
    scores: Optional[Scores] = None

    def report(self) -> str:
        """All of it as text."""
        before, after = (size / 1e6 for size in self.sizes)
        verdict = str(self.scores) if self.scores else (
            'AP is not known: nothing was evaluated. Give `evaluate`, '
            'annotations and images, before you rely on this file.')
        return '\n'.join([
            explain_layers(self.layers),
            f'calibrated with {self.calibrated} images',
            f'{before:.1f} MB in FP32, {after:.1f} MB in INT8', verdict])


def _write(format: str, model: 'onnx.ModelProto', images: CalibrationImages,
           layers: Sequence[Layer], spec: Spec, source: Path,
           target: Path) -> Path:
    """Write the INT8 file; returns the FP32 file of the same runtime."""
    if format == 'onnx':
        quantized = quantize_onnx(model, images, layers, target)
        onnx_file.set_metadata(quantized, spec)
        onnx_file.save_onnx(quantized, target)
        return source
    import openvino
    del model.metadata_props[:]  # OpenVINO would keep them beside its own
    source = source.with_name('bare.onnx')
    onnx_file.save_onnx(model, source)
    plain = openvino.convert_model(source)
    plain.set_rt_info(spec.with_(precision='fp32').to_json(), METADATA_KEY)
    reference = source.with_suffix('.xml')
    openvino.save_model(plain, reference, compress_to_fp16=False)
    quantized = quantize_openvino(plain, images, layers)
    quantized.set_rt_info(spec.to_json(), METADATA_KEY)
    openvino.save_model(quantized, target, compress_to_fp16=False)
    return reference


def average_precision(path: PathLike, annotations: PathLike, images: PathLike,
                      threads: Optional[int] = None) -> Tuple[float, int]:
    """AP of a file in points, and the number of images."""
    from yolo_world_rep.detector.evaluation import evaluate
    from yolo_world_rep.inference.predictor import Predictor
    with Predictor(path, threads=threads) as predictor:
        scores = evaluate(predictor, annotations, images)
    # Of masks, where there are some: they need the boxes, too.
    return 100 * scores.get('segm_AP', scores['AP']), scores['images']


def judge(scores: Scores, max_ap_drop: float) -> None:
    """Refuse a model that loses too much, or is too weak to judge."""
    if not scores.fp32 >= LEAST_AP:
        raise ValueError(
            f'The FP32 model has an AP of {scores.fp32:.2f} on the '
            f'{scores.images} images of `evaluate`, too little to tell what '
            f'INT8 loses; no file was written. Expected a set on which it '
            f'detects something; or leave `evaluate` out, unjudged.')
    if not scores.drop <= max_ap_drop:
        raise ValueError(
            f'INT8 loses too much; no file was written. {scores}; at most '
            f'{max_ap_drop:g} were allowed. Calibrate with more images like '
            f'those of use (`calibration`), keep more layers (`keep`), or '
            f'allow more (`max_ap_drop`).')


def quantize_model(
        config: Any, checkpoint: Union[PathLike, Checkpoint],
        out_dir: PathLike = 'work_dirs/export', format: str = 'onnx', *,
        calibration: Sequence[str], calibration_count: int = DEFAULT_COUNT,
        keep: Sequence[str] = (), quantize_all: bool = False,
        evaluate: Optional[Tuple[PathLike, PathLike]] = None,
        max_ap_drop: float = 1.0, threads: Optional[int] = None,
        overwrite: bool = False, export: Callable[..., Any] = export_model,
        **options: Any) -> Quantized:
    """Export a folded detector in INT8.

    Args:
        config (Config | str | Path): The detector's config.
        checkpoint (str | Path): Its checkpoint.
        out_dir (str | Path): Folder of the result, which is named after the
            checkpoint. Defaults to 'work_dirs/export'.
        format (str): 'onnx' or 'openvino'. Defaults to 'onnx'.
        calibration (Sequence[str]): Images, folders of them or patterns,
            such as the model will see; no annotations are used.
        calibration_count (int): Images to use, at most. Defaults to 128.
        keep (Sequence[str]): Regular expressions of the names of layers to
            keep in FP32 besides those of the rule, see
            :func:`~.quantization_rule.plan_layers`.
        quantize_all (bool): Whether the rule is left out.
            Defaults to False.
        evaluate (tuple, optional): A COCO file and the folder of its images
            to measure AP with, which should not be those of calibration.
        max_ap_drop (float): Points of AP, 0..100, that INT8 may lose; with
            ``evaluate``. Defaults to 1.0.
        threads (int, optional): Of the runtime in the evaluation.
        overwrite (bool): Whether an older result is replaced.
            Defaults to False.
        export (Callable): What makes the FP32 file.
        **options: More of :func:`~.export.export_model`.

    Returns:
        Quantized: The path, the metadata and what was measured.

    Raises:
        ValueError: If anything does not fit, or INT8 loses more than
            ``max_ap_drop``. No file is left then.
        ImportError: If a package is not installed, with what to install.
    """
    quantizer = require_quantizer(format)
    if options.pop('half', False):
        raise ValueError('`half` with INT8: weights are one or the other; '
                         'leave it out.')
    paths = choose_images(calibration, calibration_count)
    name = name_of_file(checkpoint, format,
                        options.get('contract', 'decoded'), 'int8')
    path = require_new(Path(out_dir) / name, overwrite, '`out_dir`')
    with workshop(path) as folder:
        exported = export(config, checkpoint, folder, 'onnx', **options)
        import onnx
        model = onnx.load(str(exported.path))
        layers = plan_layers(model, keep, quantize_all)
        print_log(f'Quantizing:\n{explain_layers(layers)}', 'current')
        kept = {each.name for each in layers if each.kept and '.' in each.name}
        int8 = dict(quantizer=quantizer, weight_bits=SAFE_BITS,
                    calibration_images=len(paths), kept=sorted(kept))
        origin = dict(exported.spec.provenance, format=format, int8=int8)
        spec = exported.spec.with_(precision='int8', provenance=origin)
        written = folder / path.name
        reference = _write(format, model, CalibrationImages(paths, spec),
                           layers, spec, exported.path, written)
        sizes = [sum(file.with_suffix(each).stat().st_size
                     for each in suffixes_of(file))
                 for file in (reference, written)]
        scores = None
        if evaluate is not None:
            before, count = average_precision(reference, *evaluate, threads)
            after, _ = average_precision(written, *evaluate, threads)
            scores = Scores(before, after, count)
            judge(scores, max_ap_drop)
        publish(written, path, overwrite)
    return Quantized(path, spec, layers, len(paths), sizes, scores)
