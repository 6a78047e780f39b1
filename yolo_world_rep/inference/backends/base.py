"""What all runtimes have in common."""
import os
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Optional, Sequence, Tuple, Type

import numpy as np

from yolo_world_rep.utils.files import about_file, require_regular

from ..spec import METADATA_KEY, Spec
from ..spec_checks import check_outputs, shapes_of

Outputs = Tuple[np.ndarray, ...]
# Other names of the precisions; the values are those of OpenVINO.
PRECISIONS = dict(
    f32='f32', fp32='f32', bf16='bf16', f16='f16', fp16='f16')


class Backend(ABC):
    """A detector in a runtime: a function of one tensor.

    Threads may call :meth:`run` at the same time.

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

        Raises:
            ValueError: If this process is not the one that opened it; a run
                would wait for ever.
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
            images (np.ndarray): (B, 3, H, W), float32, as ``spec`` says.
                Where the model takes a fixed number there may be fewer.

        Returns:
            tuple[np.ndarray]: In the order of the contract, B rows each.

        Raises:
            ValueError: If the shape or the type is not the model's, the
                process is a forked one, the runtime fails, or the model
                gives something else than its metadata says.
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
                self.spec.contract, images.shape[2:], self.spec.strides,
                len(images), self.spec.num_classes, self.spec.mask_channels))
        return tuple(output[:count] for output in outputs)

    def _check(self, images: np.ndarray) -> None:
        spec = self.spec
        problem = ''
        if images.ndim != 4 or images.shape[1] != 3 or not len(images):
            problem = 'expected (B, 3, H, W)'
        elif images.dtype != np.float32:
            problem = f'of type {images.dtype}; expected float32'
        elif spec.batch is not None and len(images) > spec.batch:
            problem = (f'the model takes {spec.batch} image(s) at a time; '
                       f'export it with --batch dynamic for any number')
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
        """Give back what the runtime holds."""

    def __enter__(self) -> 'Backend':
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


def first_line(error: Exception) -> str:
    """What a runtime's error says, without where in its source."""
    lines = str(error).strip().splitlines()
    if not lines:
        return f'{type(error).__name__}.'
    # TorchScript begins with where, and ends with what.
    line = lines[-1 if 'TorchScript interpreter' in lines[0] else 0]
    return f'{line[:300].rstrip(".")}.'


def read_spec(text: Optional[str], path: Any, outputs: int) -> Spec:
    """The specification of an exported file.

    Args:
        text (str, optional): Its metadata of ours.
        path (str | Path): Its name.
        outputs (int): How many outputs it has.

    Raises:
        ValueError: If it has none, or one of another number of outputs.
    """
    if not text:
        raise ValueError(
            f'{path} has no metadata {METADATA_KEY!r}, so that how images '
            f'are prepared and which classes there are is unknown. Export '
            f'the model with yolo-world-rep export.')
    spec = Spec.from_json(text, str(path))
    wanted = len(
        shapes_of(spec.contract, spec.image_size, spec.strides, 1,
                  spec.num_classes, spec.mask_channels))
    if outputs != wanted:
        raise ValueError(
            f'{path} has {outputs} output(s); expected {wanted} of its '
            f'contract {spec.contract!r}. Export the model again.')
    return spec


def plain_precision(name: str, precision: Optional[str]) -> None:
    """Refuse what only OpenVINO can choose.

    Raises:
        ValueError: If a precision other than float32 is asked for.
    """
    if precision is not None and PRECISIONS.get(precision) != 'f32':
        raise ValueError(
            f'precision {precision!r}: {name} computes in what the file '
            f'holds. Leave it out, or use an OpenVINO file (.xml).')


def require_file(path: Any) -> Path:
    """The path of a file that exists.

    Raises:
        ValueError: If it does not.
    """
    path = require_regular(path)
    if not path.is_file():
        raise ValueError(f'model {path}: no such file.')
    return path
