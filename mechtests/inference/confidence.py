"""Confidence sequences: intervals for a rate or a mean that may be looked at after every unit.

An interval here covers the true value with probability at least ``1 - alpha`` at every sample size at once, so also at
a sample size that the data chose. Nothing is intersected over time: an interval depends on all units seen so far, and
not on their order or on earlier looks.

Both intervals are what a gambler leaves standing. For each candidate value a wealth is kept that starts at 1 and, were
the candidate true, would be a martingale; by Ville's inequality it ever reaches ``1 / alpha`` with probability at most
``alpha``. The interval holds the candidates whose wealth is still lower.
"""

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.special import betaln, xlog1py, xlogy

PRIOR = 0.5
"""Both parameters of the beta mixture over rates: Jeffreys' prior. It needs no guess at the rate. Near 0 and 1, where
most claims about rates live, the log wealth falls short of the best one in hindsight by ``ln(n) / 2``; with a uniform
prior it would be ``ln(n)``."""

FRACTIONS: Float[np.ndarray, " fraction"] = 1 / (1 + 4.0 ** np.arange(-4, 5))
"""The shares of its wealth that the gambler on a mean stakes: at odds of 256:1 to 1:256, in powers of four. The bold
ones win when units vary little, the timid ones when the mean is near the candidate. Closer spacing did not help."""

RESOLUTION = 1e-9
"""How finely the ends of an interval are found, on a support of width 1; they are rounded outwards."""


@dataclass(frozen=True)
class Interval:
    """The numbers from ``lower`` to ``upper``, both included: an interval for a value, or the region of a claim.

    Attributes:
        lower: the low end, in the value's unit; ``-inf`` for a region without one.
        upper: the high end, in the value's unit; ``inf`` for a region without one.

    Raises:
        ValueError: if the interval is empty, or an end is NaN.

    """

    lower: float
    upper: float

    def __post_init__(self) -> None:
        if not self.lower <= self.upper:
            raise ValueError(
                f"An interval needs lower <= upper, but got lower={self.lower}, upper={self.upper}, which hold "
                "no number. Give the ends in order, with -inf or inf for an end that is open."
            )

    def inside(self, region: "Interval") -> bool:
        """Whether every number of this interval belongs to the region."""
        return region.lower <= self.lower and self.upper <= region.upper

    def outside(self, region: "Interval") -> bool:
        """Whether no number of this interval belongs to the region."""
        return self.upper < region.lower or region.upper < self.lower


def rate_interval(successes: int, units: int, alpha: float) -> Interval:
    """Interval for the rate of successes among 0/1 outcomes, valid at any stopping time.

    Source: Robbins, "Statistical methods related to the law of the iterated logarithm" (1970), the mixture martingale
    with a beta prior on the rate; see :func:`log_rate_wealth`.

    Args:
        successes: units with outcome 1.
        units: units seen.
        alpha: the probability, over all sample sizes together, of missing the true rate.

    Returns:
        The rates not yet excluded, within [0, 1]; all of [0, 1] if there are no units.

    Raises:
        ValueError: if ``successes`` is not between 0 and ``units``, or ``alpha`` not between 0 and 1.

    """
    successes, failures = checked_outcomes(successes, units)
    threshold = -math.log(_checked_alpha(alpha))
    if units == 0:
        return Interval(0.0, 1.0)
    lowest = _lowest_kept(lambda m: float(log_rate_wealth(successes, failures, m)), successes / units, threshold)
    lowest_failing = _lowest_kept(lambda m: float(log_rate_wealth(failures, successes, m)), failures / units, threshold)
    return Interval(lowest, 1 - lowest_failing)


def mean_interval(
    values: Float[np.ndarray, " unit"], alpha: float, bounds: tuple[float, float] = (0.0, 1.0)
) -> Interval:
    """Interval for the mean of bounded units, valid at any stopping time.

    Source: Waudby-Smith & Ramdas, "Estimating means of bounded random variables by betting" (JRSS B, 2024): the hedged
    capital process (Theorem 3) with diversified Kelly bets (dKelly). One gambler bets that the mean is higher than the
    candidate and one that it is lower, each with half of the money; a candidate is out when either has made
    ``1 / alpha`` of the whole, so ``2 / alpha`` of what it began with.

    Args:
        values: one number a unit, in the unit of ``bounds``. Units must be independent draws with the same mean (more
            weakly: each has that mean given the earlier ones).
        alpha: the probability, over all sample sizes together, of missing the true mean.
        bounds: the least and greatest value that a unit can take. They are part of the claim, never read off the data.

    Returns:
        The means not yet excluded, within ``bounds``; all of ``bounds`` if there are no units.

    Raises:
        ValueError: if values are not a vector of numbers within ``bounds``, ``bounds`` are not two finite numbers in
            order, or ``alpha`` is not between 0 and 1.

    """
    shares = checked_shares(values, bounds)
    threshold = math.log(2) - math.log(_checked_alpha(alpha))
    low, high = bounds
    if shares.size == 0:
        return Interval(float(low), float(high))
    mean = float(shares.mean())
    lowest = _lowest_kept(lambda m: log_mean_wealth(shares, m), mean, threshold)
    highest = 1 - _lowest_kept(lambda m: log_mean_wealth(1 - shares, m), 1 - mean, threshold)
    # Weighted this way, a share of 0 or 1 gives back the bound itself, with no rounding.
    return Interval(low * (1 - lowest) + high * lowest, low * (1 - highest) + high * highest)


