"""How long calls take, measured side by side."""
import statistics
import time
from typing import Callable, Dict


def interleaved_medians(calls: Dict[str, Callable[[], object]],
                        rounds: int = 50,
                        warm_up: int = 5) -> Dict[str, float]:
    """Median milliseconds of several calls, by name.

    They take turns, so that other load on the machine slows all alike.
    """
    taken: Dict[str, list] = {name: [] for name in calls}
    for number in range(warm_up + rounds):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if number >= warm_up:
                taken[name].append(time.perf_counter() - start)
    return {name: statistics.median(seconds) * 1000
            for name, seconds in taken.items()}
