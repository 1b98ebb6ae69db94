"""What a claim's body observes: the record it writes, and the estimate that comes of it."""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mechtests.claiming.expectations import ClaimError, Expectation, Mean, Monotone, Permutation, Rank, Rate, Value
from mechtests.families import Family, Point
from mechtests.families.curve import Curve
from mechtests.inference import (
    Interval,
    e_from_p,
    mean_e_value,
    mean_interval,
    permutation_p_value,
    rate_e_value,
    rate_interval,
)

Batch = TypeVar("Batch")
Batch_co = TypeVar("Batch_co", covariant=True)

PERMUTATION_DRAWS = 9_999

WORST = 32
"""How many of the units that fail, or come closest to it, the search for a counterexample starts from."""

TWO_VALUES = "the claim's body recorded two values. A claim has one; make the second a claim of its own."


class Samples(Protocol[Batch_co]):
    """Anything that draws independent inputs: every family does."""

    def sample(self, n: int, generator: torch.Generator) -> Batch_co: ...


@dataclass(frozen=True)
class Estimate:
    """What was observed of one claim on one model.

    Attributes:
        value: the estimate, in the units of the claim's region; for a permutation claim the statistic.
        interval: where the true value lies at the claim's error rate; ``None`` where the value is exact.
        units: how many independent units were observed.
        e_value: evidence against "the true value lies outside the region"; ``None`` where the value is exact.
        p_value: for a permutation claim.
    """

    value: float
    interval: Interval | None
    units: int
    e_value: float | None = None
    p_value: float | None = None

    @property
    def low(self) -> float:
        return self.value if self.interval is None else self.interval.lower

    @property
    def high(self) -> float:
        return self.value if self.interval is None else self.interval.upper


