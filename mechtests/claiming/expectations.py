"""What a claim measures, the region that decides it, and the estimate that observations come to."""

import inspect
import math
from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self

import numpy as np
from jaxtyping import Float

from mechtests.claiming.estimate import Estimate
from mechtests.inference import (
    MeanProcess,
    RateProcess,
    Region,
    SequentialProcess,
    permutation_e_value,
    permutation_p_value,
)

Units = Float[np.ndarray, " unit"]

Direction = Literal["high", "low", "within"]


class ClaimError(Exception):
    """A claim that is written wrongly: what was found, what was expected, what to write instead."""


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """What is measured, and the region in which its value must lie for the claim to hold.

    Attributes:
        at_least, above: the region's lower end, closed or open.
        at_most, below: the region's upper end, closed or open.
        alpha: the claim's own error rate, for units too dear for the run's; ``None`` takes the run's.

    Raises:
        ClaimError: an argument is unknown or lacks its name, no end is given, both forms of one end are given, or the
            region is empty.
    """

    kind: ClassVar[str]
    sampled: ClassVar[bool] = False
    example: ClassVar[str] = "at_least=0.9"
    at_least: float | None = None
    at_most: float | None = None
    above: float | None = None
    below: float | None = None
    alpha: float | None = None

    def __new__(cls, *unnamed: object, **named: object) -> Self:
        """Refuse arguments that ``__init__`` does not take, in the words of a claim."""
        signature = inspect.signature(cls.__init__)
        try:
            signature.bind_partial(None, *unnamed, **named)
        except TypeError:
            given = ", ".join([*map(repr, unnamed), *(f"{name}={value!r}" for name, value in named.items())])
            raise ClaimError(
                f"{cls.__name__}({given}): expected arguments by their names, which are "
                f"{', '.join([*signature.parameters][1:])}. Write for example {cls.__name__}({cls.example})."
            ) from None
        return super().__new__(cls)

    def __post_init__(self) -> None:
        name = type(self).__name__
        if all(end is None for end in (self.at_least, self.at_most, self.above, self.below)):
            raise ClaimError(
                f"{name}() has no region, so nothing could refute it. Give an end, as in {name}({self.example})."
            )
        if None not in (self.at_least, self.above) or None not in (self.at_most, self.below):
            raise ClaimError(
                f"{name}{self.ends()} gives one end of the region twice. Keep the open or the closed form."
            )
        for end, value in self.ends().items():
            if not math.isfinite(value):
                raise ClaimError(f"{name}({end}={value}): expected a number. Leave out an end that limits nothing.")
            object.__setattr__(self, end, plain_number(value))
        one_value = self.at_least is not None and self.at_least == self.at_most
        if not (self.lower < self.upper or one_value):
            raise ClaimError(f"{name}{self.ends()}: the region is empty, its lower end is not below its upper end.")
        if self.alpha is not None and not 0 < self.alpha < 1:
            raise ClaimError(f"{name}(alpha={self.alpha}): expected an error rate between 0 and 1, such as 0.05.")

    @property
    def lower(self) -> float:
        return next((end for end in (self.at_least, self.above) if end is not None), -math.inf)

    @property
    def upper(self) -> float:
        return next((end for end in (self.at_most, self.below) if end is not None), math.inf)

    @property
    def direction(self) -> Direction:
        """Which way an estimate must go to support the claim; ``within`` where the region has two ends."""
        if math.isinf(self.upper):
            return "high"
        return "low" if math.isinf(self.lower) else "within"

    def contains(self, value: float) -> bool:
        """Whether ``value`` lies in the region."""
        above = value > self.lower or value == self.at_least
        below = value < self.upper or value == self.at_most
        return above and below

    def holds(self, low: float, high: float) -> bool | None:
        """Whether the interval ``[low, high]`` lies in the region (true), outside it (false), or across its edge."""
        if self.contains(low) and self.contains(high):
            return True
        outside = high < self.lower or low > self.upper or (high == self.above) or (low == self.below)
        return False if outside else None

    def _must_divide(self, low: float, high: float) -> None:
        """Refuse a region that holds all of the values from ``low`` to ``high``, or none of them."""
        if self.contains(low) and self.contains(high):
            told = "so nothing could refute the claim"
        elif self.holds(low, high) is False:
            told = "none of which lies in the region, so nothing could support the claim"
        else:
            return
        name = type(self).__name__
        raise ClaimError(f"{name}{self.ends()}: values go from {low:g} to {high:g}, {told}. State another region.")

    def ends(self) -> dict[str, float]:
        """The ends of the region by the names they were given under."""
        given = {name: getattr(self, name) for name in ("at_least", "above", "at_most", "below")}
        return {name: end for name, end in given.items() if end is not None}

    def __str__(self) -> str:
        signs = {"at_least": "≥", "above": ">", "at_most": "≤", "below": "<"}
        return " and ".join(f"{signs[name]} {end:g}" for name, end in self.ends().items())


