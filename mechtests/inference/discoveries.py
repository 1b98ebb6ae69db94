"""Claims taken together: which survive, and what e-values over several checkpoints say."""

from collections.abc import Sequence

import numpy as np

from mechtests.inference.evidence_values import checked_e_values
from mechtests.inference.processes import checked_rate


def closed_e_benjamini_hochberg(e_values: Sequence[float], fdr: float) -> list[bool]:
    """Which claims survive together, by the closure of e-BH: never fewer than e-BH, with the same guarantee.

    Source: Xu, Fischer & Ramdas, "Bringing closure to FDR control: beating the e-Benjamini-Hochberg procedure" (2025),
    with the mean as e-value of an intersection. A set ``R`` may survive if, for every set ``A`` that could be the true
    nulls, ``mean of e over A >= |A and R| / (fdr |R|)``. Then the false discovery proportion is at most ``fdr`` times
    the e-value of the true nulls, whose expectation is at most 1. Of all such sets this is the largest: the ``r``
    greatest e-values for the greatest ``r`` that will do.

    For given ``r`` the hardest ``A`` with ``a`` members in ``R`` takes the ``a`` least of ``R``, and of the others each
    whose e-value is below ``a / (fdr r)``. That is O(K) sets to check for each ``r``, and O(K^2 log K) in all.

    Args:
        e_values: one per claim.
        fdr: the expected share, among the claims that survive, of those whose null hypothesis is true.

    Returns:
        Whether each claim survives, in the order given.

    Raises:
        ValueError: if an e-value is negative or NaN, or ``fdr`` is not between 0 and 1.

    """
    checked_rate("fdr", fdr)
    e = checked_e_values(e_values)
    order = np.argsort(-e, kind="stable")
    falling = e[order]
    # An e-value above this is as good as infinite: alone it carries any set. It also keeps the sums finite.
    falling = np.minimum(falling, 2 * len(e) ** 2 / fdr)
    for size in range(len(e), 0, -1):
        inside, outside = falling[:size][::-1], falling[size:][::-1]
        members = np.arange(1, size + 1)
        lines = members / (fdr * size)
        least = np.concatenate([[0.0], np.cumsum(outside)])
        others = np.searchsorted(outside, lines)
        spare = np.cumsum(inside) + least[others] - (members + others) * lines
        if (spare >= -1e-12 * (members + others) * lines).all():
            survivors = np.zeros(len(e), dtype=bool)
            survivors[order[:size]] = True
            return [bool(survives) for survives in survivors]
    return [False] * len(e)


def partial_conjunction_e_value(e_values: Sequence[float], at_least: int) -> float:
    """E-value for "the claim holds on at least so many of these checkpoints", however the e-values depend.

    Unless it does, ``n - at_least + 1`` or more checkpoints are true nulls. The mean over the ``n - at_least + 1``
    least e-values is at most the mean over as many true nulls, whose expectation is at most 1. With ``at_least`` 1 it
    is the mean of all, "on some"; with ``n`` the least, "on all".

    Source: Benjamini & Heller, "Screening for partial conjunction hypotheses" (2008), with the mean of e-values as the
    merging function (Vovk & Wang, 2021).

    Args:
        e_values: one per checkpoint, each for "the claim holds on this one".
        at_least: on how many.

    Returns:
        The e-value.

    Raises:
        ValueError: if there are no e-values, one is negative or NaN, or ``at_least`` is not between 1 and their number.

    """
    e = np.sort(checked_e_values(e_values))
    if not 1 <= at_least <= len(e):
        raise ValueError(f"Expected at_least between 1 and the {len(e)} e-values given, but got {at_least}.")
    least = e[: len(e) - at_least + 1]
    return float((least / len(least)).sum())
