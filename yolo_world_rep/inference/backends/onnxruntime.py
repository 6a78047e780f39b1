"""ONNX files in ONNX Runtime."""
from typing import Any, Optional, Sequence

import numpy as np

from ..external_weights import check_weights_inside
from ..seal import check_seal
from ..spec import METADATA_KEY
from .base import (
    Backend,
    import_runtime,
    plain_precision,
    read_spec,
    require_file,
)

PROVIDERS = dict(cpu='CPUExecutionProvider', cuda='CUDAExecutionProvider')


def _provider(runtime: Any, device: str) -> Any:
    kind, _, index = device.partition(':')
    available = runtime.get_available_providers()
    name = PROVIDERS.get(kind)
    if name not in available or (index and not index.isdigit()):
        known = [kind for kind in PROVIDERS if PROVIDERS[kind] in available]
        raise ValueError(f'device {device!r}: the ONNX Runtime installed '
                         f'here has {" and ".join(known)} only.')
    return (name, dict(device_id=int(index))) if index and kind != 'cpu' else (
        name)


class ONNXBackend(Backend):
    """An ``.onnx`` file, on ``'cpu'`` or ``'cuda'``."""

    name = 'ONNX Runtime'
    runtime_errors = (Exception, )

    def __init__(self, path: Any, device: str = 'cpu',
                 threads: Optional[int] = None,
                 precision: Optional[str] = None) -> None:
        path = require_file(path)
        plain_precision(self.name, precision)
        runtime = import_runtime('onnxruntime', '.onnx files', 'onnx')
        check_weights_inside(path, check_seal([path]))
        options = runtime.SessionOptions()
        options.log_severity_level = 3
        if threads is not None:
            options.intra_op_num_threads = threads
            options.inter_op_num_threads = 1
        # Threads that wait by spinning take the cores from those that load
        # and draw.
        options.add_session_config_entry('session.intra_op.allow_spinning',
                                         '0')
        providers = [_provider(runtime, device)]
        try:
            self.session = runtime.InferenceSession(
                str(path), options, providers=providers)
        except Exception as error:  # its errors have no class in common
            raise ValueError(f'{path} cannot be read by ONNX Runtime '
                             f'{runtime.__version__}: {error}') from error
        try:
            metadata = self.session.get_modelmeta().custom_metadata_map
        except UnicodeDecodeError as error:
            raise ValueError(f'{path}: its metadata is not text ({error}). '
                             f'Export the model again.') from error
        super().__init__(read_spec(metadata.get(METADATA_KEY), path,
                                   len(self.session.get_outputs())), path)
        inputs = self.session.get_inputs()
        if len(inputs) != 1:
            raise ValueError(f'{path} has {len(inputs)} inputs; expected one '
                             f'of images. Export the model again.')
        self._input = inputs[0].name

    def _run(self, images: np.ndarray) -> Sequence[np.ndarray]:
        return self.session.run(None, {self._input: images})
