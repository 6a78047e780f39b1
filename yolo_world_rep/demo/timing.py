"""How long models take, measured side by side."""
import multiprocessing
import resource
import statistics
import sys
import time
from multiprocessing.connection import Connection
from typing import Callable, Dict, Mapping, NamedTuple, Optional, Tuple

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from torch import nn

from ..utils.files import PathLike

Maker = Tuple[Callable[..., Callable[[], None]], tuple]


class Cost(NamedTuple):
    """What a call takes.

    Args:
        seconds (float): Median.
        peak_mib (float): Largest resident memory of its process, in MiB.
        call_mib (float): The same without what it was before the first
            call.
    """
    seconds: float
    peak_mib: float
    call_mib: float


def network(model: nn.Module, batch: dict) -> Callable[[], None]:
    """A call of the network on one image: no loading, no NMS.

    Args:
        model (nn.Module): A detector in evaluation mode.
        batch (dict): A batch of a test loader; the first image counts.
    """
    one = {key: value[:1] for key, value in batch.items()}
    data = model.data_preprocessor(one, False)

    @torch.no_grad()
    def call() -> None:
        features = model.extract_feat(data['inputs'], data['data_samples'])
        model.bbox_head.forward(features)

    return call


def interleaved_medians(calls: Dict[str, Callable[[], None]],
                        rounds: int = 50,
                        warm_up: int = 5) -> Dict[str, float]:
    """Median milliseconds of several calls, taken in turns.

    In turns, since what else the machine does changes with the time: it
    slows all of them alike.

    Args:
        calls (dict): What to measure, by name.
        rounds (int): Number of measurements of each. Defaults to 50.
        warm_up (int): Rounds before them. Defaults to 5.

    Returns:
        dict: Median milliseconds by name.
    """
    taken: Dict[str, list] = {name: [] for name in calls}
    for number in range(warm_up + rounds):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if number >= warm_up:
                taken[name].append(time.perf_counter() - start)
    return {
        name: statistics.median(seconds) * 1000
        for name, seconds in taken.items()
    }


def training_step(config: PathLike,
                  width: Optional[float] = None) -> Callable[[], None]:
    """A call that makes a step on the first batch of a training.

    Args:
        config (str | Path): Of a training; its checkpoint is not loaded.
        width (float, optional): Another ``widen_factor`` of all parts.
    """
    from mmyolo.registry import MODELS

    import yolo_world_rep  # noqa: F401  registers the models

    from ..engine.variables import find, resolve_variables
    cfg, _ = resolve_variables(Config.fromfile(config))
    if width is not None:
        for holder, name, _ in find(cfg._cfg_dict,
                                    ['model', '**', 'widen_factor']):
            holder[name] = width
    cfg.train_dataloader.update(num_workers=0, persistent_workers=False)
    with DefaultScope.overwrite_default_scope('mmyolo'):
        model = MODELS.build(cfg.model).train()
        batch = next(iter(Runner.build_dataloader(
            cfg.train_dataloader, seed=0)))
        optimizer = build_optim_wrapper(model, cfg.optim_wrapper)

    def call() -> None:
        model.train_step(batch, optimizer)

    return call


def costs_in_turn(makers: Mapping[str, Maker],
                  rounds: int = 20,
                  warm_up: int = 3,
                  threads: int = 1) -> Dict[str, Cost]:
    """Seconds and memory of calls, each in a process of its own, in turns.

    Args:
        makers (Mapping): Name to a function of a module and its arguments;
            it gives the call to measure.
        rounds (int): Measurements of each. Defaults to 20.
        warm_up (int): Calls of each before them. Defaults to 3.
        threads (int): Of torch. Defaults to 1.

    Returns:
        dict: The cost by name.
    """
    context = multiprocessing.get_context('spawn')
    pipes, workers = {}, []
    for name, (maker, arguments) in makers.items():
        pipes[name], end = context.Pipe()
        workers.append(
            context.Process(
                target=_serve,
                args=(end, threads, maker, arguments),
                daemon=True))
        workers[-1].start()
        end.close()
    taken: Dict[str, list] = {name: [] for name in makers}
    for _ in range(warm_up + rounds):
        for name, pipe in pipes.items():
            pipe.send(True)
            taken[name].append(pipe.recv())
    for pipe, worker in zip(pipes.values(), workers):
        pipe.send(False)
        worker.join()
    return {
        name: Cost(
            statistics.median(seconds for seconds, _, _ in calls[warm_up:]),
            calls[-1][2], calls[-1][2] - calls[-1][1])
        for name, calls in taken.items()
    }


def _serve(pipe: Connection, threads: int, maker: Callable,
           arguments: tuple) -> None:
    """One call, and what it took, whenever asked."""
    # A line for each parameter that is frozen is too much.
    MMLogger.get_current_instance().setLevel('ERROR')
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    call = maker(*arguments)
    start = _peak_mib()
    while pipe.recv():
        begin = time.perf_counter()
        call()
        pipe.send((time.perf_counter() - begin, start, _peak_mib()))


def _peak_mib() -> float:
    """Largest resident memory of this process so far."""
    unit = 2**20 if sys.platform == 'darwin' else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
