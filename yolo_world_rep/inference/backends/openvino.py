"""OpenVINO's files in OpenVINO."""
import queue
from functools import lru_cache
from typing import Any, Dict, Optional, Sequence

import numpy as np

from yolo_world_rep.utils.files import locked

from ..seal import find_weights
from ..spec import METADATA_KEY
from .base import (
    PRECISIONS,
    Backend,
    first_line,
    import_runtime,
    read_spec,
    require_file,
)

# What OpenVINO says of a device that computes in a precision.
CAPABILITIES = dict(bf16='BF16', f16='FP16')


def _runtime() -> Any:
    return import_runtime('openvino', "OpenVINO's .xml files", 'openvino')


@lru_cache(None)
def _core() -> Any:
    """The one of this process; it stays.

    Its CPU plugin gives the thread that loads it another stack for signals,
    and takes that away from whichever thread frees it: the next signal that a
    handler of Python waits for, such as the end of a child, ended the process.
    """
    return _runtime().Core()


def require_precision(device: str, precision: str) -> str:
    """OpenVINO's name of a precision that a device can compute in.

    OpenVINO itself would silently compute in another one.
    """
    if precision not in PRECISIONS:
        raise ValueError(f'precision {precision!r}; expected '
                         f'{", ".join(PRECISIONS)}.')
    name = PRECISIONS[precision]
    needed = CAPABILITIES.get(name)
    if needed and needed not in _core().get_property(
            device, 'OPTIMIZATION_CAPABILITIES'):
        raise ValueError(f'precision {precision}: the {device} has no such '
                         f'instructions. Leave it out.')
    return name


class OpenVINOBackend(Backend):
    """An ``.xml`` file with its ``.bin`` beside it, on any device of OpenVINO.

    It computes in ``'f32'``, ``'bf16'`` or ``'f16'``, as requested: OpenVINO
    would take the fastest of the CPU, which may be bf16. With ``throughput``
    several runs share the cores: each takes longer, all of them less.
    """

    name = 'OpenVINO'
    runtime_errors = (Exception, )

    def __init__(self, path: Any, device: str = 'cpu',
                 threads: Optional[int] = None,
                 precision: Optional[str] = None, throughput: bool = False
                 ) -> None:
        path = require_file(path)
        version, core = _runtime().__version__, _core()
        device = device.upper()
        if device != 'AUTO' and device not in core.available_devices:
            raise ValueError(
                f'device {device.lower()!r}: OpenVINO has '
                f'{", ".join(core.available_devices).lower()} here.')
        self.precision = require_precision(device, precision or 'f32')
        with locked(path.parent, shared=True):  # of two files
            weights = find_weights(path)
            try:
                model = core.read_model(str(path), str(weights))
                text = None
                if model.has_rt_info(METADATA_KEY):
                    text = model.get_rt_info(METADATA_KEY).astype(str)
            except Exception as error:
                raise ValueError(f'{path} cannot be read by OpenVINO '
                                 f'{version}: {first_line(error)}') from error
        super().__init__(read_spec(text, path, len(model.outputs)), path)
        config: Dict[str, Any] = dict(
            PERFORMANCE_HINT='THROUGHPUT' if throughput else 'LATENCY',
            INFERENCE_PRECISION_HINT=self.precision)
        if threads is not None and device == 'CPU':
            config['INFERENCE_NUM_THREADS'] = threads
        try:
            self.compiled = core.compile_model(model, device, config)
        except Exception as error:
            raise ValueError(f'{path} cannot be run by OpenVINO {version}: '
                             f'{first_line(error)}') from error
        if throughput:
            self.concurrency = self.compiled.get_property(
                'OPTIMAL_NUMBER_OF_INFER_REQUESTS')
        # Made where they are needed, as many as threads call at a time.
        self._requests: queue.SimpleQueue = queue.SimpleQueue()
        # The first inference of a process prepares things within the
        # binding, where two threads that come together wait for each other.
        size = (max(self.spec.strides), ) * 2 if self.spec.dynamic else (
            self.spec.image_size)
        self.run(np.zeros((self.spec.batch or 1, 3, *size), np.float32))

    def _run(self, images: np.ndarray) -> Sequence[np.ndarray]:
        try:
            request = self._requests.get_nowait()
        except queue.Empty:
            request = self.compiled.create_infer_request()
        request.infer([np.ascontiguousarray(images)], share_inputs=True)
        # The next run of this request writes over its tensors.
        outputs = [np.array(request.get_output_tensor(index).data)
                   for index in range(len(self.compiled.outputs))]
        self._requests.put(request)
        return outputs

    def close(self) -> None:
        while not self._requests.empty():
            self._requests.get_nowait()
