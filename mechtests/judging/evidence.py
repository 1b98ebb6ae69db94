"""What a claim's body observes: the record it writes."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NoReturn, TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mechtests.claiming.estimate import Estimate, more_units
from mechtests.claiming.expectations import (
    Average,
    ClaimError,
    Expectation,
    Mean,
    Monotone,
    Permutation,
    Rank,
    Rate,
    Value,
)
from mechtests.families.curve import Curve
from mechtests.inference import SequentialProcess
from mechtests.judging.checks import margins_of, must_be_family, must_expect, numbers, one_number, units_of
from mechtests.judging.pairing import PairedUnits
from mechtests.judging.sampling import SampledUnits, Samples, SamplingLoop

Batch = TypeVar("Batch")

PERMUTATION_DRAWS = 9_999

TWO_VALUES = "the claim's body recorded two values. A claim has one; make the second a claim of its own."


class Untested(Exception):  # noqa: N818 - it is no error, and leaves the body of a claim early
    """The claim cannot be put to the test on this model; the message says why."""


@dataclass
class Evidence:
    """Records what a claim's body observes, and says when it is enough.

    A body uses one way of recording: :meth:`batches` with :meth:`observe` for units drawn from a family,
    :meth:`observe` alone for a sample it has, :meth:`census` for a population seen whole, :meth:`value`, :meth:`rank`,
    :meth:`permutation` or :meth:`response` for the expectations Value, Rank, Permutation and Monotone.

    Attributes:
        expect: the claim's expectation.
        alpha: the error rate of the interval.
        budget: the greatest number of units that the run may sample.
        generator: randomness for the body; its seed is the run's and the claim's.
        progress: called with each estimate on the way.
        units: sample as many, whatever is decided; ``None`` samples until the region is decided or the budget is spent.
        rival: the model's own units, where this is the evidence of one of its controls: then sampling ends when it is
            decided whether the model does more, and at the latest with as many units as the model has.
    """

    expect: Expectation
    alpha: float
    budget: int
    generator: torch.Generator
    progress: Callable[[Estimate], None] | None = None
    units: int | None = None
    rival: PairedUnits | None = None
    undefined_because: str | None = field(default=None, init=False)
    curves: list[Curve] = field(default_factory=list, init=False)
    remarks: list[str] = field(default_factory=list, init=False)
    _looked: int = field(default=0, init=False)
    _values: list[Float[np.ndarray, " unit"]] = field(default_factory=list, init=False)
    _margins: list[Float[np.ndarray, " unit"] | None] = field(default_factory=list, init=False)
    _loops: list[SamplingLoop] = field(default_factory=list, init=False)
    _planned: int | None = field(default=None, init=False)
    """How many units there will be at most; ``None`` for a sample that the body has."""
    _process: SequentialProcess | None = field(default=None, init=False)
    _whole: Estimate | None = field(default=None, init=False)

    def batches(
        self, family: Samples[Batch], *, most: int | None = None, size: int = 32, search: bool = True
    ) -> Iterator[Batch]:
        """Batches of inputs drawn from ``family``, until the verdict is decided or the budget is spent.

        Each batch must be answered by :meth:`observe` with one value per input.

        Args:
            family: what inputs are drawn from.
            most: the greatest number of the claim's units, where it is less than the run's budget: for units that are
                expensive to measure.
            size: inputs per batch; the last batch may be smaller.
            search: whether to search ``family`` for a counterexample once the verdict is known. The verdict does not
                depend on it.

        Raises:
            ClaimError: ``family`` is none, ``most`` or ``size`` is less than 1, or a batch was answered with more or
                fewer values than it has inputs.
        """
        must_be_family(family)
        for name, given in (("size", size), ("most", most)):
            if given is not None and given < 1:
                raise ClaimError(f"evidence.batches({name}={given}): expected 1 input or more.")
        loop = SamplingLoop(family, most, size, search)
        self._loops.append(loop)
        limit = loop.limit(self.budget if self.units is None else self.units)
        self._planned = self._planned or loop.limit(self.budget)
        while (units := self._units()) < limit:
            asked = min(size, limit - units)
            yield loop.sample(asked, self.generator)
            observed = self._units() - units
            if observed != asked:
                raise ClaimError(
                    f"evidence.batches gave {asked} inputs and evidence.observe was given {observed} values. "
                    "Observe one value for each input: the unit is the input, never a point within it."
                )
            if self._decided():
                return

    def obtainable(self, budget: int) -> int:
        """How many units the body can draw within ``budget``; 0 for a sample it has, which is as large as it is."""
        return max((loop.limit(budget) for loop in self._loops), default=0)

    def observe(
        self, values: Tensor | Sequence[float] | Sequence[bool], margin: Tensor | Sequence[float] | None = None
    ) -> None:
        """Record one value for each of some independent units, drawn from a larger population.

        Args:
            values: one per unit; true or false for a rate.
            margin: for a rate, by how much each unit is true: above zero where it is, below zero where it is not. The
                search for a counterexample goes where it is small; the verdict does not depend on it.

        Raises:
            ClaimError: the claim does not expect a rate, mean or difference; a value is NaN, infinite or, for a rate,
                neither true nor false; the margin is not one finite number per unit of the unit's sign.
        """
        expect = self._average()
        if self._whole is not None:
            raise ClaimError(TWO_VALUES)
        units = units_of(expect, values)
        expect.check_sample(units)
        self._margins.append(None if margin is None else margins_of(expect, margin, units))
        self._values.append(units)
        self._process = self._process or expect.process(self.alpha, self._planned)
        self._process.observe(units)
        if self.rival is not None:
            self.rival.observe(units)

    def census(self, values: Tensor | Sequence[float] | Sequence[bool]) -> None:
        """Record one value for every unit of the population: the mean is exact and needs no interval.

        Raises:
            ClaimError: as :meth:`observe`, or the census is empty.
        """
        expect = self._average()
        units = units_of(expect, values)
        if not len(units):
            raise ClaimError("evidence.census was given no units. Use evidence.undefined(reason) where there are none.")
        self._record(expect.census(units))

    def value(self, value: Tensor | float, units: int = 1) -> None:
        """Record one number known without sampling error, worked out over ``units`` units."""
        must_expect(self.expect, Value)
        assert isinstance(self.expect, Value)
        self._record(self.expect.estimate(one_number(value), units))

    def rank(self, score: Tensor | float, rivals: Tensor | Sequence[float]) -> None:
        """Record the place of ``score`` among the scores of its rivals; a tie counts against it."""
        must_expect(self.expect, Rank)
        assert isinstance(self.expect, Rank)
        others = numbers(rivals)
        if not len(others):
            raise ClaimError("evidence.rank was given no rivals. Use evidence.undefined(reason) where there are none.")
        self._record(self.expect.estimate(one_number(score), others))

    def permutation(self, matrix: Float[Tensor, "... column"], statistic: Callable[[Tensor], Tensor | float]) -> None:
        """Record ``statistic(matrix)`` against its distribution when the columns of ``matrix`` are permuted."""
        must_expect(self.expect, Permutation)
        assert isinstance(self.expect, Permutation)
        observed = one_number(statistic(matrix))
        orders = (torch.randperm(matrix.shape[-1], generator=self.generator) for _ in range(PERMUTATION_DRAWS))
        null = np.array([float(statistic(matrix.index_select(-1, order.to(matrix.device)))) for order in orders])
        self._record(self.expect.estimate(observed, null, matrix.numel()))

    def response(self, label: str, x: Iterable[float], y: Iterable[float | Tensor]) -> None:
        """Record the response ``y`` along ``x`` on which a :class:`Monotone` claim is judged, and show it as a figure.

        Raises:
            ClaimError: the claim does not expect a Monotone, or the response is not as :meth:`figure` takes it.
        """
        must_expect(self.expect, Monotone)
        assert isinstance(self.expect, Monotone)
        self.figure(label, x, y)
        estimate = self.expect.estimate(np.array(self.curves[-1].y))
        if estimate is None:
            return self.undefined(f"{label} does not change along the curve")
        return self._record(estimate)

    def figure(self, label: str, x: Iterable[float], y: Iterable[float | Tensor]) -> None:
        """Show the curve ``y`` along ``x`` in the report; the verdict does not depend on it.

        Raises:
            ClaimError: there are fewer than two points, not as many ``x`` as ``y``, or one of them is not finite.
        """
        along, up = (numbers([float(value) for value in axis]).tolist() for axis in (x, y))
        if len(along) != len(up) or len(along) < 2:
            raise ClaimError(f"{label}: expected two or more points, found {len(along)} x and {len(up)} y.")
        self.curves.append(Curve(label, tuple(along), tuple(up)))

    def undefined(self, reason: str) -> None:
        """Say that the claim's quantity does not exist on this model, such as when no neuron is of the kind it names.

        On the model the claim is then vacuous: the search for what it speaks of came back empty. On a control's draw it
        says that the draw comes nowhere near the claim. A body may write ``return evidence.undefined(reason)``.
        """
        self.undefined_because = reason

    def remark(self, text: str) -> None:
        """Say something beside the verdict's reason, such as what a verdict would take; it changes no verdict."""
        self.remarks.append(text)

    def untested(self, reason: str) -> NoReturn:
        """Leave the body: the claim cannot be put to the test on this model, such as when it has no layer 8.

        On the model the claim is then untested, whatever was observed before. A control's draw on which this is called
        counts as :meth:`undefined`.

        Raises:
            Untested: always; the judge turns it into the verdict.
        """
        raise Untested(reason)

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
                "Call evidence.observe, census, value, rank, permutation or response."
            )
        assert self._process is not None
        return Estimate.of(self._process)

    def trail(self) -> list[Estimate]:
        """The estimate and its interval as units came in; empty where the value is exact or nothing was observed.

        Where nobody looked on the way it is worked out afterwards: the interval holds at all numbers of units at once.
        """
        if self._whole is not None or not self._units():
            return []
        values, process = np.concatenate(self._values), self._average().process(self.alpha, self._planned)
        trail: list[Estimate] = []
        while process.units < len(values):
            process.observe(values[process.units : more_units(process.units)])
            trail.append(Estimate.of(process))
        return trail

    @property
    def values(self) -> Float[np.ndarray, " unit"]:
        """What was observed of each unit, in the order they came; empty where the value is exact."""
        return np.concatenate(self._values) if self._values else np.empty(0)

    def drawn(self) -> SampledUnits | None:
        """Where the units came from; ``None`` unless each is a yes or no to one input of one family."""
        if not isinstance(self.expect, Rate) or self.expect.direction == "within" or len(self._loops) != 1:
            return None
        return self._loops[0].sampled_units(*self.answers()) if self._values else None

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

    def _average(self) -> Average:
        must_expect(self.expect, Rate, Mean)
        assert isinstance(self.expect, Average)
        return self.expect

    def _decided(self) -> bool:
        """Whether sampling may stop; the verdict does not depend on when it is looked."""
        assert self._process is not None
        units, looked = self._process.units, self._looked
        if self.progress and units >= more_units(looked):
            self._looked = units
            self.progress(Estimate.of(self._process))
        if self.rival is not None:
            return self.rival.decided
        return self.units is None and self._process.decision() is not None

    def _units(self) -> int:
        return sum(map(len, self._values))

    def _record(self, estimate: Estimate) -> None:
        if self._whole is not None or self._units():
            raise ClaimError(TWO_VALUES)
        self._whole = estimate