class Average(Expectation):
    """An average over units, of which a sample or the whole population is seen."""

    sampled: ClassVar[bool] = True

    @abstractmethod
    def process(self, alpha: float, budget: int | None = None) -> SequentialProcess:
        """What follows the average unit by unit, and decides on the region at any number of units.

        Args:
            alpha: the error rate of its decision and of its interval.
            budget: how many units there will be at most, as far as that is known beforehand.
        """

    @property
    @abstractmethod
    def span(self) -> float:
        """The greatest difference that there can be between two units; infinite where they have no bounds."""

    def check_sample(self, values: Units) -> None:
        """Refuse a sample of which no interval can be made; of a rate's units, one can always be made."""

    def census(self, values: Units) -> Estimate:
        """The estimate from one number for every unit of the population, which has no sampling error."""
        return Estimate(float(values.mean()), None, len(values))

    def _region(self) -> Region:
        return Region(self.lower, self.upper, self.above is not None, self.below is not None)


@dataclass(frozen=True, kw_only=True)
class Rate(Average):
    """The share of units for which something is so; one true or false per unit.

    Attributes:
        always: the part of the evidence that is looked for in units which are all true, or all false where the region
            is low: for units that are few and expensive, such as training seeds.
    """

    kind: ClassVar[str] = "rate"
    always: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._must_divide(0, 1)
        if not 0 <= self.always < 1:
            raise ClaimError(f"Rate(always={self.always}): expected a part of the evidence, from 0 to below 1.")

    @property
    def span(self) -> float:
        return 1.0

    def process(self, alpha: float, budget: int | None = None) -> RateProcess:
        """A :class:`mechtests.inference.RateProcess`."""
        return RateProcess(self._region(), alpha, budget, always=self.always)


@dataclass(frozen=True, kw_only=True)
class Mean(Average):
    """The mean of one number per unit.

    Attributes:
        bounds: the least and greatest value a unit can have. Needed where units are sampled, not for a census.
    """

    kind: ClassVar[str] = "mean"
    bounds: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.bounds is not None and not -math.inf < self.bounds[0] < self.bounds[1] < math.inf:
            raise ClaimError(
                f"{type(self).__name__}(bounds={self.bounds}): expected (low, high), two numbers with low below high."
            )
        if self.bounds is not None:
            self._must_divide(*self.bounds)

    def check_sample(self, values: Units) -> None:
        """Refuse a sample of which no interval can be made.

        Raises:
            ClaimError: the expectation has no bounds, or a unit lies outside them.
        """
        name = type(self).__name__
        if self.bounds is None:
            raise ClaimError(
                f"{name} is sampled here, and an honest interval for a mean needs the range of a unit. "
                f"Write {name}(..., bounds=(low, high)), or evidence.census for a population seen whole."
            )
        low, high = self.bounds
        if len(values) and not (low <= values.min() and values.max() <= high):
            raise ClaimError(
                f"units were measured from {values.min():g} to {values.max():g}, and bounds=({low:g}, {high:g}). "
                "Give the least and greatest value that a unit can have: the interval is wrong otherwise."
            )

    def process(self, alpha: float, budget: int | None = None) -> MeanProcess:  # noqa: ARG002 - no budget helps a mean
        """A :class:`mechtests.inference.MeanProcess`."""
        assert self.bounds is not None, "check_sample comes first"
        return MeanProcess(self._region(), alpha, self.bounds)

    @property
    def span(self) -> float:
        return math.inf if self.bounds is None else self.bounds[1] - self.bounds[0]


