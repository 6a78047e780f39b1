"""From a config and a checkpoint to a file for a runtime."""
import contextlib
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple, Union

import torch
from mmengine.config import Config
from torch import nn

from yolo_world_rep.inference.from_config import spec_of_config
from yolo_world_rep.inference.spec import CONTRACTS, METADATA_KEY, Spec
from yolo_world_rep.reparam import Checkpoint
from yolo_world_rep.text import class_names, load_class_texts
from yolo_world_rep.utils.files import PathLike
from yolo_world_rep.version import __version__

from . import onnx_file
from .fusion import fuse, require_foldable
from .loading import load_detector, read_config
from .outputs import as_contract, output_names
from .suppression import INPUTS, add_suppression

# Of each format, the file that is opened and those that go with it.
FORMATS: Dict[str, Tuple[str, ...]] = dict(
    onnx=('.onnx', ),
    openvino=('.xml', '.bin'),
    torchscript=('.torchscript', ))
METADATA_FILE = f'{METADATA_KEY}.json'


@dataclass(frozen=True)
class Exported:
    """What an export wrote.

    Args:
        path (Path): The file to open.
        spec (Spec): Its metadata.
        notes (list[str]): What the user should know.
    """
    path: Path
    spec: Spec
    notes: List[str] = field(default_factory=list)

    @property
    def files(self) -> List[Path]:
        """All the files, the one to open first."""
        return [
            self.path.with_suffix(suffix) for suffixes in FORMATS.values()
            if suffixes[0] == self.path.suffix for suffix in suffixes
        ]


def check_request(format: str, contract: str, half: bool, batch: Any) -> None:
    """Refuse what no file can be.

    Raises:
        ValueError: With what to ask for instead.
    """
    for name, value, known in (('format', format, FORMATS),
                               ('contract', contract, CONTRACTS)):
        if value not in known:
            raise ValueError(f'{name}={value!r}; expected one of '
                             f'{", ".join(known)}.')
    if batch is not None and not (isinstance(batch, int) and batch >= 1):
        raise ValueError(f'batch={batch!r}; expected a number of images, or '
                         f'None for any.')
    if format == 'torchscript' and contract == 'nms':
        raise ValueError(
            'TorchScript has no operator that suppresses overlapping boxes '
            '(it is torchvision\'s, which need not be there); leave out '
            '--with-nms: tools/predict.py suppresses them itself, or export '
            'to onnx or openvino.')
    if format == 'torchscript' and half:
        raise ValueError(
            'TorchScript keeps no weights in FP16 for computations in FP32; '
            'leave out --half, or export to onnx or openvino.')


def sized(spec: Spec, image_size: Optional[Sequence[int]]) -> Spec:
    """A specification for another size of the input.

    Args:
        spec (Spec): As of the config.
        image_size (Sequence[int], optional): Height and width in pixels.

    Raises:
        ValueError: If they are not multiples of the largest stride.
    """
    if image_size is None:
        return spec
    size = tuple(image_size)
    step = max(spec.strides)
    if len(size) != 2 or any(side < step or side % step for side in size):
        raise ValueError(
            f'image_size={size}; expected height and width, multiples of '
            f'{step}, which is the largest stride.')
    return spec.with_(image_size=size)


def provenance(cfg: Config, loaded: Checkpoint, format: str,
               **more: Any) -> Dict[str, Any]:
    """Where a file comes from, as plain values."""
    origin: Dict[str, Any] = dict(
        yolo_world_rep=__version__,
        config=Path(cfg.filename).name if cfg.filename else None,
        checkpoint=loaded.path.name,
        sha256=loaded.sha256,
        epoch=loaded.meta.get('epoch'),
        torch=str(torch.__version__),
        format=format,
        fused=True,
        **more)
    return {name: value for name, value in origin.items() if value is not None}


@contextlib.contextmanager
def workshop(out: Path) -> Iterator[Path]:
    """A temporary folder in ``out``; neither is left if nothing comes of it.
    """
    existed = out.is_dir()
    out.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(dir=out, prefix='.export.') as name:
            yield Path(name)
    except BaseException:
        if not existed:
            out.rmdir()
        raise


def publish(written: Path, path: Path) -> None:
    """Move a file and those that go with it to their places."""
    suffixes = next(names for names in FORMATS.values()
                    if names[0] == path.suffix)
    # What is opened comes last.
    for suffix in reversed(suffixes):
        os.replace(written.with_suffix(suffix), path.with_suffix(suffix))


def load_folded(config: Union[Config, PathLike],
                checkpoint: PathLike,
                texts: Optional[PathLike] = None,
                cfg_options: Optional[dict] = None
                ) -> Tuple[Config, nn.Module, Checkpoint]:
    """A detector that can be fused, with its class names.

    Args:
        config (Config | str | Path): Its config.
        checkpoint (str | Path): Its checkpoint.
        texts (str | Path, optional): A file of class names, see
            :func:`yolo_world_rep.text.load_class_texts`, in the place of
            the checkpoint's.
        cfg_options (dict, optional): Dotted keys of the config and values.

    Raises:
        ValueError: If it is text-conditioned, or anything does not fit.
    """
    cfg = read_config(config, cfg_options)
    model = cfg.get('model') or {}
    if not model.get('reparameterized', False):
        # Before it is built: that may fetch a text encoder.
        raise ValueError(
            f'The config\'s model, a {model.get("type")}, is not folded '
            f'(reparameterized=True): its texts would be inputs. Fold them '
            f'with tools/reparameterize_yoloworld.py --conv-neck, and give '
            f'the rep config and the file that it writes.')
    detector, loaded = load_detector(cfg, checkpoint)
    require_foldable(detector)
    if texts is not None:
        detector.dataset_meta = dict(
            classes=class_names(load_class_texts(texts)))
    return cfg, detector, loaded


