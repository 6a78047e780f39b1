"""A fused detector as a file of each format, complete or absent."""
import io
import os
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Dict, Tuple

import torch
from torch import nn

from yolo_world_rep.inference.seal import pending, seal
from yolo_world_rep.inference.spec import METADATA_FILE, METADATA_KEY, Spec
from yolo_world_rep.utils.files import locked, require_new

from . import onnx_file
from .outputs import as_contract, output_names
from .suppression import add_suppression, inputs_of

if TYPE_CHECKING:
    import onnx

# Of each format, the file that is opened and those that go with it.
FORMATS: Dict[str, Tuple[str, ...]] = dict(
    onnx=('.onnx', ), openvino=('.xml', '.bin'),
    torchscript=('.torchscript', ))


def suffixes_of(path: Path) -> Tuple[str, ...]:
    """Of the files that belong together, that of ``path`` first."""
    return next(suffixes for suffixes in FORMATS.values()
                if suffixes[0] == path.suffix)


def publish(written: Path, path: Path, overwrite: bool = True) -> None:
    """Move a file and those that belong to it into place, all or none."""
    if path.suffix != '.torchscript':  # an archive with checksums
        seal([written.with_suffix(each) for each in suffixes_of(path)])
    with locked(path.parent):
        require_new(path, overwrite, meanwhile=True)
        # The rename of what is opened decides; before it the older files go
        # together, after it the new ones, see find_weights.
        others = [path.with_suffix(each) for each in suffixes_of(path)[1:]]
        try:
            for other in others:
                os.replace(written.with_suffix(other.suffix), pending(other))
            os.replace(written, path)
        except BaseException:
            for other in others:
                pending(other).unlink(missing_ok=True)
            raise
        for other in others:
            os.replace(pending(other), other)


def require_packages(format: str) -> None:
    """Import what a format is written with, or say what to install."""
    if format == 'torchscript':
        return
    onnx_file.require_onnx()
    if format == 'openvino':
        try:
            import openvino  # noqa: F401
        except ImportError as error:
            raise ImportError(
                f'Writing OpenVINO files needs openvino ({error}): pip '
                f'install "yolo_world_rep[openvino,onnx]".') from error


def build_onnx(detector: nn.Module, spec: Spec,
               opset: int) -> 'onnx.ModelProto':
    """A fused detector with ONNX's operators, in FP32, without metadata."""
    if spec.contract != 'nms':
        return onnx_file.to_onnx(as_contract(detector, spec.contract), spec,
                                 output_names(spec.contract, spec.strides,
                                              bool(spec.mask_channels)), opset)
    decoded = onnx_file.to_onnx(
        as_contract(detector, 'decoded'), spec, inputs_of(spec), opset)
    return add_suppression(decoded, spec)


def _write_onnx(detector: nn.Module, spec: Spec, path: Path,
                opset: int) -> None:
    model = build_onnx(detector, spec, opset)
    if spec.precision == 'fp16':
        onnx_file.halve_weights(model)
    onnx_file.set_metadata(model, spec)
    onnx_file.save_onnx(model, path)


def _write_openvino(detector: nn.Module, spec: Spec, path: Path,
                    opset: int) -> None:
    import openvino
    between = path.with_suffix('.onnx')
    onnx_file.save_onnx(build_onnx(detector, spec, opset), between)
    model = openvino.convert_model(between)
    between.unlink()
    model.set_rt_info(spec.to_json(), METADATA_KEY)
    openvino.save_model(model, path, compress_to_fp16=spec.precision == 'fp16')


def _write_torchscript(detector: nn.Module, spec: Spec, path: Path,
                       opset: int) -> None:
    module = as_contract(detector, spec.contract)
    with torch.no_grad(), onnx_file.quiet('torch.onnx'):
        # What it computes is checked on images.
        traced = torch.jit.trace(
            module, onnx_file.example(spec), check_trace=False)
    # torch's own writer ends the process when the disk is full, and adds where
    # each line came from, with the paths of this machine.
    buffer, kept = io.BytesIO(), io.BytesIO()
    torch.jit.save(
        traced, buffer, _extra_files={METADATA_FILE: spec.to_json()})
    with zipfile.ZipFile(buffer) as source, zipfile.ZipFile(
            kept, 'w') as target:
        for name in source.namelist():
            if not name.endswith('.debug_pkl'):
                target.writestr(zipfile.ZipInfo(name), source.read(name))
    path.write_bytes(kept.getvalue())


def write(detector: nn.Module, spec: Spec, path: Path, opset: int) -> None:
    """Write a fused detector in the format of the path's suffix."""
    writers = {'.onnx': _write_onnx, '.xml': _write_openvino,
               '.torchscript': _write_torchscript}
    writers[path.suffix](detector, spec, path, opset)
