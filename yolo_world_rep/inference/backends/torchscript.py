"""TorchScript files."""
import threading
from typing import Any, Optional, Sequence

import numpy as np
import torch

from yolo_world_rep.checkpoint_file import check_torchscript

from ..spec import METADATA_FILE
from .base import Backend, first_line, plain_precision, read_spec, require_file


def require_device(device: str, error: Optional[Exception] = None) -> None:
    """``ValueError`` if a CPU or GPU is not there, with those that are."""
    gpus = [f'cuda:{number}' for number in range(torch.cuda.device_count())]
    if error or device not in ('cpu', *gpus, *['cuda'][:len(gpus)]):
        reason = f' ({str(error).splitlines()[0]})' if error else ''
        raise ValueError(
            f'device {device!r}: torch has no such device here{reason}; it '
            f'has {", ".join(["cpu", *gpus])}.') from error


def to_device(device: str, threads: Optional[int] = None) -> torch.device:
    """A device of torch that is there; ``threads`` are of the process."""
    try:
        found = torch.device(device)
        torch.zeros(1, device=found)
    except Exception as error:  # of several kinds, by the device
        require_device(device, error)
    if threads is not None:
        torch.set_num_threads(threads)
    return found


class TorchScriptBackend(Backend):
    """A ``.torchscript`` or ``.pt`` file, on a device of torch."""

    name = 'TorchScript'
    runtime_errors = (Exception, )

    def __init__(self, path: Any, device: str = 'cpu',
                 threads: Optional[int] = None,
                 precision: Optional[str] = None) -> None:
        path = require_file(path)
        plain_precision(self.name, precision)
        self.device = to_device(device, threads)
        files = {METADATA_FILE: ''}
        check_torchscript(path)
        try:
            self.module = torch.jit.load(
                str(path), map_location=self.device, _extra_files=files)
            self.module.eval()
            types = self.module.forward.schema.returns[0].type
        except Exception as error:
            raise ValueError(
                f'{path} is no TorchScript file of yolo-world-rep export: '
                f'{first_line(error)} A checkpoint must have a name that ends '
                f'in .pth.') from error
        text = files[METADATA_FILE]
        if isinstance(text, bytes):
            text = text.decode('utf-8', 'replace')
        count = len(types.elements()) if hasattr(types, 'elements') else 1
        super().__init__(read_spec(text, path, count), path)
        self._lock = threading.Lock()

    def _run(self, images: np.ndarray) -> Sequence[np.ndarray]:
        with self._lock, torch.inference_mode():
            outputs = self.module(torch.from_numpy(images).to(self.device))
            return [output.cpu().numpy() for output in outputs]
