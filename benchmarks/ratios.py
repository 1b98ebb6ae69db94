"""Times as ratios: what is compared runs in turns, in one process, so that a busy machine slows both alike."""

import time
from collections.abc import Callable
from statistics import median


def seconds(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def ratios(runs: dict[str, Callable[[], object]], against: str, rounds: int = 5) -> dict[str, float]:
    """The median time of each run, in units of the one called ``against``; each runs once before it counts."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for each in range(rounds + 1):
        for name, run in runs.items():
            taken = seconds(run)
            if each:
                times[name].append(taken)
    return {name: median(taken) / median(times[against]) for name, taken in times.items()}
