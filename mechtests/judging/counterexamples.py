"""Counterexamples: the simplest input of a family on which a claim fails, and how far around it the claim fails.

The search starts from the units that the claim's rate was estimated from. Where one of them fails, Hypothesis shrinks
it. Where none does, Hypothesis proposes inputs in batches, and then climbs down the margin from the input that came
closest to failing. Its inputs are no sample, so no rate is ever made from them.
"""

import json
import time
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any

import hypothesis
from hypothesis import strategies as st
from hypothesis.database import ExampleDatabase

from mechtests.families import Family, Point, Rendering
from mechtests.judging.answers import Answer, Answers, Put, point_key
from mechtests.judging.proposals import Start, propose
from mechtests.judging.sampling import SampledUnits

BATCHES, WIDTH = 10, 32
"""How many batches Hypothesis proposes, and of how many inputs at most."""
DEPTH = 50
"""How many inputs Hypothesis tries on the way from the one that came closest to failing to one that fails."""
SHRINKS = 500
"""How many inputs Hypothesis tries on the way from one that fails to the simplest."""
ASKED_AGAIN = 2
"""How often a counterexample must fail again, by itself, to be reported."""
GRID, FINER, ROUNDS = 101, 21, 3
"""To see where a claim holds again, a parameter takes so many values over its range, then so many between the last that
fails and the first that does not, in so many rounds."""


@dataclass(frozen=True)
class Counterexample:
    """An input on which a claim fails.

    Attributes:
        point: its parameters.
        drawing: how it is shown.
        answer: what the claim's body says of it.
        fails: by parameter, the lowest and the highest value around the input's own with which the claim fails, the
            other parameters as they are.
    """

    point: Point
    drawing: Rendering
    answer: Answer
    fails: dict[str, tuple[float, float]]


@dataclass(frozen=True)
class Search:
    """What a search came to.

    Attributes:
        counterexample: what was found, if anything was.
        reason: why nothing was found.
        replayed: whether what was found was known from an earlier run.
        inputs: how many different inputs were put to the claim's body.
        seconds: time taken.
    """

    counterexample: Counterexample | None = None
    reason: str | None = None
    replayed: bool = False
    inputs: int = 0
    seconds: float = 0.0


def search(
    put: Put, drawn: SampledUnits, *, seed: int, budget: int, kept: ExampleDatabase | None = None, key: bytes = b""
) -> Search:
    """The simplest input on which a claim fails, if one is found.

    Args:
        put: puts a batch to the claim's body; generators and all else must be as they were at every call.
        drawn: the family, and the units of the estimate that the search starts from.
        seed: decides what Hypothesis proposes.
        budget: at most so many inputs are proposed in batches.
        kept: where counterexamples stay from run to run; one that is there and still fails needs no search.
        key: under which name.
    """
    began = time.perf_counter()
    answers, reported = Answers(put, drawn), Answers(put, drawn)
    # What is reported is asked apart from the search, so that it takes the same batches when the search is left out.
    if (point := _replayed(reported, kept, key)) is not None:
        found = Search(_counterexample(reported, point), replayed=True)
    else:
        point, reason = _searched(answers, drawn, seed, budget)
        found = Search(_counterexample(reported, point) if point else None, reason)
        if kept and point:
            kept.save(key, json.dumps(point).encode())
    return replace(found, inputs=len(answers.known | reported.known), seconds=time.perf_counter() - began)


def _replayed(answers: Answers, kept: ExampleDatabase | None, key: bytes) -> Point | None:
    """A kept point that still fails. One that does not is kept no longer."""
    for value in sorted(kept.fetch(key)) if kept else ():
        point = _read(value, answers.family)
        if point and answers.of([point])[0].fails:
            return point
        if kept:
            kept.delete(key, value)
    return None


def _read(value: bytes, family: Family[Any]) -> Point | None:
    """The point that was kept; ``None`` where it is none of this family, which may have changed since."""
    ranges = family.parameters
    try:
        point = {name: json.loads(value)[name] for name in ranges}
    except (ValueError, TypeError, LookupError):
        return None
    return point if all(point[name] in one for name, one in ranges.items()) else None


