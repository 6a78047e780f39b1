"""Detectors in the runtimes that this package knows."""
import logging
import os
from importlib import import_module
from pathlib import Path
from typing import Any, Optional

from ...utils.log import log
from ..processor import saturation_warning
from .base import Backend

__all__ = ['SUFFIXES', 'Backend', 'open_backend']

#: Endings of the files that can be run, and their runtimes.
SUFFIXES = {
    '.py': 'pytorch',
    '.pth': 'pytorch',
    '.safetensors': 'pytorch',
    '.onnx': 'onnx',
    '.xml': 'openvino',
    '.torchscript': 'torchscript',
    '.pt': 'torchscript',
}
CHECKPOINTS = ('.pth', '.safetensors')
# By name, since each needs what only it needs; and the first stands on the
# models of this package, which stand on this module's.
BACKENDS = {
    'pytorch': 'yolo_world_rep.detector.pytorch_backend:PyTorchBackend',
    'onnx': 'yolo_world_rep.inference.backends.onnxruntime:ONNXBackend',
    'openvino': 'yolo_world_rep.inference.backends.openvino:OpenVINOBackend',
    'torchscript':
    'yolo_world_rep.inference.backends.torchscript:TorchScriptBackend',
}


def open_backend(model: Any,
                 checkpoint: Any = None,
                 *,
                 device: str = 'cpu',
                 threads: Optional[int] = None,
                 precision: Optional[str] = None,
                 throughput: bool = False,
                 cfg_options: Optional[dict] = None,
                 words: Any = None,
                 encoder: Optional[str] = None) -> Backend:
    """Load a detector into the runtime that its file is for.

    An INT8 file that this processor may compute wrongly is opened with a
    warning, see :mod:`~..processor`.

    Args:
        model (str | Path | Config): A checkpoint (``.pth``,
            ``.safetensors``), a file of yolo-world-rep export (``.onnx``,
            ``.xml`` of OpenVINO, ``.torchscript``, ``.pt``), or a config
            (``.py``, or read already).
        checkpoint (str | Path, optional): Of a config, and only then.
        device (str): ``'cpu'``, ``'cuda'`` or another of the runtime's.
            Defaults to ``'cpu'``.
        threads (int, optional): To compute with, None for its choice.
        precision (str, optional): To compute in, of OpenVINO alone; None for
            float32, or what the file holds.
        throughput (bool): Whether OpenVINO runs several batches at a time;
            :attr:`Backend.concurrency` says how many. Defaults to False.
        cfg_options (dict, optional): Settings to override in a config.
        words (str | Path | Sequence[str], optional): The classes of a
            text-conditioned checkpoint, or a file of them; they are folded
            into it in memory, see :func:`~.text.embed_words`.
        encoder (str, optional): What embeds the words, None for the CLIP of
            the public models.

    Returns:
        Backend: To be closed when done; it is a context manager.

    Raises:
        ValueError: If file and arguments do not go together.
        ImportError: If the runtime is not installed.
    """
    is_config = not isinstance(model, (str, os.PathLike))
    suffix = '.py' if is_config else Path(str(model)).suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(f'model {model}: expected a file that ends in '
                         f'{", ".join(SUFFIXES)}.')
    if threads is not None and threads < 1:
        raise ValueError(f'`threads` {threads}: expected 1 or more.')
    settings: dict = dict(device=device, threads=threads, precision=precision)
    kind = SUFFIXES[suffix]
    if suffix in CHECKPOINTS:
        if checkpoint is not None:
            raise ValueError(
                f'model {model} and `checkpoint` {checkpoint}: the model is a '
                f'checkpoint itself. Leave the other out, or give a config '
                f'as the model.')
        model, checkpoint = None, model
        settings.update(words=words, encoder=encoder)
    elif words:
        raise ValueError(
            f'`words`: {model} has its classes already. Leave it out, or give '
            f'a text-conditioned checkpoint as the model.')
    module, _, name = BACKENDS[kind].partition(':')
    opened = getattr(import_module(module), name)
    if kind == 'pytorch':
        return opened(model, checkpoint, cfg_options=cfg_options, **settings)
    for name, value in (('checkpoint', checkpoint),
                        ('cfg_options', cfg_options)):
        if value:
            raise ValueError(
                f'`{name}` {value}: {model} is an exported file and has its '
                f'weights and settings in it. Leave it out.')
    if kind == 'openvino':
        settings.update(throughput=throughput)
    backend = opened(model, **settings)
    warning = saturation_warning(backend.spec, backend.path)
    if warning and device.lower() in ('cpu', 'auto'):
        log(warning, logging.WARNING)
    return backend
