"""E-values: how much a claim has won against its negation, and which of many claims survive together.

An e-value is a nonnegative number with expectation at most 1 if the null hypothesis is true; here the null hypothesis
is always that the true value lies outside the claim's region, so a large e-value supports the claim. The e-values of
rates and means are the wealths behind the intervals in :mod:`mechtests.inference.confidence`, and so hold at any
stopping time too.
"""

import math
import sys
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from mechtests.inference.confidence import (
    Interval,
    checked_outcomes,
    checked_shares,
    log_mean_wealth,
    log_rate_wealth,
)

LOG_LARGEST = math.log(sys.float_info.max)
"""E-values stop at the largest float, so that they stay numbers in JSON. Lowering an e-value keeps it valid."""


def rate_e_value(successes: int, units: int, region: Interval) -> float:
    """E-value for "the rate lies in the region", against every rate outside it, valid at any stopping time.

    It is the least wealth of any rate outside the region. It is at least ``1 / alpha`` when, and up to the
    intervals' rounding only when, ``rate_interval(successes, units, alpha)`` is inside the region.

    Source: Robbins (1970), as in :func:`mechtests.inference.rate_interval`. The least of the e-processes of a composite
    null is an e-process: Ramdas, Grünwald, Vovk & Shafer, "Game-theoretic statistics and safe anytime-valid
    inference" (2023).

    Args:
        successes: units with outcome 1.
        units: units seen.
        region: the rates that the claim allows; an end at or beyond 0 or 1 is no limit.

    Returns:
        The e-value, 1 if there are no units, never above the largest float.

    Raises:
        ValueError: if ``successes`` is not between 0 and ``units``, or the region holds all of [0, 1].

    """
    successes, failures = checked_outcomes(successes, units)
    low, high = _limits(region, (0.0, 1.0))
    if units == 0:
        return 1.0
    rate = successes / units
    # The wealth is least at the observed rate, so outside the region it is least at the nearest rate to that.
    nearest = ([] if low is None else [min(low, rate)]) + ([] if high is None else [max(high, rate)])
    return _number(min(float(log_rate_wealth(successes, failures, m)) for m in nearest))


def mean_e_value(
    values: Float[np.ndarray, " unit"], region: Interval, bounds: tuple[float, float] = (0.0, 1.0)
) -> float:
    """E-value for "the mean lies in the region", against every mean outside it, valid at any stopping time.

    Each end of the region has one gambler against it, who starts with 1, and the poorer one counts. It is at least
    ``2 / alpha`` when, and up to the intervals' rounding only when, ``mean_interval(values, alpha, bounds)`` is
    inside the region: the interval hedges, with half of the money on each side, and the e-value need not.

    Source: Waudby-Smith & Ramdas (2024), as in :func:`mechtests.inference.mean_interval`.

    Args:
        values: one number a unit, in the unit of ``bounds``; independent draws with the same mean.
        region: the means that the claim allows; an end at or beyond a bound is no limit.
        bounds: the least and greatest value that a unit can take.

    Returns:
        The e-value, 1 if there are no units, never above the largest float.

    Raises:
        ValueError: if values are not a vector of numbers within ``bounds``, ``bounds`` are not two finite numbers in
            order, or the region holds all of them.

    """
    shares = checked_shares(values, bounds)
    low, high = _limits(region, bounds)
    against_lower = [] if low is None else [log_mean_wealth(shares, low)]
    against_higher = [] if high is None else [log_mean_wealth(1 - shares, 1 - high)]
    return _number(min(against_lower + against_higher))


def e_benjamini_hochberg(e_values: Sequence[float], fdr: float) -> list[bool]:
    """Which claims survive together, with the false discovery rate at most ``fdr`` however the e-values depend.

    Source: Wang & Ramdas, "False discovery rate control with e-values" (JRSS B, 2022), the base e-BH procedure: of K
    claims keep the k largest, k the greatest number with ``k e_[k] / K >= 1 / fdr``.

    Args:
        e_values: one a claim.
        fdr: the expected share, among the claims that survive, of those whose null hypothesis is true.

    Returns:
        Whether each claim survives, in the order given.

    Raises:
        ValueError: if an e-value is negative or NaN, or ``fdr`` is not between 0 and 1.

    """
    if not 0 < fdr < 1:
        raise ValueError(f"Expected a false discovery rate 0 < fdr < 1, but got fdr={fdr}. Use 0.05, say.")
    e = checked_e_values(e_values)
    falling = np.sort(e)[::-1]
    ranks = np.arange(1, e.size + 1)
    enough = np.flatnonzero(falling >= e.size / (ranks * fdr))
    if not enough.size:
        return [False] * e.size
    return [bool(kept) for kept in e >= falling[enough[-1]]]


def checked_e_values(e_values: Sequence[float]) -> Float[np.ndarray, " claim"]:
    """``e_values`` as an array.

    Raises:
        ValueError: one is negative or NaN.
    """
    e = np.asarray(e_values, dtype=np.float64)
    wrong = np.flatnonzero(~(e >= 0))
    if wrong.size:
        raise ValueError(
            f"Expected e-values of 0 or more, but number {wrong[0]} is {e[wrong[0]]}. Leave out claims that have none."
        )
    return e


def e_from_p(p: float) -> float:
    """E-value made from a p-value by a calibrator, for claims whose evidence is a permutation test.

    Source: Vovk & Wang, "E-values: calibration, combination and applications" (Annals of Statistics, 2021), Section 2:
    the calibrators ``k p^(k - 1)`` averaged over k in (0, 1), ``(1 - p + p ln p) / (p (ln p)^2)``. It needs no choice
    of k, and its integral over p is 1. It gives much less than ``1 / p``: 20.8 for p = 0.001, 0.5 for p = 1.

    Args:
        p: a p-value, above 0.

    Returns:
        The e-value, at least 0.5 and never above the largest float.

    Raises:
        ValueError: if p is not in (0, 1].

    """
    if not 0 < p <= 1:
        raise ValueError(
            f"Expected a p-value 0 < p <= 1, but got p={p}. "
            "A permutation p-value is never 0: count the observed statistic among its draws."
        )
    surprise = -math.log(p)
    if surprise < 1e-4:
        # Where exp(x) - 1 - x loses its digits; the next term of the series is x^2 / 24.
        return 0.5 + surprise / 6
    if surprise > LOG_LARGEST:
        return sys.float_info.max
    return (math.expm1(surprise) - surprise) / surprise**2


def _limits(region: Interval, bounds: tuple[float, float]) -> tuple[float | None, float | None]:
    """The region's ends as shares of the bounds' width, ``None`` for an end that allows everything on its side."""
    low, high = bounds
    if region.lower <= low and high <= region.upper:
        raise ValueError(
            f"The region [{region.lower}, {region.upper}] holds every value within the bounds [{low}, {high}], so no "
            "data could refute the claim. Narrow the region."
        )
    # Past a bound the wealth is at its least already, so the share stops there.
    lower = None if region.lower <= low else min((region.lower - low) / (high - low), 1.0)
    upper = None if region.upper >= high else max((region.upper - low) / (high - low), 0.0)
    return lower, upper


def _number(log_e_value: float) -> float:
    return sys.float_info.max if log_e_value >= LOG_LARGEST else math.exp(log_e_value)
