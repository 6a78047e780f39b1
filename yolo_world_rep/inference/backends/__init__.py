"""Detectors in the runtimes that this package knows."""
import logging
from pathlib import Path
from typing import Any, Optional

from mmengine.config import Config
from mmengine.logging import print_log

from ..processor import saturation_warning
from .base import Backend

__all__ = ['SUFFIXES', 'Backend', 'open_backend']

#: Endings of the files that can be run, and their runtimes.
SUFFIXES = {
    '.py': 'pytorch',
    '.onnx': 'onnx',
    '.xml': 'openvino',
    '.torchscript': 'torchscript',
    '.pt': 'torchscript',
}


def open_backend(model: Any,
                 checkpoint: Any = None,
                 *,
                 device: str = 'cpu',
                 threads: Optional[int] = None,
                 precision: Optional[str] = None,
                 throughput: bool = False,
                 cfg_options: Optional[dict] = None) -> Backend:
    """Load a detector into the runtime that its file is for.

    A file in INT8 that this processor may compute wrongly is opened with a
    warning, see :mod:`~..processor`.

    Args:
        model (str | Path | Config): A config (``.py``, or read already), or
            a file of yolo-world-rep export: ``.onnx``, ``.xml`` of OpenVINO,
            ``.torchscript`` or ``.pt``.
        checkpoint (str | Path, optional): Of a config, and only then.
        device (str): ``'cpu'``, ``'cuda'`` or another of the runtime's.
            Defaults to ``'cpu'``.
        threads (int, optional): To compute with. Defaults to None for the
            runtime's choice.
        precision (str, optional): To compute in, of OpenVINO alone.
            Defaults to None for float32, or what the file holds.
        throughput (bool): Whether OpenVINO runs several batches at a time;
            :attr:`Backend.concurrency` says how many. Defaults to False.
        cfg_options (dict, optional): Settings to override in a config.

    Returns:
        Backend: To be closed when done; it is a context manager.

    Raises:
        ValueError: If file and arguments do not go together.
        ImportError: If the runtime is not installed.
    """
    is_config = isinstance(model, Config)
    suffix = '.py' if is_config else Path(str(model)).suffix.lower()
    kind = SUFFIXES.get(suffix)
    if kind is None:
        hint = ''
        if suffix == '.pth':
            hint = (' A checkpoint is run with its config: the config as '
                    'the model, --checkpoint with the file.')
        raise ValueError(f'model {model}: expected a file that ends in '
                         f'{", ".join(SUFFIXES)}.{hint}')
    if threads is not None and threads < 1:
        raise ValueError(f'threads {threads}: expected 1 or more.')
    settings: dict = dict(device=device, threads=threads, precision=precision)
    if kind == 'pytorch':
        from .pytorch import PyTorchBackend
        return PyTorchBackend(
            model, checkpoint, cfg_options=cfg_options, **settings)
    for name, value in (('checkpoint', checkpoint),
                        ('cfg-options', cfg_options)):
        if value:
            raise ValueError(
                f'--{name} {value}: {model} is an exported file and has its '
                f'weights and settings in it. Leave it out.')
    backend: Backend
    if kind == 'onnx':
        from .onnxruntime import ONNXBackend
        backend = ONNXBackend(model, **settings)
    elif kind == 'openvino':
        from .openvino import OpenVINOBackend
        backend = OpenVINOBackend(model, throughput=throughput, **settings)
    else:
        from .torchscript import TorchScriptBackend
        backend = TorchScriptBackend(model, **settings)
    warning = saturation_warning(backend.spec, backend.path)
    if warning and device.lower() in ('cpu', 'auto'):
        print_log(warning, 'current', logging.WARNING)
    return backend