@dataclass(frozen=True, kw_only=True)
class Difference(Mean):
    """The mean of paired differences: one number per unit, the same unit measured in two ways."""

    kind: ClassVar[str] = "difference"


@dataclass(frozen=True, kw_only=True)
class Value(Expectation):
    """One number that describes the checkpoint and is known without sampling error: an angle, an R² over a census."""

    kind: ClassVar[str] = "value"

    def estimate(self, value: float, units: int) -> Estimate:
        """The number itself, worked out over ``units`` units."""
        return Estimate(value, None, units)


@dataclass(frozen=True, kw_only=True)
class Rank(Expectation):
    """The place of a named component among its rivals, 1 for the greatest score."""

    kind: ClassVar[str] = "rank"

    def estimate(self, score: float, rivals: Units) -> Estimate:
        """The place of ``score`` among the scores of its rivals; a tie counts against it."""
        return Estimate(1 + int((rivals >= score).sum()), None, len(rivals) + 1)


@dataclass(frozen=True)
class Permutation(Expectation):
    """A statistic in the tail of its distribution under permutations of the columns.

    Attributes:
        p_at_most: the region: the greatest p-value for which the claim holds.
        tail: which tail is claimed.
    """

    kind: ClassVar[str] = "permutation"
    example: ClassVar[str] = "p_at_most=0.001, tail='low'"
    p_at_most: float = field(kw_only=True)
    tail: Literal["low", "high"] = field(kw_only=True)

    def __post_init__(self) -> None:
        if not 0 < self.p_at_most < 1:
            raise ClaimError(
                f"Permutation(p_at_most={self.p_at_most}): expected a p-value between 0 and 1, such as 0.001."
            )
        if self.tail not in ("low", "high"):
            raise ClaimError(f"Permutation(tail={self.tail!r}): expected 'low' or 'high'.")
        object.__setattr__(self, "at_most", self.p_at_most)
        super().__post_init__()

    @property
    def direction(self) -> Direction:
        return self.tail

    def estimate(self, observed: float, null: Float[np.ndarray, " draw"], units: int) -> Estimate:
        """The observed statistic, with its p-value among those of the permutations."""
        p = permutation_p_value(observed, null, self.tail)
        rank = max(int(self.p_at_most * (len(null) + 1) + 1e-9), 1)
        return Estimate(observed, None, units, permutation_e_value(p, len(null), rank), p)

    def __str__(self) -> str:
        return f"p ≤ {self.p_at_most:g}"


@dataclass(frozen=True)
class Monotone(Expectation):
    """A response that goes one way along a dose, a training step or a depth.

    The estimate is the net change in the claimed direction over the total variation: 1 where every step goes the
    claimed way, 0 where ups and downs cancel, -1 where every step goes the other way.

    Attributes:
        direction_claimed: ``increasing`` or ``decreasing``.
    """

    kind: ClassVar[str] = "monotone"
    example: ClassVar[str] = "'increasing', at_least=0.9"
    direction_claimed: Literal["increasing", "decreasing"]

    def __post_init__(self) -> None:
        if self.direction_claimed not in ("increasing", "decreasing"):
            raise ClaimError(f"Monotone({self.direction_claimed!r}): expected 'increasing' or 'decreasing'.")
        super().__post_init__()

    def estimate(self, response: Float[np.ndarray, " step"]) -> Estimate | None:
        """Net change in the claimed direction over total variation; ``None`` where the response does not change."""
        steps = np.diff(response)
        if not steps.any():
            return None
        net = steps.sum() if self.direction_claimed == "increasing" else -steps.sum()
        return Estimate(float(net / np.abs(steps).sum()), None, len(response))

    def __str__(self) -> str:
        return f"{self.direction_claimed}, {super().__str__()}"


def plain_number(number: Any) -> float:
    """A Python number in the place of NumPy's or torch's, which JSON and xdist's workers do not take."""
    return number if type(number) in (int, float) else float(number)