def log_rate_wealth(
    successes: int | Int[np.ndarray, "*counts"], failures: int | Int[np.ndarray, "*counts"], rate: float
) -> Float[np.ndarray, "*counts"]:
    """Log of the wealth against one candidate rate: the likelihood averaged over the prior, over the candidate's own.

    It is convex in the rate, least at the observed rate, and at most 0 there.

    Source: Robbins (1970); with ``s`` successes, ``f`` failures and the prior Beta(a, a) it reads
    ``B(a + s, a + f) / (B(a, a) m^s (1 - m)^f)``.
    """
    evidence = betaln(PRIOR + successes, PRIOR + failures) - betaln(PRIOR, PRIOR)
    return np.asarray(evidence - xlogy(successes, rate) - xlog1py(failures, -rate))


def log_mean_wealth(shares: Float[np.ndarray, " unit"], mean: float) -> float:
    """Log of the wealth of the gambler who bets that the mean of the shares, in [0, 1], is above a candidate.

    It falls with the candidate, and is at most 0 at the sample mean. If the true mean is the candidate or less, the
    wealth is a nonnegative supermartingale.

    Source: Waudby-Smith & Ramdas (2024), dKelly: ``mean over c of prod_i (1 + c (x_i - m) / m)``, bets ``c / m``.
    """
    with np.errstate(over="ignore"):  # a candidate next to 0 is excluded by any positive unit, with infinite wealth
        gains = (shares - mean) / mean
    growth = np.log1p(np.outer(FRACTIONS, gains)).sum(1)
    return float(np.logaddexp.reduce(growth)) - math.log(len(FRACTIONS))


def checked_outcomes(successes: int, units: int) -> tuple[int, int]:
    """Successes and failures as plain integers.

    Raises:
        ValueError: if ``successes`` is not between 0 and ``units``.

    """
    successes, units = operator.index(successes), operator.index(units)
    if not 0 <= successes <= units:
        raise ValueError(
            f"Expected 0 <= successes <= units, but got successes={successes}, units={units}. "
            "Count every unit once, whatever its outcome."
        )
    return successes, units - successes


def checked_shares(values: Float[np.ndarray, " unit"], bounds: tuple[float, float]) -> Float[np.ndarray, " unit"]:
    """The values rescaled so that the bounds become 0 and 1.

    Raises:
        ValueError: if values are not a vector of numbers within ``bounds``, or ``bounds`` are not two finite numbers in
            order.

    """
    low, high = bounds
    if not (low < high and math.isfinite(high - low)):
        raise ValueError(
            f"Bounds must be two finite numbers in order, but got {bounds}. "
            "Give the least and greatest value that a unit can take."
        )
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1:
        raise ValueError(
            f"Expected one number a unit, shape (units,), but got shape {values.shape}. Reduce each unit first."
        )
    wrong = values[~((values >= low) & (values <= high))]
    if wrong.size:
        raise ValueError(
            f"Expected values within bounds [{low}, {high}], but {wrong.size} of {values.size} are not, the first "
            f"is {wrong[0]}. Widen the bounds to all that a unit can be; to drop units would change the mean."
        )
    return np.clip((values - low) / (high - low), 0.0, 1.0)


def _checked_alpha(alpha: float) -> float:
    if not 0 < alpha < 1:
        raise ValueError(f"Expected an error probability 0 < alpha < 1, but got alpha={alpha}. Use 0.001, say.")
    return alpha


def _lowest_kept(log_wealth: Callable[[float], float], kept: float, threshold: float) -> float:
    """The low end of the candidates whose wealth is under the threshold, given one of them.

    ``log_wealth`` must fall from 0 to ``kept``, both in [0, 1]. The end is found by bisection and lies at most
    ``RESOLUTION`` too low, never too high.
    """
    excluded = 0.0
    while kept - excluded > RESOLUTION:
        middle = (excluded + kept) / 2
        if log_wealth(middle) >= threshold:
            excluded = middle
        else:
            kept = middle
    return excluded
