"""Counterexamples: the simplest input of a family on which a claim fails, and how far around it the claim fails.

The search starts from the units that the claim's rate was estimated from. Where one of them fails, Hypothesis shrinks
it. Where none does, Hypothesis proposes inputs in batches, and then climbs down the margin from the input that came
closest to failing. Its inputs are no sample, so no rate is ever made from them.
"""

import json
import time
import unittest
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import takewhile
from typing import Any, TypeVar

import hypothesis
from hypothesis import HealthCheck, Phase, Verbosity
from hypothesis import strategies as st
from hypothesis.database import ExampleDatabase, choices_to_bytes
from torch import Tensor

from mechtests.claiming.expectations import ClaimError
from mechtests.families import Family, Point, Rendering
from mechtests.judging.evidence import Evidence, SampledUnits

BATCHES, WIDTH = 10, 32
"""How many batches Hypothesis proposes, and of how many inputs at most."""
DEPTH = 50
"""How many inputs Hypothesis tries on the way from the one that came closest to failing to one that fails."""
SHRINKS = 500
"""How many inputs Hypothesis tries on the way from one that fails to the simplest."""
ASKED_AGAIN = 2
"""How often a counterexample must fail again, by itself, to be told."""
GRID, FINER, ROUNDS = 101, 21, 3
"""To see where a claim holds again, a parameter takes so many values over its range, then so many between the last that
fails and the first that does not, in so many rounds."""

T = TypeVar("T")


@dataclass(frozen=True)
class Answer:
    """What a claim's body says of one input.

    Attributes:
        fails: whether the input tells against the claim; so does one that the body cannot answer.
        margin: by how much the claim holds on it, below zero where it fails; ``None`` where the body does not tell.
        raised: the exception that came in the place of an answer, in one line.
    """

    fails: bool
    margin: float | None = None
    raised: str | None = None


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


@dataclass
class ChosenInputs(Evidence):
    """The evidence of a body to which one batch of chosen inputs is put, in the place of batches drawn at random."""

    batch: Any = None
    _before: Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._before = self.generator.get_state()

    def batches(self, family: Any, size: int = 32) -> Iterator[Any]:  # noqa: ARG002 - the inputs are chosen
        yield self.batch

    @property
    def drew(self) -> bool:
        """Whether the body drew random numbers, so that an answer may depend on the input's place in the batch."""
        return not self.generator.get_state().equal(self._before)

    def answered(self, n: int) -> list[Answer]:
        """What the body said of each of the ``n`` inputs.

        Raises:
            ClaimError: it did not say one thing of each.
        """
        if self.undefined_because is not None:
            raise ClaimError(f"there is nothing to measure: {self.undefined_because}")
        if self._units() != n:
            raise ClaimError(f"{n} inputs were answered with {self._units()} values")
        fails, margin = self.answers()
        return [Answer(bool(fails[unit]), None if margin is None else float(margin[unit])) for unit in range(n)]


Put = Callable[[Any], ChosenInputs]
"""Puts a batch of inputs to a claim's body, and returns the evidence of it."""


def search(
    put: Put, drawn: SampledUnits, *, seed: int, budget: int, kept: ExampleDatabase | None = None, key: bytes = b""
) -> Search:
    """The simplest input on which a claim fails, if one is found.

    Args:
        put: puts a batch to the claim's body; generators and all else must be as they were at every call.
        drawn: the family, and the units of the estimate that the search starts from.
        seed: decides what Hypothesis proposes.
        budget: at most so many inputs are proposed in batches.
        kept: where counterexamples stay from run to run; one that is there and still fails is told without a search.
        key: under which name.
    """
    began = time.perf_counter()
    answers, told = _Answers(put, drawn), _Answers(put, drawn)
    # What is told is asked apart from the search, so that it takes the same batches when the search is left out.
    if (point := _replayed(told, kept, key)) is not None:
        found = Search(_counterexample(told, point), replayed=True)
    else:
        point, reason = _searched(answers, drawn, seed, budget)
        found = Search(_counterexample(told, point) if point else None, reason)
        if kept and point:
            kept.save(key, json.dumps(point).encode())
    return replace(found, inputs=len(answers.known | told.known), seconds=time.perf_counter() - began)


