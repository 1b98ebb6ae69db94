"""A claim followed unit by unit: the decision on its region, the interval behind it, and the e-value.

Every candidate value is tested at level ``alpha`` by two gamblers, one who bets that the truth is higher (``up``) and
one who bets that it is lower (``down``). A candidate is excluded when the first has multiplied a stake of ``w`` by
``1 / (w alpha)`` or the second one of ``1 - w`` by ``1 / ((1 - w) alpha)``: together they hold a stake of 1, so by
Ville's inequality a true value is ever excluded with probability at most ``alpha``, whatever ``w`` is.

``w`` may depend on the candidate, as long as it is fixed beforehand. An interval for its own sake has 1/2 everywhere.
Here the question is whether the truth lies in a region, so the stake goes where an exclusion would answer it:

* candidates below the region: 0.98 on ``up``; above it: 0.98 on ``down``. Excluding them supports the claim.
* candidates in a region with one end: 0.98 on the bet that leaves the region. Excluding them refutes the claim.
* candidates in a region with two ends: half on either, since the truth may leave it on either side.

So a verdict on a region with one end needs a wealth of ``1.02 / alpha`` and not ``2 / alpha``, and the same interval
shows it. The price is that the end which answers nothing lies further out. Intervals aimed at a question: Hayter & Hsu,
"On the relationship between stepwise decision procedures and confidence sets" (JASA, 1994).
"""

import math
import operator
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy
from jaxtyping import Float

from mechtests.inference.confidence import RESOLUTION, Interval

ASIDE = 0.02
"""The part of ``alpha`` that goes to exclusions which do not answer the claim's question. It costs 2 % of a verdict's
threshold, and puts the interval's idle end where ``alpha / 50`` would."""

LOG_LARGEST = math.log(sys.float_info.max)

Side = Literal["up", "down"]


@dataclass(frozen=True)
class Region:
    """The values that a claim allows.

    Attributes:
        lower: the low end, ``-inf`` for none.
        upper: the high end, ``inf`` for none.
        lower_open: whether the low end itself is not allowed.
        upper_open: whether the high end itself is not allowed.

    Raises:
        ValueError: if the region is empty, or an end is NaN.

    """

    lower: float = -math.inf
    upper: float = math.inf
    lower_open: bool = False
    upper_open: bool = False

    def __post_init__(self) -> None:
        ends = f"Region(lower={self.lower}, upper={self.upper})"
        if not (self.lower < self.upper or (self.lower == self.upper and not (self.lower_open or self.upper_open))):
            raise ValueError(
                f"{ends} holds no number. Give the ends in order, with -inf or inf for an end without one."
            )

    def __contains__(self, value: float) -> bool:
        above = value > self.lower or (value == self.lower and not self.lower_open)
        below = value < self.upper or (value == self.upper and not self.upper_open)
        return above and below


@dataclass(frozen=True)
class Bet:
    """One gambler's share of ``alpha``, and the end of the region he is aimed at, if any."""

    share: float
    edge: float | None = None


@dataclass(frozen=True)
class Zone:
    """Candidates tested alike: those below, in, or above the region."""

    region: Region
    up: Bet
    down: Bet


class SequentialProcess(ABC):
    """What is known of one value after each unit; see the module for how candidates are tested.

    The budget, the region and alpha are fixed before the first unit is seen. Everything holds at any stopping time.

    Args:
        region: the values that the claim allows.
        alpha: the probability of ever excluding the true value, and so of a false verdict of either kind.
        bounds: the least and greatest value that a unit can take.

    Raises:
        ValueError: if the region holds all values within bounds or none, or ``alpha`` is not between 0 and 1.

    """

    def __init__(self, region: Region, alpha: float, bounds: tuple[float, float]) -> None:
        if not 0 < alpha < 1:
            raise ValueError(f"Expected an error probability 0 < alpha < 1, but got alpha={alpha}. Use 0.001, say.")
        self.region, self.alpha, self.bounds = region, alpha, bounds
        self.below, self.within, self.above = _zones(region, bounds)
        self.units = 0

    @property
    @abstractmethod
    def value(self) -> float:
        """The mean of the units seen, NaN without any."""

    @abstractmethod
    def observe(self, values: Float[np.ndarray, " unit"], /) -> None:
        """Take in the values of further units, in the order they came."""

    @abstractmethod
    def _log_wealth(self, side: Side, candidate: float, edge: float | None) -> float:
        """Log of what a gambler has made of 1 against a candidate, aimed at an end of the region or at none.

        Against ``up`` it is a supermartingale where the truth is the candidate or less, and falls with the candidate
        wherever it is above 0; against ``down`` the other way round.
        """

    def decision(self) -> bool | None:
        """Whether the interval lies in the region (true), outside it (false), or on both sides; cheap."""
        if not self.units:
            return None
        outside = [zone for zone in (self.below, self.above) if zone is not None and not self._excluded(zone)]
        if self.value in self.region:
            return None if outside else True
        return False if self._excluded(self.within) and len(outside) < 2 else None

    def interval(self) -> Interval:
        """The values not yet excluded, and the observed one, which always counts as one of them.

        It lies in the region, or outside it, exactly when :meth:`decision` says so. An end that cannot be told from an
        end of the region which does not belong to it is the next float.

        Returns:
            The interval, within bounds; all of the bounds without units.

        """
        if not self.units:
            return Interval(float(self.bounds[0]), float(self.bounds[1]))
        ends = [self.value]
        for zone in (self.below, self.within, self.above):
            if zone is not None and not self._excluded(zone):
                ends += [self._last(zone, "up"), self._last(zone, "down")]
        return Interval(min(ends), max(ends))

    def e_value(self) -> float:
        """E-value for "the value lies in the region" against all others; supported where ``1 / (0.98 alpha)`` or more.

        Where the region has two ends, the less of the two gamblers counts.

        Returns:
            The e-value, 1 without units, never above the largest float.

        """
        logs = []
        if self.below is not None:
            logs.append(self._log_wealth("up", self.below.region.upper, self.below.up.edge))
        if self.above is not None:
            logs.append(self._log_wealth("down", self.above.region.lower, self.above.down.edge))
        least = min(logs)
        return sys.float_info.max if least >= LOG_LARGEST else math.exp(least)

    def _excess(self, side: Side, zone: Zone, candidate: float) -> float:
        """By how much a gambler's log wealth is over what excludes the candidate."""
        bet = zone.up if side == "up" else zone.down
        return self._log_wealth(side, candidate, bet.edge) + math.log(bet.share * self.alpha)

    def _excluded(self, zone: Zone) -> bool:
        """Whether one gambler excludes the whole zone, by excluding the candidate hardest for him.

        One who is aimed at no end of the region cannot: his hardest candidate is a bound, against which nothing is won.
        """
        up = zone.up.edge is not None and self._excess("up", zone, zone.region.upper) >= 0
        return up or (zone.down.edge is not None and self._excess("down", zone, zone.region.lower) >= 0)

    def _last(self, zone: Zone, side: Side) -> float:
        """The candidate of a zone next to those that one gambler excludes: its own end if he excludes none."""
        region = zone.region
        start, stop = (region.lower, region.upper) if side == "up" else (region.upper, region.lower)
        if self._excess(side, zone, start) < 0:
            is_open = region.lower_open if side == "up" else region.upper_open
            return math.nextafter(start, stop) if is_open and start != stop else start
        resolution = RESOLUTION * (self.bounds[1] - self.bounds[0])
        return _crossing(lambda candidate: self._excess(side, zone, candidate), start, stop, resolution)