def _searched(answers: Answers, drawn: SampledUnits, seed: int, budget: int) -> tuple[Point | None, str | None]:
    """The simplest point on which the claim fails; or ``None``, and why."""
    start = _start(answers, drawn, seed, budget)
    raised = [answer.raised for answer in answers.known.values()]
    if all(raised):
        return None, f"the body answers no input that is chosen for it: {raised[0]}"
    point = _deeper(answers, start, seed) if start else None
    if point is None and drawn.failing:
        return None, f"none of the {drawn.failing} inputs on which it failed does when it is put to the body again"
    if point is None:
        return None, f"none of {len(answers.known)} inputs that were tried failed"
    (answer,) = answers.of([point])
    for _ in range(ASKED_AGAIN):
        (again,) = answers.put_again([point])
        if not _like(answer, again):
            other = f", another time {again.raised}" if again.raised else ""
            text = answers.family.describe(point).text
            return None, f"the answer to {text} is not the same each time it is put to the body{other}"
    return point, None


def _start(answers: Answers, drawn: SampledUnits, seed: int, budget: int) -> Point | None:
    """A point that fails, or the one with the least margin, out of the worst units and of batches from Hypothesis."""
    answers.of(drawn.worst)
    width = min(drawn.size, WIDTH)
    if not any(answer.fails for answer in answers.known.values()):
        propose(
            st.lists(drawn.family.any_point(), min_size=width, max_size=width),
            lambda points: any(answer.fails and not answer.raised for answer in answers.of(points)),
            seed,
            tries=max(1, min(BATCHES, budget // width)),
        )
    known = answers.points()
    # A plain no before an exception, and of several the one whose first parameters are nearest to zero.
    if failing := [point for point, answer in known if answer.fails and not answer.raised]:
        return min(failing, key=lambda point: [abs(value) for value in point.values()])
    if failing := [point for point, answer in known if answer.raised]:
        return min(failing, key=lambda point: [abs(value) for value in point.values()])
    margins = [(answer.margin, point) for point, answer in known if answer.margin is not None]
    return min(margins, key=lambda one: one[0])[1] if margins else None


def _deeper(answers: Answers, start: Point, seed: int) -> Point | None:
    """The simplest point that fails as ``start`` does; where ``start`` does not fail, one that its margin leads to."""
    first = answers.of([start])[0]
    fails = Answer(True) if not first.fails else first
    most = len(answers.known) + (SHRINKS if first.fails else DEPTH + SHRINKS)

    def wanted(point: Point) -> bool:
        if point_key(point) not in answers.known and len(answers.known) >= most:
            return False
        answer = answers.of([point])[0]
        if answer.margin is not None:
            hypothesis.target(-answer.margin)
        return _like(answer, fails)

    found = propose(answers.family.any_point(), wanted, seed, tries=DEPTH, start=Start(answers.family, start))
    return found or (start if first.fails else None)


def _like(answer: Answer, other: Answer) -> bool:
    """Whether two answers are alike: yes, no, or none."""
    return (answer.fails, answer.raised is None) == (other.fails, other.raised is None)


# ---------------------------------------------------------------------------------------------------------------------
# Where the claim holds again


def _counterexample(answers: Answers, point: Point) -> Counterexample:
    (answer,) = answers.of([point])
    return Counterexample(point, answers.family.describe(point), answer, _extent(answers, point))


def _extent(answers: Answers, point: Point) -> dict[str, tuple[float, float]]:
    """How far each parameter can go either way, the others as they are, before the claim holds."""
    ranges = answers.family.parameters
    fails: dict[str, dict[float, bool]] = {name: {value: True} for name, value in point.items()}
    grids: dict[str, list[float]] = {name: [*one.grid(one.low, one.high, GRID)] for name, one in ranges.items()}
    edges: dict[str, list[tuple[float, float]]] = {}
    for _ in range(ROUNDS):
        cases = [(name, value) for name, grid in grids.items() for value in grid]
        found = answers.of([{**point, name: value} for name, value in cases])
        for (name, value), answer in zip(cases, found, strict=True):
            fails[name][value] = answer.fails
        edges = {name: _edges(fails[name], value) for name, value in point.items()}
        grids = {
            name: [value for edge in edges[name] for value in one.grid(min(edge), max(edge), FINER)]
            for name, one in ranges.items()
        }
    return {name: (below[0], above[0]) for name, (below, above) in edges.items()}


def _edges(fails: dict[float, bool], value: float) -> list[tuple[float, float]]:
    """Down and up from ``value``: the last that fails, and the first that does not, or the last again if all fail."""
    down = sorted((one for one in fails if one <= value), reverse=True)
    up = sorted(one for one in fails if one >= value)
    return [
        (list(takewhile(fails.get, way))[-1], next((one for one in way if not fails[one]), way[-1]))
        for way in (down, up)
    ]