class _Answers:
    """What a claim's body says of the inputs of a family: each put once, as many at a time as the body itself takes."""

    def __init__(self, put: Put, drawn: SampledUnits) -> None:
        self.put, self.family, self.size = put, drawn.family, drawn.size
        self.known: dict[tuple[int | float, ...], Answer] = {}

    def of(self, points: Sequence[Point]) -> list[Answer]:
        new = list({_key(point): point for point in points if _key(point) not in self.known}.values())
        while new:
            some, new = new[: self.size], new[self.size :]
            self.known.update(zip(map(_key, some), self.put_again(some), strict=True))
        return [self.known[_key(point)] for point in points]

    def put_again(self, points: Sequence[Point]) -> list[Answer]:
        """The answers to ``points``, whether or not they are known.

        One by one where the body draws random numbers or cannot answer: an answer must be the input's own.
        """
        try:
            question = self.put(self.family.at(points))
            answers = question.answered(len(points))
        except Exception as error:
            if len(points) == 1:
                told = " ".join(str(error).split())
                return [Answer(True, raised=f"{type(error).__name__}: {told}".removesuffix(": "))]
        else:
            if len(points) == 1 or not question.drew:
                return answers
            self.size = 1
        return [answer for point in points for answer in self.put_again([point])]

    def points(self) -> list[tuple[Point, Answer]]:
        """All that is known."""
        names = list(self.family.parameters)
        return [(dict(zip(names, values, strict=True)), answer) for values, answer in self.known.items()]


def _key(point: Point) -> tuple[int | float, ...]:
    return tuple(point.values())


def _replayed(answers: _Answers, kept: ExampleDatabase | None, key: bytes) -> Point | None:
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


def _searched(answers: _Answers, drawn: SampledUnits, seed: int, budget: int) -> tuple[Point | None, str | None]:
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


def _start(answers: _Answers, drawn: SampledUnits, seed: int, budget: int) -> Point | None:
    """A point that fails, or the one with the least margin, out of the worst units and of batches from Hypothesis."""
    answers.of(drawn.worst)
    width = min(drawn.size, WIDTH)
    if not any(answer.fails for answer in answers.known.values()):
        _look(
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


def _deeper(answers: _Answers, start: Point, seed: int) -> Point | None:
    """The simplest point that fails as ``start`` does; where ``start`` does not fail, one that its margin leads to."""
    first = answers.of([start])[0]
    fails = Answer(True) if not first.fails else first
    most = len(answers.known) + (SHRINKS if first.fails else DEPTH + SHRINKS)

    def wanted(point: Point) -> bool:
        if _key(point) not in answers.known and len(answers.known) >= most:
            return False
        answer = answers.of([point])[0]
        if answer.margin is not None:
            hypothesis.target(-answer.margin)
        return _like(answer, fails)

    found = _look(answers.family.any_point(), wanted, seed, tries=DEPTH, start=_Start(answers.family, start))
    return found or (start if first.fails else None)


def _like(answer: Answer, other: Answer) -> bool:
    """Whether two answers are alike: yes, no, or none."""
    return (answer.fails, answer.raised is None) == (other.fails, other.raised is None)


# ---------------------------------------------------------------------------------------------------------------------
# Hypothesis


class _FoundError(Exception):
    pass


class _Start(ExampleDatabase):
    """A database that holds one draw for every test: Hypothesis takes it for an earlier failure, and starts from it."""

    def __init__(self, family: Family[Any], point: Point) -> None:
        super().__init__()
        # A parameter with one value is not drawn. The draw ends with one choice too many, because Hypothesis takes one
        # that it can repeat exactly for shrunk already.
        drawn = [point[name] for name, one in family.parameters.items() if one.low != one.high]
        self._draw = choices_to_bytes([*drawn, False])

    def fetch(self, key: bytes) -> Iterable[bytes]:  # noqa: ARG002
        return [self._draw]

    def save(self, key: bytes, value: bytes) -> None:
        pass

    def delete(self, key: bytes, value: bytes) -> None:
        pass


def _look(
    strategy: st.SearchStrategy[T], wanted: Callable[[T], bool], seed: int, tries: int, start: _Start | None = None
) -> T | None:
    """What Hypothesis finds that is ``wanted``: the first, or the simplest that it can reach from ``start``.

    :func:`hypothesis.find` does not take a seed and a database together.
    """
    found: list[T] = []

    # The seed stands inside, because it takes the database of the settings away.
    @hypothesis.settings(
        max_examples=tries,
        phases=[Phase.reuse, Phase.target, Phase.shrink] if start else [Phase.generate],
        database=start,
        deadline=None,
        derandomize=False,
        report_multiple_bugs=False,
        print_blob=False,
        verbosity=Verbosity.quiet,
        backend="hypothesis",
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.seed(seed)
    @hypothesis.given(strategy)
    def put(proposed: T) -> None:
        if wanted(proposed):
            found.append(proposed)
            raise _FoundError

    with suppress(_FoundError, unittest.SkipTest):  # skipped where the start is no draw of this version of Hypothesis
        put()
    return found[-1] if found else None


# ---------------------------------------------------------------------------------------------------------------------
# Where the claim holds again


def _counterexample(answers: _Answers, point: Point) -> Counterexample:
    (answer,) = answers.of([point])
    return Counterexample(point, answers.family.describe(point), answer, _extent(answers, point))


def _extent(answers: _Answers, point: Point) -> dict[str, tuple[float, float]]:
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
