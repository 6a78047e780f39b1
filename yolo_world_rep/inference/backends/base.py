"""What all runtimes have in common."""
import os
from abc import ABC, abstractmethod
from importlib import import_module
from pathlib import Path
from typing import Any, Optional, Sequence, Tuple, Type

import numpy as np

from yolo_world_rep.utils.files import about_file, require_regular

from ..spec import METADATA_KEY, Spec
from ..spec_checks import check_outputs, shapes_of

Outputs = Tuple[np.ndarray, ...]
# Other names of the precisions; the values are those of OpenVINO.
PRECISIONS = dict(f32='f32', fp32='f32', bf16='bf16', f16='f16', fp16='f16')


class Backend(ABC):
    """A detector in a runtime: a function of one tensor, for several threads.

    Args:
        spec (Spec): What it takes and gives.
        path (str | Path): Its file.
    """

    #: Of the runtime, for messages.
    name = ''
    #: What it computes in.
    precision = 'f32'
    #: What it raises at a file that it cannot run; all of it, as runtimes
    #: have no class in common.
    runtime_errors: Tuple[Type[Exception], ...] = ()

    def __init__(self, spec: Spec, path: Any) -> None:
        self.spec = spec
        self.path = Path(path)
        #: Runs at the same time that make it faster.
        self.concurrency = 1
        self._process = os.getpid()

    def require_process(self) -> None:
        """Refuse a forked process, which has none of a runtime's threads.

        A run would wait forever there; it raises ``ValueError`` instead.
        """
        if os.getpid() != self._process:
            raise ValueError(
                f'{self.path} was opened in process {self._process}, and '
                f'this is process {os.getpid()}, forked from it: the threads '
                f'of {self.name} are not in it. Open the model in each '
                f'process, or start processes by "spawn".')

    @abstractmethod
    def _run(self, images: np.ndarray) -> Sequence[np.ndarray]:
        """Outputs, in the order of the contract, of a checked input."""

    def run(self, images: np.ndarray) -> Outputs:
        """Outputs of a batch.

        Args:
            images (np.ndarray): (B, 3, H, W), float32, as ``spec`` says; there
                may be fewer than the fixed number of a model.

        Returns:
            tuple[np.ndarray]: In the order of the contract, B rows each.

        Raises:
            ValueError: If shape or type are not the model's, the process is a
                forked one, the runtime fails, or the metadata is wrong.
        """
        self.require_process()
        self._check(images)
        count, size = len(images), self.spec.batch
        if size is not None and count < size:
            filled = np.zeros((size, *images.shape[1:]), np.float32)
            filled[:count] = images
            images = filled
        try:
            outputs = self._run(images)
        except self.runtime_errors as error:
            raise ValueError(
                f'{self.path}: {self.name} cannot run it on images of shape '
                f'{images.shape}: {first_line(error)}') from error
        with about_file(self.path):
            check_outputs(outputs, shapes_of(
                self.spec, images.shape[2:], len(images)))
        return tuple(output[:count] for output in outputs)

    def _check(self, images: np.ndarray) -> None:
        spec, problem = self.spec, ''
        if images.ndim != 4 or images.shape[1] != 3 or not len(images):
            problem = 'expected (B, 3, H, W)'
        elif images.dtype != np.float32:
            problem = f'of type {images.dtype}; expected float32'
        elif spec.batch is not None and len(images) > spec.batch:
            problem = (f'the model takes {spec.batch} image(s) at a time; '
                       f'for any number export it with yolo-world-rep '
                       f'export --batch dynamic')
        elif not spec.dynamic and images.shape[2:] != spec.image_size:
            problem = f'the model takes height and width {spec.image_size}'
        elif spec.dynamic and any(
                side % max(spec.strides) for side in images.shape[2:]):
            problem = (f'height and width must be multiples of '
                       f'{max(spec.strides)}')
        if problem:
            raise ValueError(f'{self.path}: images of shape {images.shape}: '
                             f'{problem}.')

    def close(self) -> None:  # noqa: B027  most hold nothing
        """Release the runtime's resources."""

    def __enter__(self) -> 'Backend':
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


def first_line(error: Exception) -> str:
    """The message of a runtime's error, without its source location."""
    lines = str(error).strip().splitlines()
    if not lines:
        return f'{type(error).__name__}.'
    # TorchScript begins with where, and ends with what.
    line = lines[-1 if 'TorchScript interpreter' in lines[0] else 0]
    return f'{line[:300].rstrip(".")}.'


def import_runtime(name: str, files: str, extra: str) -> Any:
    """The module of a runtime; ``ImportError`` names its extra."""
    try:
        return import_module(name)
    except ImportError as error:
        raise ImportError(f'Running {files} needs {name} ({error}): pip '
                          f'install "yolo_world_rep[{extra}]".') from error


def read_spec(text: Optional[str], path: Any, outputs: int) -> Spec:
    """The specification in an exported file's metadata, for its outputs."""
    if not text:
        raise ValueError(
            f'{path} has no metadata {METADATA_KEY!r}, so that how images '
            f'are prepared and which classes there are is unknown. Export '
            f'the model with yolo-world-rep export.')
    spec = Spec.from_json(text, str(path))
    wanted = len(shapes_of(spec, spec.image_size, 1))
    if outputs != wanted:
        raise ValueError(
            f'{path} has {outputs} output(s); expected {wanted} of its '
            f'contract {spec.contract!r}. Export the model again.')
    return spec


def plain_precision(name: str, precision: Optional[str]) -> None:
    """Refuse a precision other than float32, which only OpenVINO has."""
    if precision is not None and PRECISIONS.get(precision) != 'f32':
        raise ValueError(
            f'precision {precision!r}: {name} computes in what the file '
            f'holds. Leave it out, or use an OpenVINO file (.xml).')


def require_file(path: Any) -> Path:
    """The path of a model's file, which must exist."""
    path = require_regular(path)
    if not path.is_file():
        raise ValueError(f'model {path}: no such file.')
    return path
