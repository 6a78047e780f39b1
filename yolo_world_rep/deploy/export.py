"""From a config and a checkpoint to a file for a runtime, checked."""
import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import (
    Any,
    Dict,
    List,
    Mapping,
    Optional,
    Sequence,
    Tuple,
    Union,
)

import numpy as np
import torch
from mmengine.config import Config
from torch import nn

from yolo_world_rep.detector.config_of_checkpoint import (
    config_of_checkpoint,
)
from yolo_world_rep.detector.fusion import fuse, require_foldable
from yolo_world_rep.detector.loading import load_detector, read_config
from yolo_world_rep.detector.spec_of_config import spec_of_config
from yolo_world_rep.inference.images import read_image
from yolo_world_rep.inference.postprocess import adjusted
from yolo_world_rep.inference.spec import CONTRACTS, Spec
from yolo_world_rep.models.dense_heads.lean_predictions import (
    allow_class_scores,
)
from yolo_world_rep.reparam import Checkpoint, load_checkpoint
from yolo_world_rep.reparam.conversion import with_texts
from yolo_world_rep.text import load_class_names
from yolo_world_rep.utils.files import PathLike, require_new, workshop
from yolo_world_rep.version import __version__

from . import onnx_file
from .comparison import Report
from .formats import FORMATS, publish, require_packages, suffixes_of, write
from .reference import built_in_images
from .verification import Verification


@dataclass(frozen=True)
class Exported:
    """The result of an export.

    Args:
        path (Path): The file to open.
        spec (Spec): Its metadata.
        reports (list[Report]): How it compares with PyTorch: in FP32, and
            in the other precision that was asked for.
    """
    path: Path
    spec: Spec
    reports: List[Report] = field(default_factory=list)

    @property
    def files(self) -> List[Path]:
        """All the files, the one to open first."""
        return [self.path.with_suffix(each) for each in suffixes_of(self.path)]


def check_request(format: str, contract: str, half: bool, batch: Any,
                  precision: Optional[str]) -> None:
    """Refuse impossible requests, and say what to ask for instead."""
    for name, value, known in (('format', format, FORMATS),
                               ('contract', contract, CONTRACTS)):
        if value not in known:
            raise ValueError(
                f'{name}={value!r}; expected one of {", ".join(known)}.')
    if batch is not None and not (isinstance(batch, int) and batch >= 1):
        raise ValueError(f'batch={batch!r}; expected a number of images, or '
                         f'None for any.')
    if precision is not None and format != 'openvino':
        raise ValueError(
            f'precision={precision!r}: only OpenVINO can compute in another '
            f'precision than the file\'s; leave it out.')
    if format == 'torchscript' and contract == 'nms':
        raise ValueError(
            'TorchScript has no operator that suppresses overlapping boxes '
            '(it is torchvision\'s, which need not be there); leave out '
            '`contract=\'nms\'`: yolo-world-rep predict suppresses them '
            'itself, or export to onnx or openvino.')
    if format == 'torchscript' and half:
        raise ValueError(
            'TorchScript keeps no weights in FP16 for computations in FP32; '
            'leave out `half`, or export to onnx or openvino.')


def sized(spec: Spec, image_size: Optional[Sequence[int]]) -> Spec:
    """A specification for another height and width in pixels."""
    if image_size is None:
        return spec
    size = tuple(image_size)
    step = max(spec.strides)
    if len(size) != 2 or any(side < step or side % step for side in size):
        raise ValueError(f'image_size={size}; expected height and width, '
                         f'multiples of {step}, which is the largest stride.')
    return spec.with_(image_size=size)


def provenance(cfg: Config, loaded: Checkpoint, format: str) -> Dict[str, Any]:
    """Where a file comes from, as plain values."""
    origin: Dict[str, Any] = dict(
        yolo_world_rep=__version__,
        config=Path(cfg.filename).name if cfg.filename else None,
        checkpoint=loaded.path.name, sha256=loaded.sha256,
        epoch=loaded.meta.get('epoch'), torch=str(torch.__version__),
        format=format, fused=True)
    return {name: value for name, value in origin.items() if value is not None}


def load_folded(
        config: Union[Config, PathLike, None],
        checkpoint: Union[PathLike, Checkpoint],
        texts: Optional[PathLike] = None, cfg_options: Optional[dict] = None,
        words: Any = None, encoder: Optional[str] = None
) -> Tuple[Config, nn.Module, Checkpoint]:
    """A detector that can be fused, with its class names.

    Those of the file ``texts`` take the place of the checkpoint's.
    """
    source = checkpoint
    if config is None:
        source = with_texts(load_checkpoint(checkpoint), words, encoder)
        config = config_of_checkpoint(source)
    elif words:
        raise ValueError('`words` are for a checkpoint without a config; '
                         'leave one of both out.')
    cfg = read_config(config, cfg_options)
    model = cfg.get('model') or {}
    if not model.get('reparameterized', False):
        # Before it is built: that may fetch a text encoder.
        raise ValueError(
            f'The config\'s model, a {model.get("type")}, is not folded '
            f'(reparameterized=True): its texts would be inputs. Fold them '
            f'with yolo-world-rep reparameterize, and give the rep config and '
            f'the file that it writes.')
    detector: Any  # its attributes are mmyolo's
    detector, loaded = load_detector(cfg, source)
    require_foldable(detector)
    if texts is not None:
        names = load_class_names(texts)
        if len(names) != detector.bbox_head.num_classes:
            raise ValueError(
                f'{texts} names {len(names)} classes; expected the '
                f'{detector.bbox_head.num_classes} of the model.')
        detector.dataset_meta = dict(classes=names)
    return cfg, detector, loaded


