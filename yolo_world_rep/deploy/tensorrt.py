"""The command that makes a TensorRT engine of an ONNX file; not run here.

It follows TensorRT's documentation, as no machine of this project has
TensorRT. Compare the engine's detections with the ONNX file's before you use
it.
"""
import shlex
from pathlib import Path
from typing import Any, Dict, Tuple

from yolo_world_rep.inference.spec import Spec
from yolo_world_rep.utils import cli
from yolo_world_rep.utils.files import PathLike

from .onnx_file import INPUT

# Of a file for any number of images or any size, the largest that an engine
# is made for; the smallest is one image and one cell of the last level.
LARGEST_BATCH = 8
LARGEST_FACTOR = 2

GONE = ('yolo_world_rep.deploy.tensorrt builds no engines any more, as that '
        'never ran; run the line that yolo-world-rep export prints, such as '
        'trtexec --onnx=NAME.onnx --saveEngine=NAME.engine --fp16')

Shape = Tuple[int, int, int, int]


def shape_ranges(spec: Spec) -> Dict[str, Shape]:
    """Smallest, best and largest input of an engine, none if it is fixed."""
    if spec.batch is not None and not spec.dynamic:
        return {}
    height, width = spec.image_size
    batches = (1, 1, LARGEST_BATCH) if spec.batch is None else (
        (spec.batch, ) * 3)
    sizes = [(height, width)] * 3
    if spec.dynamic:
        sizes[0] = (max(spec.strides), ) * 2
        sizes[2] = (height * LARGEST_FACTOR, width * LARGEST_FACTOR)
    return {name: (batch, 3, *size) for name, batch, size
            in zip(('min', 'opt', 'max'), batches, sizes)}


def trtexec_line(path: PathLike, spec: Spec, half: bool = True) -> str:
    """The command that builds an engine, perhaps in FP16, of an ONNX file."""
    engine = Path(path).with_suffix('.engine')
    words = ['trtexec', f'--onnx={path}', f'--saveEngine={engine}']
    if half:
        words.append('--fp16')
    for name, shape in shape_ranges(spec).items():
        words.append(f'--{name}Shapes={INPUT}:{"x".join(map(str, shape))}')
    return shlex.join(words)


def __getattr__(name: str) -> Any:
    """Say what replaced the builder of the first version."""
    if name == 'build_engine':
        raise ImportError(GONE)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


def main() -> None:
    """Refuse what this command did in the first version."""
    raise ValueError(GONE)


if __name__ == '__main__':
    cli.run(main)