def _to_onnx(module: nn.Module, spec: Spec, opset: int) -> Any:
    if spec.contract != 'nms':
        names = output_names(spec.contract, spec.strides)
        return onnx_file.to_onnx(module, spec, names, opset)
    decoded = onnx_file.to_onnx(module, spec, INPUTS, opset)
    return add_suppression(decoded, spec)


def _write_onnx(module: nn.Module, spec: Spec, path: Path,
                opset: int) -> None:
    model = _to_onnx(module, spec, opset)
    if spec.precision == 'fp16':
        onnx_file.halve_weights(model)
    onnx_file.set_metadata(model, spec)
    onnx_file.save_onnx(model, path)


def _write_openvino(module: nn.Module, spec: Spec, path: Path,
                    opset: int) -> None:
    import openvino
    between = path.with_suffix('.onnx')
    onnx_file.save_onnx(_to_onnx(module, spec, opset), between)
    model = openvino.convert_model(between)
    between.unlink()
    model.set_rt_info(spec.to_json(), METADATA_KEY)
    openvino.save_model(
        model, path, compress_to_fp16=spec.precision == 'fp16')


def require_openvino() -> None:
    """Import what an OpenVINO file is made with.

    Raises:
        ImportError: If it is not installed, with what to install.
    """
    onnx_file.require_onnx()
    try:
        import openvino  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f'Writing OpenVINO files needs openvino ({error}): pip install '
            f'"yolo_world_rep[openvino,onnx]".') from error


def _write_torchscript(module: nn.Module, spec: Spec, path: Path) -> None:
    with torch.no_grad():
        traced = torch.jit.trace(module, onnx_file.example(spec))
    torch.jit.save(traced, str(path),
                   _extra_files={METADATA_FILE: spec.to_json()})


def export_model(config: Union[Config, PathLike],
                 checkpoint: PathLike,
                 out_dir: PathLike = 'work_dirs/export',
                 format: str = 'onnx',
                 *,
                 image_size: Optional[Sequence[int]] = None,
                 dynamic: bool = False,
                 batch: Optional[int] = 1,
                 contract: str = 'decoded',
                 half: bool = False,
                 opset: int = onnx_file.DEFAULT_OPSET,
                 texts: Optional[PathLike] = None,
                 overwrite: bool = False,
                 cfg_options: Optional[dict] = None) -> Exported:
    """Export the deploy form of a folded detector.

    Args:
        config (Config | str | Path): The detector's config.
        checkpoint (str | Path): Its checkpoint.
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
        contract (str): What comes out, see
            :class:`yolo_world_rep.inference.spec.Spec`.
            Defaults to 'decoded'.
        half (bool): Whether the file keeps its weights in FP16. It computes
            in FP32 all the same. Defaults to False.
        opset (int): Version of ONNX's operators. Defaults to 18.
        texts (str | Path, optional): A file of class names, in the place of
            the checkpoint's.
        overwrite (bool): Whether an older result is replaced.
            Defaults to False.
        cfg_options (dict, optional): Dotted keys of the config and values.

    Returns:
        Exported: The path, the metadata and what was found.

    Raises:
        ValueError: If anything does not fit. Nothing is written then.
        ImportError: If a package is not installed, with what to install.
    """
    check_request(format, contract, half, batch)
    require = dict(
        onnx=onnx_file.require_onnx, openvino=require_openvino).get(format)
    if require is not None:
        require()
    cfg, detector, loaded = load_folded(config, checkpoint, texts,
                                        cfg_options)
    path = Path(out_dir) / (
        Path(checkpoint).stem + ('' if contract == 'decoded' else
                                 f'_{contract}') +
        ('_fp16' if half else '') + FORMATS[format][0])
    if path.exists() and not overwrite:
        raise ValueError(f'{path} exists; remove it, choose another --out, '
                         f'or say --overwrite.')
    spec = sized(spec_of_config(cfg, detector), image_size).with_(
        dynamic=dynamic,
        batch=batch,
        contract=contract,
        precision='fp16' if half else 'fp32',
        provenance=provenance(cfg, loaded, format))
    module = as_contract(fuse(detector),
                         'raw' if contract == 'raw' else 'decoded')
    with workshop(path.parent) as folder:
        written = folder / path.name
        if format == 'torchscript':
            _write_torchscript(module, spec, written)
        else:
            write = _write_onnx if format == 'onnx' else _write_openvino
            write(module, spec, written, opset)
        publish(written, path)
    return Exported(path, spec)
