"""What few training seeds say: a rate over seeds, and the range of an effect over seeds."""

import math
from dataclasses import dataclass

import numpy as np
import scipy
from jaxtyping import Float
from scipy.special import betainc, betaincinv

from mechtests.inference.confidence import PRIOR, Interval
from mechtests.inference.processes import Region, checked_count, checked_rate, vector
from mechtests.inference.rate_process import RateProcess

ALWAYS = 0.6
"""The part of the money on "every seed", which a recipe that works shows. Ten of ten then support 0.7 at 0.05."""


@dataclass(frozen=True)
class Posterior:
    """What is believed of a rate: Jeffreys' prior and the seeds seen. It is an opinion, and no verdict.

    Attributes:
        chance: the posterior chance that the rate lies in the claim's region.
        interval: the middle part of the posterior, with equal tails.

    """

    chance: float
    interval: Interval


@dataclass(frozen=True)
class Replication:
    """Over how many seeds a claim holds, read in two ways.

    Attributes:
        decided: the verdict on the rate among seeds on which the claim was decided.
        cautious: the verdict on the rate among all seeds, where an undecided one counts as a failure.
        interval: the interval of the first reading.
        e_value: the e-value of the first reading.

    """

    decided: bool | None
    cautious: bool | None
    interval: Interval
    e_value: float


def replication_process(region: Region, alpha: float) -> RateProcess:
    """The process that a rate over training seeds is followed by: no budget, and a part on "every seed"."""
    return RateProcess(region, alpha, always=ALWAYS)


def replication(held: int, failed: int, undecided: int, region: Region, alpha: float) -> Replication:
    """The verdicts on "the claim holds on such a share of seeds", valid however many seeds are added later.

    Args:
        held: seeds on which the claim is supported.
        failed: seeds on which it is refuted or vacuous.
        undecided: seeds on which it is inconclusive; no failures.
        region: the shares that the claim allows.
        alpha: the error rate.

    Raises:
        ValueError: if a count is negative, or as :class:`RateProcess`.

    """
    counts = (
        checked_count("held", held, 0),
        checked_count("failed", failed, 0),
        checked_count("undecided", undecided, 0),
    )
    among_decided, among_all = replication_process(region, alpha), replication_process(region, alpha)
    among_decided.observe(np.repeat([1.0, 0.0], counts[:2]))
    among_all.observe(np.repeat([1.0, 0.0, 0.0], counts))
    return Replication(
        among_decided.decision(), among_all.decision(), among_decided.interval(), among_decided.e_value()
    )


def seeds_needed(region: Region, alpha: float, failures: int = 0, most: int = 10_000) -> int | None:
    """The fewest seeds with which a share of them can be supported, if all but so many hold.

    Args:
        region: the shares that the claim allows, such as ``Region(0.8)``.
        alpha: the error rate.
        failures: seeds on which the claim fails.
        most: where to stop looking.

    Returns:
        The number of seeds, failures included; ``None`` if ``most`` do not do.

    """
    process = replication_process(region, alpha)
    process.observe(np.zeros(checked_count("failures", failures, 0)))
    while process.decision() is not True:
        if process.units >= most:
            return None
        process.observe(np.ones(1))
    return process.units


def rate_posterior(successes: int, units: int, region: Region, mass: float = 0.9) -> Posterior:
    """What a few seeds suggest of a rate, where no verdict can be had.

    Source: Brown, Cai & DasGupta, "Interval estimation for a binomial proportion" (2001): Jeffreys' interval.

    Args:
        successes: seeds on which the claim holds.
        units: seeds seen.
        region: the shares that the claim allows.
        mass: the part of the posterior in the interval.

    Raises:
        ValueError: if ``successes`` is not between 0 and ``units``, or ``mass`` not between 0 and 1.

    """
    checked_rate("mass", mass)
    if checked_count("successes", successes, 0) > checked_count("units", units, 0):
        raise ValueError(f"Expected at most as many successes as units, but got {successes} of {units}.")
    shape = PRIOR + successes, PRIOR + units - successes
    low, high = max(region.lower, 0.0), min(region.upper, 1.0)
    chance = float(betainc(*shape, high) - betainc(*shape, low)) if low < high else 0.0
    tail = (1 - mass) / 2
    return Posterior(chance, Interval(float(betaincinv(*shape, tail)), float(betaincinv(*shape, 1 - tail))))


def tolerance_factor(units: int, content: float = 0.8, confidence: float = 0.95) -> float:
    """``k`` such that ``mean - k s`` is below a share of a normal population with a given confidence.

    Source: Krishnamoorthy & Mathew, "Statistical Tolerance Regions" (2009), Section 2.2: the ``confidence`` quantile of
    the noncentral t distribution with ``n - 1`` degrees of freedom and noncentrality ``z_content sqrt(n)``, over
    ``sqrt(n)``.

    Raises:
        ValueError: if there are fewer than two units, or a share is not between 0 and 1.

    """
    units = checked_count("units", units, 2)
    shift = float(scipy.stats.norm.ppf(checked_rate("content", content))) * math.sqrt(units)
    return float(scipy.stats.nct.ppf(checked_rate("confidence", confidence), units - 1, shift)) / math.sqrt(units)


def tolerance_limits(
    values: Float[np.ndarray, " seed"], content: float = 0.8, confidence: float = 0.95
) -> tuple[float, float]:
    """One-sided limits for an effect over seeds: a share of all lies above the first, as many below the second.

    Each holds with the given confidence for one number of seeds fixed beforehand, *if effects are normal over seeds*:
    mark what is made of it as model-based.

    Args:
        values: the effect on each seed, two or more.
        content: the share of seeds that a limit speaks of.
        confidence: the chance that it is right.

    Returns:
        ``(mean - k s, mean + k s)``, with ``k`` the :func:`tolerance_factor` and ``s`` the sample's deviation.

    Raises:
        ValueError: if there are fewer than two finite values, or a share is not between 0 and 1.

    """
    array = vector(values)
    if not np.isfinite(array).all():
        raise ValueError("Expected finite effects, one per seed. Leave out seeds without one, and say how many.")
    margin = tolerance_factor(len(array), content, confidence) * float(array.std(ddof=1))
    return float(array.mean()) - margin, float(array.mean()) + margin
