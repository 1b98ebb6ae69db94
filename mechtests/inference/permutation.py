"""Permutation nulls: how extreme a statistic is among the same statistic on shuffled data."""

from typing import Literal

import numpy as np
from jaxtyping import Float


def permutation_p_value(statistic: float, null: Float[np.ndarray, " draw"], tail: Literal["low", "high"]) -> float:
    """The p-value of a statistic against draws of it under the null hypothesis.

    The observed statistic counts as one more draw, so that the p-value is never 0 and its error rate is exact with any
    number of draws. Ties count as extreme.

    Source: Phipson & Smyth, "Permutation P-values should never be zero" (2010): ``(1 + extreme) / (1 + draws)``.

    Args:
        statistic: the statistic of the data as it is.
        null: the statistic of each shuffled copy, in the same unit.
        tail: ``"low"`` if the claim is that the statistic is low, ``"high"`` if that it is high.

    Returns:
        The p-value, between ``1 / (1 + draws)`` and 1; 1 if there are no draws.

    Raises:
        ValueError: if a number is NaN, ``null`` is not a vector, or ``tail`` is another word.

    """
    null = np.asarray(null, dtype=np.float64)
    if null.ndim != 1:
        raise ValueError(
            f"Expected one number a draw, shape (draws,), but got shape {null.shape}. Reduce each draw first."
        )
    if np.isnan(statistic) or np.isnan(null).any():
        raise ValueError(
            f"Expected numbers, but the statistic is {statistic} and {int(np.isnan(null).sum())} of {null.size} "
            "draws are NaN. Make the statistic defined for every shuffle; a dropped draw would bias the p-value."
        )
    if tail not in {"low", "high"}:
        raise ValueError(f'Expected tail "low" or "high", but got {tail!r}.')
    # A shuffle that changes nothing adds the same numbers in another order, and must still count as a tie.
    slack = 100 * np.finfo(np.float64).eps * abs(statistic)
    extreme = null <= statistic + slack if tail == "low" else null >= statistic - slack
    return (1 + int(np.count_nonzero(extreme))) / (1 + null.size)


def permutation_e_value(p_value: float, draws: int, rank: int) -> float:
    """E-value of a permutation test that bets all on one rank: ``(draws + 1) / rank`` at that rank or a better one.

    The rank is fixed beforehand, as ``alpha (draws + 1)``, say: then a claim supported at ``alpha`` has ``1 / alpha``,
    where the calibrator of :func:`mechtests.inference.e_from_p` gives 21 for 0.001, and any other claim has 0.

    Source: Vovk & Wang, "E-values" (2021): the calibrators ``1{p <= c} / c``; the p-value is at most
    ``rank / (draws + 1)`` with probability at most that.

    Args:
        p_value: from :func:`permutation_p_value`.
        draws: the draws that it was made from.
        rank: the greatest place among ``draws + 1`` that wins, 1 for the most extreme of all.

    Returns:
        The e-value, ``(draws + 1) / rank`` or 0.

    Raises:
        ValueError: if the rank is not between 1 and ``draws + 1``, or the p-value is not one of such a test.

    """
    if not 1 <= rank <= draws + 1:
        raise ValueError(f"Expected a rank between 1 and draws + 1 = {draws + 1}, but got {rank}.")
    place = round(p_value * (draws + 1))
    if not 1 <= place <= draws + 1 or abs(place - p_value * (draws + 1)) > 1e-6:
        raise ValueError(
            f"Expected the p-value of a permutation test with {draws} draws, a multiple of 1 / {draws + 1}, but got "
            f"{p_value}. Pass the number of draws that it was made from."
        )
    return (draws + 1) / rank if place <= rank else 0.0