def least_threshold(alpha: float) -> float:
    """The wealth that a verdict on an end of a region takes: ``1 / (0.98 alpha)``."""
    return 1 / ((1 - ASIDE) * alpha)


def checked_rate(name: str, value: float) -> float:
    if not 0 < value < 1:
        raise ValueError(f"Expected 0 < {name} < 1, but got {name}={value}.")
    return value


def checked_count(name: str, value: int, least: int = 1) -> int:
    value = operator.index(value)
    if value < least:
        raise ValueError(f"Expected {name} of {least} or more, but got {value}.")
    return value


def vector(values: Float[np.ndarray, " unit"]) -> Float[np.ndarray, " unit"]:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise ValueError(f"Expected one number per unit, shape (units,), but got shape {array.shape}.")
    return array


def _zones(region: Region, bounds: tuple[float, float]) -> tuple[Zone | None, Zone, Zone | None]:
    low, high = bounds
    if low in region and high in region:
        raise ValueError(
            f"{region} holds every value within the bounds [{low}, {high}]: nothing could refute the claim."
        )
    no_lower = region.lower < low or (region.lower == low and not region.lower_open)
    no_upper = region.upper > high or (region.upper == high and not region.upper_open)
    if region.lower > high or region.upper < low or (region.lower == high and region.lower_open):
        raise ValueError(f"{region} holds no value within the bounds [{low}, {high}]: nothing could support the claim.")
    if region.upper == low and region.upper_open:
        raise ValueError(f"{region} holds no value within the bounds [{low}, {high}]: nothing could support the claim.")
    aimed, aside = 1 - ASIDE, Bet(ASIDE)
    below = above = None
    if not no_lower:
        outside = Region(low, region.lower, False, not region.lower_open and region.lower > low)
        below = Zone(outside, Bet(aimed, region.lower), aside)
    if not no_upper:
        outside = Region(region.upper, high, not region.upper_open and region.upper < high, False)
        above = Zone(outside, aside, Bet(aimed, region.upper))
    down = aside if no_lower else Bet(aimed if no_upper else 0.5, region.lower)
    up = aside if no_upper else Bet(aimed if no_lower else 0.5, region.upper)
    inside = Region(
        max(low, region.lower),
        min(high, region.upper),
        not no_lower and region.lower_open,
        not no_upper and region.upper_open,
    )
    return below, Zone(inside, up, down), above


def _crossing(excess: Callable[[float], float], excluded: float, kept: float, resolution: float) -> float:
    """An excluded candidate within a resolution of one that is kept, given one of each."""

    def clipped(candidate: float) -> float:
        return min(max(excess(candidate), -100.0), 100.0)

    if abs(kept - excluded) > resolution and clipped(kept) < 0 < clipped(excluded):
        root = scipy.optimize.brentq(clipped, excluded, kept, xtol=resolution / 8)
        step = math.copysign(resolution / 4, kept - excluded)
        for candidate in (root + step, root - step):
            if min(excluded, kept) < candidate < max(excluded, kept):
                excluded, kept = (candidate, kept) if excess(candidate) >= 0 else (excluded, candidate)
    while abs(kept - excluded) > resolution:
        middle = (excluded + kept) / 2
        excluded, kept = (middle, kept) if excess(middle) >= 0 else (excluded, middle)
    return excluded
