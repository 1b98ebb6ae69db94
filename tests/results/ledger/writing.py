"""Runs to put into ledgers, and processes that put them there at once."""

import json
import multiprocessing

from mechtests.results.ledger import Ledger
from tests import documents


def run(number=0, at="2025-03-01T12:00:00+00:00", **changes):
    """The results file of a small run."""
    made = json.loads(json.dumps(documents.of_every_verdict()))
    made["run"] |= {"id": f"run-{number}", "started": at, **changes}
    return made


def _add_runs(where, numbers, together, outcomes):
    made = run()
    together.wait(120)
    added = [Ledger(where).add(made | {"run": made["run"] | {"id": f"run-{number}"}}) for number in numbers]
    outcomes.put((numbers.start, added))


def writers(where, firsts, many):
    """For each of several processes that add runs to a ledger from the same moment on, which of its runs it added."""
    # One process imports everything once, and the others are copies of it.
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["mechtests.results.ledger"])
    together, outcomes = processes.Barrier(len(firsts)), processes.Queue()
    started = [
        processes.Process(target=_add_runs, args=(where, range(first, first + many), together, outcomes))
        for first in firsts
    ]
    for process in started:
        process.start()
    added = dict(outcomes.get(timeout=240) for _ in started)
    for process in started:
        process.join(120)
    assert [process.exitcode for process in started] == [0] * len(started)
    return [added[first] for first in firsts]