def set_detections(cfg: Config, detector: Any,
                   settings: Mapping[str, Any]) -> None:
    """Have a detector report what :func:`~.postprocess.adjusted` says."""
    spec = adjusted(spec_of_config(cfg, detector), **settings)
    head = detector.bbox_head
    head.test_cfg = copy.deepcopy(head.test_cfg)
    head.test_cfg.update(
        score_thr=spec.score_threshold, max_per_img=spec.max_detections)
    head.test_cfg.nms.class_agnostic = spec.class_agnostic
    if spec.class_scores:
        allow_class_scores(head)
        head.test_cfg.class_scores = [
            spec.class_scores.get(name, spec.score_threshold)
            for name in spec.classes]


def name_of_file(checkpoint: Union[PathLike, Checkpoint], format: str,
                 contract: str = 'decoded', weights: str = 'fp32') -> str:
    """A file name from the checkpoint and the non-default options."""
    more = [each for each in (contract, weights)
            if each not in ('decoded', 'fp32')]
    path = checkpoint.path if isinstance(checkpoint, Checkpoint) else (
        Path(checkpoint))
    return '_'.join([path.stem, *more]) + FORMATS[format][0]


def export_model(
        config: Union[Config, PathLike, None],
        checkpoint: Union[PathLike, Checkpoint],
        out_dir: PathLike = 'work_dirs/export', format: str = 'onnx', *,
        image_size: Optional[Sequence[int]] = None, dynamic: bool = False,
        batch: Optional[int] = 1, contract: str = 'decoded',
        half: bool = False, opset: int = onnx_file.DEFAULT_OPSET,
        texts: Optional[PathLike] = None,
        images: Sequence[Union[PathLike, np.ndarray]] = (),
        precision: Optional[str] = None, overwrite: bool = False,
        cfg_options: Optional[dict] = None, words: Any = None,
        encoder: Optional[str] = None, **detections: Any) -> Exported:
    """Export the deploy form of a folded detector, and check the file.

    The file and the model in PyTorch, which is not fused, run on the same
    images; where they differ by more than rounding, no file is left.

    Args:
        config (Config | str | Path, optional): The detector's config, None
            for what follows from the checkpoint.
        checkpoint (str | Path | Checkpoint): Its checkpoint.
        out_dir (str | Path): Folder of the result, which is named after the
            checkpoint. Defaults to 'work_dirs/export'.
        format (str): 'onnx', 'openvino' or 'torchscript'.
            Defaults to 'onnx'.
        image_size (Sequence[int], optional): Height and width in pixels.
            Defaults to those of the config's test pipeline.
        dynamic (bool): Whether height and width may be any multiples of the
            largest stride. Defaults to False.
        batch (int, optional): Images at a time, None for any number.
            Defaults to 1.
        contract (str): The outputs, see
            :class:`yolo_world_rep.inference.spec.Spec`.
            Defaults to 'decoded'.
        half (bool): Whether the weights are stored in FP16; the file still
            computes in FP32. Defaults to False.
        opset (int): Version of ONNX's operators. Defaults to 18.
        texts (str | Path, optional): A file of class names, instead of the
            checkpoint's.
        images (Sequence): Image files, or arrays (h, w, 3), uint8, BGR, to
            check the file with. Defaults to a few built-in ones.
        precision (str, optional): Another precision for OpenVINO to compute
            in, 'bf16', which is compared as well but not judged.
        overwrite (bool): Whether an older result is replaced.
            Defaults to False.
        cfg_options (dict, optional): Dotted keys of the config and values.
        words (str | Path | Sequence[str], optional): The classes of a
            text-conditioned checkpoint without a config.
        encoder (str, optional): What embeds them, see
            :func:`~yolo_world_rep.text.embed_words`.
        **detections: ``score_threshold``, ``class_scores``,
            ``max_detections`` and ``class_agnostic``, as of
            :class:`~yolo_world_rep.inference.predictor.Predictor`. Defaults
            to the config's.

    Returns:
        Exported: The path, the metadata and what the check found.

    Raises:
        ValueError: If anything does not fit, or the file does not detect
            what the model does. Nothing is written then.
        ImportError: If a package is not installed, with what to install.
    """
    check_request(format, contract, half, batch, precision)
    require_packages(format)
    if precision is not None:
        from yolo_world_rep.inference.backends import openvino
        openvino.require_precision('CPU', precision)
    weights = 'fp16' if half else 'fp32'
    path = require_new(
        Path(out_dir) / name_of_file(checkpoint, format, contract, weights),
        overwrite, '`out_dir`')
    pictures = [image if isinstance(image, np.ndarray) else read_image(image)
                for image in images] or built_in_images()
    cfg, detector, loaded = load_folded(
        config, checkpoint, texts, cfg_options, words, encoder)
    set_detections(cfg, detector, detections)
    spec = sized(spec_of_config(cfg, detector), image_size).with_(
        dynamic=dynamic, batch=batch, contract=contract, precision=weights,
        provenance=provenance(cfg, loaded, format))
    verification = Verification(cfg, detector, spec, pictures)
    with workshop(path) as folder:
        written = folder / path.name
        write(fuse(detector), spec, written, opset)
        reports = [verification.check(written)]
        if not reports[0].ok:
            raise ValueError(
                f'The exported file does not detect what the model does: '
                f'{reports[0].verdict()}. Nothing was written.')
        if precision is not None:
            reports.append(verification.check(written, precision))
        publish(written, path, overwrite)
    return Exported(path, spec, reports)
