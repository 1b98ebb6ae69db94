"""What a claim's body says of inputs that are chosen for it, one answer per input."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from mechtests.claiming.expectations import ClaimError
from mechtests.families import Point
from mechtests.judging.evidence import Evidence
from mechtests.judging.sampling import SampledUnits


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


@dataclass
class ChosenInputs(Evidence):
    """The evidence of a body to which one batch of chosen inputs is put, in the place of batches drawn at random."""

    batch: Any = None
    _before: Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._before = self.generator.get_state()

    def batches(self, family: Any, **options: Any) -> Iterator[Any]:  # noqa: ARG002 - the inputs are chosen
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


class Answers:
    """What a claim's body says of the inputs of a family: each put once, as many at a time as the body itself takes."""

    def __init__(self, put: Put, drawn: SampledUnits) -> None:
        self.put, self.family, self.size = put, drawn.family, drawn.size
        self.known: dict[tuple[int | float, ...], Answer] = {}

    def of(self, points: Sequence[Point]) -> list[Answer]:
        new = list({point_key(point): point for point in points if point_key(point) not in self.known}.values())
        while new:
            some, new = new[: self.size], new[self.size :]
            self.known.update(zip(map(point_key, some), self.put_again(some), strict=True))
        return [self.known[point_key(point)] for point in points]

    def put_again(self, points: Sequence[Point]) -> list[Answer]:
        """The answers to ``points``, whether or not they are known.

        One by one where the body draws random numbers or cannot answer: an answer must be the input's own.
        """
        try:
            question = self.put(self.family.at(points))
            answers = question.answered(len(points))
        except Exception as error:
            if len(points) == 1:
                message = " ".join(str(error).split())
                return [Answer(True, raised=f"{type(error).__name__}: {message}".removesuffix(": "))]
        else:
            if len(points) == 1 or not question.drew:
                return answers
            self.size = 1
        return [answer for point in points for answer in self.put_again([point])]

    def points(self) -> list[tuple[Point, Answer]]:
        """All that is known."""
        names = list(self.family.parameters)
        return [(dict(zip(names, values, strict=True)), answer) for values, answer in self.known.items()]


def point_key(point: Point) -> tuple[int | float, ...]:
    return tuple(point.values())
