"""TorchScript files."""
import threading
from typing import Any, Optional, Sequence

import numpy as np

from yolo_world_rep.checkpoint_file import check_torchscript

from ..spec import METADATA_FILE
from .base import (
    Backend,
    first_line,
    plain_precision,
    read_spec,
    require_file,
)
from .pytorch import to_device


class TorchScriptBackend(Backend):
    """A ``.torchscript`` or ``.pt`` file.

    Args:
        path (str | Path): The file.
        device (str): Of torch, ``'cpu'`` or ``'cuda:0'``.
            Defaults to ``'cpu'``.
        threads (int, optional): Of torch, in the whole process.
            Defaults to None for torch's choice.
        precision (str, optional): None or ``'f32'``.

    Raises:
        ValueError: If the file is not one of yolo-world-rep export, or
            anything asked for cannot be had.
    """
    name = 'TorchScript'
    runtime_errors = (Exception, )

    def __init__(self,
                 path: Any,
                 device: str = 'cpu',
                 threads: Optional[int] = None,
                 precision: Optional[str] = None) -> None:
        import torch
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
                f'{path} is no TorchScript file of tools/export.py: '
                f'{first_line(error)} A checkpoint is run with its config: '
                f'the config as the model, --checkpoint with the '
                f'file.') from error
        text = files[METADATA_FILE]
        if isinstance(text, bytes):
            text = text.decode('utf-8', 'replace')
        count = len(types.elements()) if hasattr(types, 'elements') else 1
        super().__init__(read_spec(text, path, count), path)
        self._lock = threading.Lock()

    def _run(self, images: np.ndarray) -> Sequence[np.ndarray]:
        import torch
        with self._lock, torch.inference_mode():
            outputs = self.module(torch.from_numpy(images).to(self.device))
            return [output.cpu().numpy() for output in outputs]
