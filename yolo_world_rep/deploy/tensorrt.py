"""An exported ONNX file to a TensorRT engine; prepared, not run here.

No machine that this was written on has TensorRT: the command line is as of
its documentation, and the function below calls its Python package the same
way. Compare the engine's detections with the ONNX file's before you use it.
"""
import argparse
import shlex
from pathlib import Path
from typing import Any, Dict, Optional, Tuple

from yolo_world_rep.inference.external_weights import check_weights_inside
from yolo_world_rep.inference.spec import METADATA_KEY, Spec
from yolo_world_rep.utils import cli
from yolo_world_rep.utils.files import PathLike, atomic_path

from .onnx_file import INPUT

# Of a file for any number of images or any size, the largest that an engine
# is made for; the smallest is one image and one cell of the last level.
LARGEST_BATCH = 8
LARGEST_FACTOR = 2

Shape = Tuple[int, int, int, int]


def shape_ranges(spec: Spec) -> Optional[Dict[str, Shape]]:
    """Smallest, best and largest input of an engine, None if it is fixed.

    Args:
        spec (Spec): Of the ONNX file.
    """
    if spec.batch is not None and not spec.dynamic:
        return None
    height, width = spec.image_size
    step = max(spec.strides)
    batches = (1, 1, LARGEST_BATCH) if spec.batch is None else (
        (spec.batch, ) * 3)
    sizes = ((step, step), (height, width),
             (height * LARGEST_FACTOR,
              width * LARGEST_FACTOR)) if spec.dynamic else (
                  ((height, width), ) * 3)
    return {
        name: (batch, 3, *size)
        for name, batch, size in zip(('min', 'opt', 'max'), batches, sizes)
    }


def trtexec_line(path: PathLike, spec: Spec, half: bool = True) -> str:
    """The command that builds an engine of an ONNX file.

    Args:
        path (str | Path): The ONNX file.
        spec (Spec): Its metadata.
        half (bool): Whether the engine may compute in FP16.
            Defaults to True.
    """
    engine = Path(path).with_suffix('.engine')
    words = ['trtexec', f'--onnx={path}', f'--saveEngine={engine}']
    if half:
        words.append('--fp16')
    for name, shape in (shape_ranges(spec) or {}).items():
        words.append(f'--{name}Shapes={INPUT}:{"x".join(map(str, shape))}')
    return shlex.join(words)


def _runtime() -> Any:
    try:
        import tensorrt
    except ImportError as error:
        raise ImportError(
            f'Building an engine needs NVIDIA\'s tensorrt package and a GPU '
            f'({error}): pip install tensorrt, or run trtexec.') from error
    return tensorrt


def build_engine(path: PathLike,
                 out: Optional[PathLike] = None,
                 half: bool = True) -> Path:
    """Build a TensorRT engine of an ONNX file. Not run here.

    Args:
        path (str | Path): An ONNX file of yolo-world-rep export.
        out (str | Path, optional): The engine. Defaults to the same name
            with ``.engine``.
        half (bool): Whether it may compute in FP16. Defaults to True.

    Returns:
        Path: The engine.

    Raises:
        ImportError: If tensorrt is not installed.
        ValueError: If the file is not ours, or TensorRT refuses it.
    """
    trt = _runtime()
    import onnx
    check_weights_inside(path)
    model = onnx.load(str(path), load_external_data=False)
    text = next((entry.value for entry in model.metadata_props
                 if entry.key == METADATA_KEY), None)
    if text is None:
        raise ValueError(f'{path} has no metadata {METADATA_KEY!r}; expected '
                         f'an ONNX file of yolo-world-rep export.')
    spec = Spec.from_json(text, str(path))
    logger = trt.Logger(trt.Logger.WARNING)
    builder = trt.Builder(logger)
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, logger)
    if not parser.parse_from_file(str(path)):
        errors = '; '.join(
            str(parser.get_error(index)) for index in range(parser.num_errors))
        raise ValueError(f'TensorRT cannot read {path}: {errors}')
    settings = builder.create_builder_config()
    if half:
        settings.set_flag(trt.BuilderFlag.FP16)
    ranges = shape_ranges(spec)
    if ranges is not None:
        profile = builder.create_optimization_profile()
        profile.set_shape(INPUT, ranges['min'], ranges['opt'], ranges['max'])
        settings.add_optimization_profile(profile)
    engine = builder.build_serialized_network(network, settings)
    if engine is None:
        raise ValueError(f'TensorRT built no engine of {path}; its log says '
                         f'why.')
    out = Path(out or Path(path).with_suffix('.engine'))
    with atomic_path(out) as temporary:
        temporary.write_bytes(bytes(engine))
    return out


def main() -> None:
    """Build one engine."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('model', help='ONNX file of yolo-world-rep export')
    parser.add_argument('--out', help='engine to write')
    parser.add_argument(
        '--fp32', action='store_true', help='compute in FP32 alone')
    args = parser.parse_args()
    print(f'wrote {build_engine(args.model, args.out, not args.fp32)}')


if __name__ == '__main__':
    cli.run(main)
