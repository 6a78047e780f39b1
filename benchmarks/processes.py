"""What calls take, each in a process of its own, in turns.

Each process can thus say how much memory it took, and what else the machine
does meets all of them.
"""
import contextlib
import multiprocessing
import statistics
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Tuple

import torch
from mmengine.logging import MMLogger

Maker = Tuple[Callable[..., Callable[[], Any]], Mapping[str, Any]]

CLEAR = Path('/proc/self/clear_refs')
STATUS = Path('/proc/self/status')


class Cost(NamedTuple):
    """What a call takes.

    Args:
        seconds (float): Median.
        peak_mib (float): Largest memory of its process in a call, in MiB:
            resident, or of the GPU; NaN where the system does not tell.
        call_mib (float): The same without what it was before the first
            call.
        all_seconds (list[float]): Of each round.
        cpu_seconds (list[float]): Of each round, by the processor.
    """
    seconds: float
    peak_mib: float
    call_mib: float
    all_seconds: List[float]
    cpu_seconds: List[float]

    def ratio(self, base: 'Cost', key: str = 'all_seconds') -> float:
        """Median over the rounds of the times as ratios to another's."""
        return statistics.median(
            one / other
            for one, other in zip(getattr(self, key), getattr(base, key)))


def costs_in_turn(makers: Mapping[str, Maker],
                  rounds: int = 20,
                  warm_up: int = 3,
                  threads: int = 1,
                  device: str = 'cpu') -> Dict[str, Cost]:
    """Seconds and memory of calls, each in a process of its own, in turns.

    Args:
        makers (Mapping): Name to a function of a module and its arguments by
            name; it gives the call to measure.
        rounds (int): Measurements of each. Defaults to 20.
        warm_up (int): Calls of each before them. Defaults to 3.
        threads (int): Of torch; one process works at a time. Defaults to 1.
        device (str): Where the calls compute, ``'cpu'`` or ``'cuda'``; the
            memory is that of it. Defaults to 'cpu'.

    Returns:
        dict: The cost by name.

    Raises:
        RuntimeError: If a process ends early; it has printed why.
    """
    context = multiprocessing.get_context('spawn')
    pipes, workers = [], []
    for maker, arguments in makers.values():
        pipe, end = context.Pipe()
        workers.append(
            context.Process(
                target=_serve,
                args=(end, threads, device, maker, arguments),
                daemon=True))
        workers[-1].start()
        end.close()
        pipes.append(pipe)
    taken: Dict[str, list] = {name: [] for name in makers}
    try:
        for _ in range(warm_up + rounds):
            for name, pipe in zip(makers, pipes):
                pipe.send(True)
                taken[name].append(pipe.recv())
        for pipe in pipes:
            pipe.send(False)
    except (EOFError, ConnectionError):
        raise RuntimeError(
            f'The process of {name} ended; see above.') from None
    finally:
        for pipe, worker in zip(pipes, workers):
            pipe.close()
            worker.join()
    return {name: _cost(calls, warm_up) for name, calls in taken.items()}


def _cost(calls: List[tuple], warm_up: int) -> Cost:
    """Of what a process sent."""
    seconds, processor, peaks, before = map(list, zip(*calls[warm_up:]))
    return Cost(
        statistics.median(seconds), max(peaks),
        max(peaks) - before[0], seconds, processor)


def _serve(pipe: Connection, threads: int, device: str, maker: Callable,
           arguments: Mapping[str, Any]) -> None:
    """One call, and what it took, whenever asked."""
    # A line for each parameter that is frozen is too much.
    MMLogger.get_current_instance().setLevel('ERROR')
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    call = maker(**arguments)
    _reset_peak(device)
    before = _peak_mib(device)
    try:
        while pipe.recv():
            _reset_peak(device)
            start = time.perf_counter(), time.process_time()
            call()
            if device != 'cpu':
                torch.cuda.synchronize()
            pipe.send((time.perf_counter() - start[0],
                       time.process_time() - start[1], _peak_mib(device),
                       before))
    except (EOFError, ConnectionError):
        pass  # another process has failed


def _reset_peak(device: str) -> None:
    """Forget the largest memory so far, where the system can."""
    if device != 'cpu':
        torch.cuda.reset_peak_memory_stats()
    else:
        # Where it cannot, the peak is that since the start of the process.
        with contextlib.suppress(OSError):
            CLEAR.write_text('5', encoding='utf-8')


def _peak_mib(device: str) -> float:
    """Largest memory since the last reset."""
    if device != 'cpu':
        return torch.cuda.max_memory_allocated() / 2**20
    if STATUS.exists():
        for line in STATUS.read_text(encoding='utf-8').splitlines():
            if line.startswith('VmHWM'):
                return int(line.split()[1]) / 2**10
    try:
        import resource
    except ImportError:  # a system without
        return float('nan')
    # What a child starts with here is its parent's.
    unit = 2**20 if sys.platform == 'darwin' else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
