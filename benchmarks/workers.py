"""Measurements that take turns, each in a process of its own.

Each can thus say how much memory it took, and what else the machine does
meets all of them.
"""
import multiprocessing
import resource
import statistics
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Callable, Dict, List

import torch

CLEAR = Path('/proc/self/clear_refs')
STATUS = Path('/proc/self/status')


def reset_peak(device: str) -> None:
    """Forget the largest memory so far, where the system can."""
    if device == 'cuda':
        torch.cuda.reset_peak_memory_stats()
    elif CLEAR.exists():
        CLEAR.write_text('5')


def peak_mib(device: str) -> float:
    """Largest memory since the last reset, MiB."""
    if device == 'cuda':
        return torch.cuda.max_memory_allocated() / 2**20
    if STATUS.exists():
        for line in STATUS.read_text().splitlines():
            if line.startswith('VmHWM'):
                return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def resident_mib(device: str) -> float:
    """Memory now, MiB."""
    reset_peak(device)
    return peak_mib(device)


def _serve(pipe: Connection, prepare: Callable[..., Callable[[], Any]],
           case: Dict[str, Any], device: str, threads: int) -> None:
    """Run what was prepared whenever asked; send seconds and memory."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    run = prepare(device=device, **case)
    before = resident_mib(device)
    while pipe.recv():
        reset_peak(device)
        start = time.perf_counter(), time.process_time()
        run()
        if device == 'cuda':
            torch.cuda.synchronize()
        pipe.send((time.perf_counter() - start[0],
                   time.process_time() - start[1], peak_mib(device), before))


def take_turns(prepare: Callable[..., Callable[[], Any]],
               cases: List[Dict[str, Any]],
               rounds: int,
               device: str,
               threads: int) -> List[Dict[str, Any]]:
    """Rounds of all cases, the first one not counted.

    Args:
        prepare (Callable): Makes what is measured from a case and
            ``device``; a function of a module, called in a process of its
            own for each case.
        cases (list[dict]): Its arguments.
        rounds (int): How many.
        device (str): ``'cpu'`` or ``'cuda'``.
        threads (int): Of each process; one works at a time.

    Returns:
        list[dict]: Each case with ``seconds``, the median; ``peak_mib`` of
        the process, ``step_mib`` of it beyond what it had when all was
        prepared, and ``all_seconds`` and ``cpu_seconds`` of all rounds.
    """
    context = multiprocessing.get_context('spawn')
    pipes, workers = [], []
    for case in cases:
        pipe, end = context.Pipe()
        workers.append(
            context.Process(
                target=_serve, args=(end, prepare, case, device, threads)))
        workers[-1].start()
        end.close()
        pipes.append(pipe)
    found: List[List[tuple]] = [[] for _ in cases]
    try:
        for _ in range(rounds + 1):
            for pipe, steps in zip(pipes, found):
                pipe.send(True)
                steps.append(pipe.recv())
    except EOFError:
        raise RuntimeError(
            'A process of this benchmark ended; see above.') from None
    finally:
        for pipe, worker in zip(pipes, workers):
            if worker.is_alive():
                pipe.send(False)
            worker.join()
    rows = []
    for case, (_, *steps) in zip(cases, found):
        seconds, processor, peaks, before = map(list, zip(*steps))
        rows.append(
            dict(
                case,
                seconds=statistics.median(seconds),
                peak_mib=max(peaks),
                step_mib=max(peaks) - before[0],
                all_seconds=seconds,
                cpu_seconds=processor))
    return rows


def paired(row: Dict[str, Any],
           base: Dict[str, Any],
           key: str = 'all_seconds') -> float:
    """Median ratio of two cases' times, round by round."""
    return statistics.median(
        one / other for one, other in zip(row[key], base[key]))