def more_units(units: int) -> int:
    """The next number of units of a trail: a quarter more, so that a thousand take some thirty steps."""
    return max(units + 1, units * 5 // 4)


@dataclass(frozen=True)
class SampledUnits:
    """The units that a rate was estimated from, for the search of a counterexample.

    Attributes:
        family: what they were drawn from.
        size: how many the claim's body took at a time.
        worst: those on which the claim fails, or comes closest to failing where margins tell, the worst first.
        failing: how many of the worst fail.
    """

    family: Family[Any]
    size: int
    worst: tuple[Point, ...]
    failing: int


@dataclass
class Evidence:
    """Records what a claim's body observes, and says when it is enough.

    A body uses one way of recording: ``batches`` with ``observe`` for units drawn from a family, ``observe`` alone for
    a sample it has, ``census`` for a population seen whole, ``exact``, ``rank``, ``permutation`` or ``curve`` for the
    expectation of that name.

    Attributes:
        expect: the claim's expectation.
        alpha: the error rate of the interval.
        budget: the greatest number of units to sample.
        generator: randomness for the body; its seed is the run's and the claim's.
        enough: whether sampling may stop at an estimate; by default, when the region is decided.
        progress: called with each estimate on the way.
        to_the_budget: whether to sample the whole budget, whatever is decided.
    """

    expect: Expectation
    alpha: float
    budget: int
    generator: torch.Generator
    enough: Callable[[Estimate], bool] | None = None
    progress: Callable[[Estimate], None] | None = None
    to_the_budget: bool = False
    undefined_because: str | None = field(default=None, init=False)
    curves: list[Curve] = field(default_factory=list, init=False)
    _looks: list[Estimate] = field(default_factory=list, init=False)
    _values: list[Float[np.ndarray, " unit"]] = field(default_factory=list, init=False)
    _margins: list[Float[np.ndarray, " unit"] | None] = field(default_factory=list, init=False)
    _loops: list[tuple[Samples[Any], int]] = field(default_factory=list, init=False)
    _drawn: list[Mapping[str, Tensor]] = field(default_factory=list, init=False)
    _whole: Estimate | None = field(default=None, init=False)

    def batches(self, family: Samples[Batch], size: int = 32) -> Iterator[Batch]:
        """Batches of ``size`` inputs drawn from ``family``, until the verdict is decided or the budget is spent.

        Each batch must be answered by :meth:`observe` with one value an input.

        Raises:
            ClaimError: a batch was answered with more or fewer values than it has inputs.
        """
        if size < 1:
            raise ClaimError(f"evidence.batches(size={size}): expected at least 1 input a batch.")
        self._loops.append((family, size))
        enough = self.enough or (lambda estimate: self.expect.holds(estimate.low, estimate.high) is not None)
        while (units := self._units()) < self.budget:
            asked = min(size, self.budget - units)
            yield self._sample(family, asked)
            observed = self._units() - units
            if observed != asked:
                raise ClaimError(
                    f"evidence.batches gave {asked} inputs and evidence.observe was given {observed} values. "
                    "Observe one value for each input: the unit is the input, never a point within it."
                )
            if self.to_the_budget:
                continue
            estimate = self._sampled()
            self._looks.append(estimate)
            if self.progress:
                self.progress(estimate)
            if enough(estimate):
                return

    @property
    def can_grow(self) -> bool:
        """Whether more units can be drawn; a sample that the body has is as large as it is."""
        return bool(self._loops)

    def observe(
        self, values: Tensor | Sequence[float] | Sequence[bool], margin: Tensor | Sequence[float] | None = None
    ) -> None:
        """Record one value for each of some independent units, drawn from a larger population.

        Args:
            values: one a unit; true or false for a rate.
            margin: for a rate, by how much each unit is true: above zero where it is, below zero where it is not. The
                search for a counterexample goes where it is small; the verdict does not depend on it.

        Raises:
            ClaimError: the claim does not expect a rate, mean or difference; a value is NaN, infinite or, for a rate,
                neither true nor false; the margin is not one finite number a unit of the unit's sign.
        """
        self._must_expect(Rate, Mean)
        if isinstance(self.expect, Mean) and self.expect.bounds is None:
            name = type(self.expect).__name__
            raise ClaimError(
                f"{name} is sampled here, and an honest interval for a mean needs the range of a unit. "
                f"Write {name}(..., bounds=(low, high)), or evidence.census for a population seen whole."
            )
        if self._whole is not None:
            raise ClaimError(TWO_VALUES)
        checked = self._checked(values)
        if isinstance(self.expect, Mean) and self.expect.bounds is not None:
            low, high = self.expect.bounds
            if len(checked) and not (low <= checked.min() and checked.max() <= high):
                raise ClaimError(
                    f"units were measured from {checked.min():g} to {checked.max():g}, and bounds=({low:g}, {high:g}). "
                    "Give the least and greatest value that a unit can have: the interval is wrong otherwise."
                )
        self._margins.append(None if margin is None else self._checked_margin(margin, checked))
        self._values.append(checked)

    def census(self, values: Tensor | Sequence[float] | Sequence[bool]) -> None:
        """Record one value for every unit of the population: the mean is exact and needs no interval.

        Raises:
            ClaimError: as :meth:`observe`, or the census is empty.
        """
        self._must_expect(Rate, Mean)
        checked = self._checked(values)
        if not len(checked):
            raise ClaimError("evidence.census was given no units. Use evidence.undefined(reason) where there are none.")
        self._record(Estimate(float(checked.mean()), None, len(checked)))

    def exact(self, value: Tensor | float, units: int = 1) -> None:
        """Record one number known without sampling error, worked out over ``units`` units."""
        self._must_expect(Value)
        self._record(Estimate(float(self._checked([float(value)])[0]), None, units))

    def rank(self, score: Tensor | float, rivals: Tensor | Sequence[float]) -> None:
        """Record the place of ``score`` among the scores of its rivals; a tie counts against it."""
        self._must_expect(Rank)
        others = self._checked(rivals)
        if not len(others):
            raise ClaimError("evidence.rank was given no rivals. Use evidence.undefined(reason) where there are none.")
        place = 1 + int((others >= self._checked([float(score)])[0]).sum())
        self._record(Estimate(place, None, len(others) + 1))

    def permutation(self, matrix: Float[Tensor, "... column"], statistic: Callable[[Tensor], Tensor | float]) -> None:
        """Record ``statistic(matrix)`` against its distribution when the columns of ``matrix`` are permuted."""
        self._must_expect(Permutation)
        assert isinstance(self.expect, Permutation)
        observed = float(self._checked([float(statistic(matrix))])[0])
        orders = (torch.randperm(matrix.shape[-1], generator=self.generator) for _ in range(PERMUTATION_DRAWS))
        null = np.array([float(statistic(matrix.index_select(-1, order.to(matrix.device)))) for order in orders])
        p = permutation_p_value(observed, null, self.expect.tail)
        self._record(Estimate(observed, None, matrix.numel(), e_from_p(p), p))

    def curve(self, label: str, x: Iterable[float], y: Iterable[float | Tensor]) -> None:
        """Record a response ``y`` along ``x``: a :class:`Monotone` claim's evidence, or a figure of the report."""
        along, response = (self._numbers([float(value) for value in axis]).tolist() for axis in (x, y))
        points = Curve(label, tuple(along), tuple(response))
        if len(points.x) != len(points.y) or len(points.x) < 2:
            raise ClaimError(
                f"evidence.curve: expected two or more points, found {len(points.x)} x and {len(points.y)} y."
            )
        self.curves.append(points)
        if isinstance(self.expect, Monotone):
            steps = np.diff(points.y)
            if not steps.any():
                return self.undefined(f"{label} does not change along the curve")
            net = steps.sum() if self.expect.direction_claimed == "increasing" else -steps.sum()
            self._record(Estimate(float(net / np.abs(steps).sum()), None, len(points.y)))
        return None

    def undefined(self, reason: str) -> None:
        """Say that the claim's quantity does not exist here (no neuron of the kind it speaks of): it says nothing."""
        self.undefined_because = reason

    def estimate(self) -> Estimate | None:
        """What was observed, or ``None`` where :meth:`undefined` was called.

        Raises:
            ClaimError: nothing was observed.
        """
        if self.undefined_because is not None:
            return None
        if self._whole is not None:
            return self._whole
        if not self._units():
            raise ClaimError(
                "the claim's body observed nothing, so there is no verdict. "
                "Call evidence.observe, census, exact, rank, permutation or curve."
            )
        return self._sampled()

    def drawn(self) -> SampledUnits | None:
        """Where the units came from; ``None`` unless each is a yes or no to one input of one family.

        A family with a ``sample`` of its own leaves out some of what its parameters describe, and only it knows what.
        """
        if not isinstance(self.expect, Rate) or self.expect.direction == "within" or len(self._loops) != 1:
            return None
        family, size = self._loops[0]
        if not isinstance(family, Family) or not self._drawn or sum(map(_length, self._drawn)) != self._units():
            return None
        fails, margin = self.answers()
        badness = fails.astype(float) if margin is None else -margin
        worst = [unit for unit in np.argsort(-badness, kind="stable")[:WORST] if fails[unit] or margin is not None]
        values = {name: torch.cat([batch[name] for batch in self._drawn]) for name in family.parameters}
        points = tuple({name: drawn[unit].item() for name, drawn in values.items()} for unit in worst)
        return SampledUnits(family, size, points, int(fails[worst].sum()))

    def answers(self) -> tuple[Bool[np.ndarray, " unit"], Float[np.ndarray, " unit"] | None]:
        """For each unit of a rate whether it tells against the claim, and by how much it tells for it, if known.

        Where a small rate is claimed, it is the units that are true which tell against it.
        """
        values = np.concatenate(self._values)
        margins = [margin for margin in self._margins if margin is not None]
        margin = np.concatenate(margins) if len(margins) == len(self._margins) else None
        if self.expect.direction == "low":
            return values == 1, None if margin is None else -margin
        return values == 0, margin

    def _sample(self, family: Samples[Batch], n: int) -> Batch:
        if isinstance(family, Family) and type(family).sample is Family.sample:
            self._drawn.append(family.draw(n, self.generator))
            return family.build(**self._drawn[-1])
        return family.sample(n, self.generator)

    def trail(self) -> list[Estimate]:
        """The estimate and its interval as units came in; empty where the value is exact or nothing was observed.

        Where nobody looked on the way it is worked out afterwards: the interval holds at all numbers of units at once.
        """
        if self._whole is not None or self._looks or not (units := self._units()):
            return self._looks
        sizes = [1]
        while sizes[-1] < units:
            sizes.append(min(more_units(sizes[-1]), units))
        return [self._sampled(size) for size in sizes]

    def _sampled(self, units: int | None = None) -> Estimate:
        values = np.concatenate(self._values)[:units]
        if isinstance(self.expect, Mean):
            assert self.expect.bounds is not None
            interval = mean_interval(values, self.alpha, self.expect.bounds)
        else:
            interval = rate_interval(int(values.sum()), len(values), self.alpha)
        return Estimate(float(values.mean()), interval, len(values), self._e_value(values))

    def _e_value(self, values: Float[np.ndarray, " unit"]) -> float:
        region = Interval(self.expect.lower, self.expect.upper)
        bounds = self.expect.bounds if isinstance(self.expect, Mean) else None
        low, high = bounds or (0.0, 1.0)
        if region.lower <= low and region.upper >= high:
            # An open end at the end of what a unit can be, as in "the rate is above 0": the mean lies there only if
            # every unit does, so one unit elsewhere rules it out.
            there = [end for end, excluded in ((low, self.expect.above), (high, self.expect.below)) if excluded == end]
            return 0.0 if any((values == end).all() for end in there) else sys.float_info.max
        if isinstance(self.expect, Mean):
            return mean_e_value(values, region, (low, high))
        return rate_e_value(int(values.sum()), len(values), region)

    def _units(self) -> int:
        return sum(map(len, self._values))

    def _record(self, estimate: Estimate) -> None:
        if self._whole is not None or self._units():
            raise ClaimError(TWO_VALUES)
        self._whole = estimate

    def _must_expect(self, *kinds: type[Expectation]) -> None:
        if not isinstance(self.expect, kinds):
            wanted = " or ".join(kind.__name__ for kind in kinds)
            raise ClaimError(
                f"this claim expects {type(self.expect).__name__}({self.expect}), and its body recorded a {wanted}. "
                "Change the expectation in the decorator, or the call in the body."
            )

    def _checked(self, values: Any) -> Float[np.ndarray, " unit"]:
        array = self._numbers(values)
        if isinstance(self.expect, Rate) and not np.isin(array, (0.0, 1.0)).all():
            raise ClaimError("a Rate is a share of units: observe true or false for each, or expect a Mean.")
        return array

    def _checked_margin(self, margin: Any, values: Float[np.ndarray, " unit"]) -> Float[np.ndarray, " unit"]:
        if not isinstance(self.expect, Rate):
            kind = type(self.expect).__name__
            raise ClaimError(f"a margin says by how much a unit of a Rate is true, and this claim expects {kind}.")
        array = np.asarray(margin.detach().cpu() if isinstance(margin, Tensor) else margin, dtype=np.float64)
        if array.shape != values.shape:
            raise ClaimError(
                f"evidence.observe was given {len(values)} values and margins of the shape {array.shape}. "
                "Give one margin a unit, a list or 1-D tensor."
            )
        if not np.isfinite(array).all():
            unit = int(np.flatnonzero(~np.isfinite(array))[0])
            raise ClaimError(f"the margin of unit {unit} of {len(array)} is {array[unit]}. Expected a finite number.")
        if (wrong := np.flatnonzero(np.where(values == 1, array < 0, array > 0))).size:
            unit = int(wrong[0])
            raise ClaimError(
                f"unit {unit} of {len(array)} is {bool(values[unit])} and its margin is {array[unit]:g}. "
                "A margin is above zero where the unit is true and below zero where it is not."
            )
        return array

    def _numbers(self, values: Any) -> Float[np.ndarray, " unit"]:
        array = np.asarray(values.detach().cpu() if isinstance(values, Tensor) else values, dtype=np.float64)
        if array.ndim != 1:
            raise ClaimError(f"expected one value a unit, a list or 1-D tensor; found the shape {array.shape}.")
        if not np.isfinite(array).all():
            where = int(np.flatnonzero(~np.isfinite(array))[0])
            raise ClaimError(
                f"unit {where} of {len(array)} was measured as {array[where]}. "
                "Leave such units out of the population, or use evidence.undefined(reason)."
            )
        return array


def _length(batch: Mapping[str, Tensor]) -> int:
    return min(map(len, batch.values()), default=0)
