"""A config and its checkpoint in PyTorch."""
import logging
import threading
from typing import Any, List, Optional, Sequence

import numpy as np
import torch
from mmengine.config import Config
from mmengine.logging import print_log

from yolo_world_rep.inference.backends.base import (
    Backend,
    plain_precision,
    require_file,
)
from yolo_world_rep.inference.backends.torchscript import to_device
from yolo_world_rep.reparam import Checkpoint, load_checkpoint
from yolo_world_rep.reparam.conversion import with_texts
from yolo_world_rep.text import load_class_texts

from .class_names import test_dataset
from .config_of_checkpoint import config_of_checkpoint
from .fusion import fuse
from .loading import load_detector, read_config
from .spec_of_config import spec_of_config


def flat_outputs(outputs: Sequence[Any]) -> List[np.ndarray]:
    """What a detector gives with ``mode='tensor'``, in the order of ``raw``.

    That is lists with a tensor a level; with masks, the prototypes last.
    """
    return [
        tensor.float().cpu().numpy() for group in outputs
        for tensor in ([group] if isinstance(group, torch.Tensor) else group)]


def _fix_texts(cfg: Config, model: Any) -> None:
    """Have a model with a text encoder encode the config's texts, once."""
    layers = test_dataset(cfg)
    paths = [layer.get('class_text_path') for layer in layers] + [
        step.get('text_path') for layer in layers
        for step in layer.get('pipeline') or ()]
    path = next((path for path in paths if path), None)
    if path is None:
        raise ValueError(
            'The model has a text encoder and the config no texts for it: '
            'set class_text_path of the test data set.')
    model.reparameterize(load_class_texts(path))


class PyTorchBackend(Backend):
    """A detector of this package; a folded one is fused before it runs.

    Without a config it is the one that follows from a folded checkpoint.
    ``threads`` are torch's, in the whole process. Checkpoint and config that
    do not fit each other are a ValueError.
    """
    name = 'PyTorch'

    def __init__(
            self, config: Any, checkpoint: Any, device: str = 'cpu',
            threads: Optional[int] = None, precision: Optional[str] = None,
            cfg_options: Optional[dict] = None, words: Any = None,
            encoder: Optional[str] = None) -> None:
        if config is not None and not isinstance(config, Config):
            require_file(config)
        if checkpoint is None:
            name = getattr(config, 'filename', config)
            raise ValueError(f'{name} is a config: give its `checkpoint` too.')
        if config is None:
            checkpoint = with_texts(
                checkpoint if isinstance(checkpoint, Checkpoint) else
                load_checkpoint(require_file(checkpoint)), words, encoder,
                device)
            config = config_of_checkpoint(checkpoint)
        plain_precision(self.name, precision)
        self.device = to_device(device, threads)
        cfg = read_config(config, cfg_options)
        model, loaded = load_detector(cfg, checkpoint)
        if hasattr(model, 'reparameterize'):
            _fix_texts(cfg, model)
        spec = spec_of_config(cfg, model)
        try:
            model = fuse(model, inplace=True, level=logging.DEBUG)
        except ValueError as error:
            # It is unchanged then, and runs as it was trained.
            print_log(f'Not fused: {error}', 'current')
        self.model = model.to(self.device).eval().requires_grad_(False)
        origin = dict(checkpoint=loaded.path.name, sha256=loaded.sha256)
        super().__init__(spec.with_(provenance=origin), loaded.path)
        self._lock = threading.Lock()

    def _run(self, images: np.ndarray) -> Sequence[np.ndarray]:
        with self._lock, torch.inference_mode():
            inputs = torch.from_numpy(images).to(self.device)
            return flat_outputs(self.model(inputs, mode='tensor'))
