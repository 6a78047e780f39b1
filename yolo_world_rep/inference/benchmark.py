"""How long models of any form take, side by side."""
from contextlib import ExitStack
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ..utils.timing import interleaved_medians
from .backends import CHECKPOINTS, SUFFIXES, Backend, open_backend
from .letterbox import Preprocess
from .predictor import input_size


class Latency(NamedTuple):
    """The median milliseconds of a model for a batch (B, 3, H, W).

    ``precision`` is what the runtime computes in, ``'int8'`` of a quantized
    file; ``ratio`` is the time for an image, relative to the first model's.
    """
    model: str
    checkpoint: Optional[str]
    runtime: str
    precision: str
    shape: Tuple[int, ...]
    milliseconds: float
    ratio: float

    @property
    def milliseconds_an_image(self) -> float:
        return self.milliseconds / self.shape[0]


def pair_checkpoints(models: Sequence[Any],
                     checkpoints: Sequence[Any]) -> List[Optional[Any]]:
    """The checkpoint of each model: in turn to the configs, else None."""
    configs = [model for model in models
               if Path(str(model)).suffix.lower() == '.py']
    if len(configs) != len(checkpoints):
        raise ValueError(
            f'{len(configs)} config(s) and {len(checkpoints)} checkpoint(s): '
            f'give `checkpoints` for each config, in their order.')
    waiting = iter(checkpoints)
    return [next(waiting) if model in configs else None for model in models]


def takes_words(model: Any) -> bool:
    """Whether a model is a text-conditioned checkpoint."""
    if isinstance(model, Backend) or (
            Path(str(model)).suffix.lower() not in CHECKPOINTS):
        return False
    # By name, as the backends are: that room stands on this one.
    loaded = import_module('yolo_world_rep.reparam').load_checkpoint(model)
    return loaded.description.text_conditioned


def compare_latency(models: Sequence[Any],
                    checkpoints: Sequence[Any] = (),
                    *,
                    batch: Optional[int] = None,
                    image_size: Optional[Tuple[int, int]] = None,
                    rounds: int = 30,
                    warm_up: int = 5,
                    device: str = 'cpu',
                    threads: Optional[int] = None,
                    precision: Optional[str] = None,
                    cfg_options: Optional[dict] = None,
                    words: Any = None,
                    encoder: Optional[str] = None) -> List[Latency]:
    """Time models in one process, in turns, on the same noise.

    What is timed is the model alone, from the prepared images to its outputs:
    reading and scaling images is not in it, and suppression only where the
    file does it itself. ``models`` are files, configs, or open backends, which
    stay open. ``checkpoints`` are of the configs, in their order; ``batch``
    defaults to each file's fixed number, else 1, ``image_size``
    (H, W) to the one that a model is tested with. ``words`` and ``encoder``
    are for the text-conditioned checkpoints among the models.
    """
    for name, value, least in (('batch', batch, 1), ('rounds', rounds, 1),
                               ('warm_up', warm_up, 0)):
        if value is not None and value < least:
            raise ValueError(f'`{name}` {value}: expected {least} or more.')
    pairs = list(zip(models, pair_checkpoints(models, checkpoints)))
    kinds = [SUFFIXES.get(Path(str(model)).suffix.lower()) for model in models]
    if precision is not None and 'openvino' not in kinds:
        raise ValueError(f'precision {precision}: only OpenVINO files (.xml) '
                         f'have a choice, and there is none among the '
                         f'models. Leave it out.')
    texts = [dict(words=words, encoder=encoder)
             if words and takes_words(each) else {} for each in models]
    if words and not any(texts):
        raise ValueError('`words`: none of the models is a text-conditioned '
                         'checkpoint. Leave it out.')
    with ExitStack() as stack:
        backends = [model if isinstance(model, Backend) else
                    stack.enter_context(open_backend(
                        model, checkpoint, device=device, threads=threads,
                        precision=precision if kind == 'openvino' else None,
                        cfg_options=cfg_options if kind == 'pytorch' else None,
                        **own)) for (model, checkpoint), kind, own in zip(
                            pairs, kinds, texts)]
        calls: Dict[str, Any] = {}
        shapes = []
        for number, backend in enumerate(backends):
            spec = backend.spec
            prepare = Preprocess(spec, input_size(spec, image_size))
            # The same noise for all that take the same size.
            rng = np.random.default_rng(0)
            images = np.stack([
                prepare(rng.integers(0, 256, (*prepare.size, 3), np.uint8))[0]
                for _ in range(batch or spec.batch or 1)])
            calls[str(number)] = partial(backend.run, images)
            shapes.append(images.shape)
        taken = list(interleaved_medians(calls, rounds, warm_up).values())
        first = taken[0] / shapes[0][0]
        return [
            Latency(
                str(backend.path if model is backend else model),
                None if checkpoint is None else str(checkpoint), backend.name,
                'int8' if backend.spec.precision == 'int8' else
                backend.precision, shape, each, each / shape[0] / first)
            for (model, checkpoint), backend, shape, each in zip(
                pairs, backends, shapes, taken)
        ]
