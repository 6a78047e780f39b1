"""The settings of each runtime's quantizer.

Weights are quantized for each output channel, symmetrically; activations as
a whole, asymmetrically, as SiLU has a short negative side. Weights have 7
bits, -64..64, so that a file is right on processors without VNNI too, see
:mod:`yolo_world_rep.inference.processor`.
"""
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Sequence

from . import onnx_file
from .calibration import CalibrationImages
from .quantization_rule import Layer

if TYPE_CHECKING:
    import onnx


def require_quantizer(format: str) -> str:
    """The name and version of what quantizes for a format, imported."""
    if format not in ('onnx', 'openvino'):
        raise ValueError(f'INT8 with `format={format!r}`: expected onnx or '
                         f'openvino.')
    try:
        if format == 'onnx':
            import onnxruntime
            import onnxruntime.quantization  # noqa: F401
            return f'onnxruntime {onnxruntime.__version__}'
        import nncf
        return f'nncf {nncf.__version__}'
    except ImportError as error:
        raise ImportError(f'Quantizing for {format} needs more packages '
                          f'({error}): pip install "yolo_world_rep[int8]".'
                          ) from error


def quantize_onnx(model: 'onnx.ModelProto', images: CalibrationImages,
                  layers: Sequence[Layer], path: Path) -> 'onnx.ModelProto':
    """Quantize for ONNX Runtime: (de)quantizer pairs around operators.

    Ranges are the extremes over all calibration images. Returns what was
    written to the path.
    """
    import onnx
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.batches = iter(images)

        def get_next(self) -> Optional[Dict[str, Any]]:
            batch = next(self.batches, None)
            return None if batch is None else {onnx_file.INPUT: batch}

    # A file, as versions before 1.19 fail at a model.
    source = path.with_suffix('.float.onnx')
    onnx.save(onnx.shape_inference.infer_shapes(model), str(source))
    # It recommends an optimization that fuse has done already.
    with onnx_file.quiet(''):
        quantize_static(
            str(source), str(path), Reader(), per_channel=True,
            quant_format=QuantFormat.QDQ,
            # Unsigned ones are what AVX-512 VNNI multiplies.
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            reduce_range=True,  # of the weights
            nodes_to_exclude=[layer.node for layer in layers if layer.kept])
    source.unlink()
    return onnx.load(str(path))


def quantize_openvino(model: Any, images: CalibrationImages,
                      layers: Sequence[Layer]) -> Any:
    """Quantize a model in FP32, converted from the ONNX one, with NNCF.

    Without NNCF's fast bias correction, which estimates the mean output of a
    layer from its mean input: behind SiLUs it made the outputs worse.
    """
    import nncf
    from nncf.quantization.advanced_parameters import OverflowFix

    # A convolution with a bias is an addition of that name here, after a
    # convolution named name/WithoutBiases.
    names: Dict[str, List[str]] = {}
    for node in model.get_ops():
        name = node.get_friendly_name()
        names.setdefault(name.split('/')[0], []).append(name)
    kept = [name for layer in layers if layer.kept
            for name in names.get(layer.node, [])]
    lost = [layer.node for layer in layers if layer.kept
            and layer.operator == 'Conv' and layer.node not in names]
    assert not lost, f'convolutions without a name in OpenVINO: {lost}'
    with onnx_file.quiet('nncf'):
        return nncf.quantize(
            model, nncf.Dataset(images), subset_size=len(images),
            preset=nncf.QuantizationPreset.MIXED,
            ignored_scope=nncf.IgnoredScope(names=kept, validate=False),
            advanced_parameters=nncf.AdvancedQuantizationParameters(
                disable_bias_correction=True,
                # Weights of 7 bits, in all layers.
                overflow_fix=OverflowFix.ENABLE))
