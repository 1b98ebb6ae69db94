"""Other intervals for a rate that may be looked at after every unit, as their papers state them.

Each function takes outcomes, runs by units, and says at which units the interval of each run lies at or above a
candidate (``True`` in the first array) or below it (second). All are intervals with two ends at ``alpha``.
"""

import math
from collections.abc import Callable

import numpy as np

Clear = tuple[np.ndarray, np.ndarray]
Rival = Callable[[np.ndarray, float, float], Clear]


def by_radius(outcomes: np.ndarray, candidate: float, radius: np.ndarray) -> Clear:
    means = outcomes.cumsum(1) / np.arange(1, outcomes.shape[1] + 1)
    return means - radius > candidate, means + radius < candidate


def stitched(outcomes: np.ndarray, candidate: float, alpha: float) -> Clear:
    """Howard, Ramdas, McAuliffe & Sekhon, "Time-uniform, nonparametric, nonasymptotic confidence sequences" (2021).

    Equation (2), for units with the variance factor 1/4 of the interval [0, 1] (Hoeffding's lemma).
    """
    n = np.arange(1, outcomes.shape[1] + 1)
    radius = 0.5 * 1.7 * np.sqrt((np.log(np.log(2 * n)) + 0.72 * math.log(10.4 / alpha)) / n)
    return by_radius(outcomes, candidate, radius)


def normal_mixture(outcomes: np.ndarray, candidate: float, alpha: float) -> Clear:
    """The same paper, equation (14), two-sided, with ``rho`` tuned for half of the units (Section 3.5)."""
    n = np.arange(1, outcomes.shape[1] + 1)
    variance = n / 4
    rho = variance[len(n) // 2] / (2 * math.log(1 / alpha) + math.log(1 + 2 * math.log(1 / alpha)))
    radius = np.sqrt((variance + rho) * np.log((variance + rho) / (rho * alpha**2))) / n
    return by_radius(outcomes, candidate, radius)


def hedged_capital(outcomes: np.ndarray, candidate: float, alpha: float) -> Clear:
    """Waudby-Smith & Ramdas, "Estimating means of bounded random variables by betting" (2024), Theorem 3.

    Predictable plug-in bets, equation (26), cut off at half of the largest; half of the money on each side.
    """
    runs, units = outcomes.shape
    up, down = np.zeros(runs), np.zeros(runs)
    total, squares, variance = np.full(runs, 0.5), np.full(runs, 0.25), np.full(runs, 0.25)
    above, below = np.zeros((runs, units), dtype=bool), np.zeros((runs, units), dtype=bool)
    for unit in range(1, units + 1):
        x = outcomes[:, unit - 1]
        bet = np.sqrt(2 * math.log(2 / alpha) / (variance * unit * math.log(unit + 1)))
        up += np.log1p(np.minimum(bet, 0.5 / candidate) * (x - candidate))
        down += np.log1p(-np.minimum(bet, 0.5 / (1 - candidate)) * (x - candidate))
        above[:, unit - 1], below[:, unit - 1] = up >= math.log(2 / alpha), down >= math.log(2 / alpha)
        total += x
        squares += (x - total / (unit + 1)) ** 2
        variance = squares / (unit + 1)
    return above, below


def cif_hoeffding(outcomes: np.ndarray, candidate: float, alpha: float) -> Clear:
    """Asiaee, "Certified Interventional Fidelity" (UAI 2026), as in the authors' code: Hoeffding's bound at each unit.

    The error of unit n is ``6 alpha / (pi^2 n^2)``, and all of them add up to ``alpha``.
    """
    n = np.arange(1, outcomes.shape[1] + 1)
    return by_radius(outcomes, candidate, np.sqrt(np.log(2 * math.pi**2 * n**2 / (6 * alpha)) / (2 * n)))


def cif_betting(outcomes: np.ndarray, candidate: float, alpha: float) -> Clear:
    """The same, betting: one gambler against each candidate, whose bet in [-1/2, 1/2] is an online Newton step."""
    runs, units = outcomes.shape
    log_capital, bet, curvature = np.zeros(runs), np.zeros(runs), np.ones(runs)
    out = np.zeros((runs, units), dtype=bool)
    for unit in range(units):
        gap = outcomes[:, unit] - candidate
        factor = 1 + bet * gap
        log_capital += np.log(factor)
        gradient = gap / factor
        curvature += gradient**2
        bet = np.clip(bet + 2 / (2 - math.log(3)) * gradient / curvature, -0.5, 0.5)
        out[:, unit] = log_capital >= math.log(1 / alpha)
    high = outcomes.cumsum(1) > candidate * np.arange(1, units + 1)
    return out & high, out & ~high


RIVALS: dict[str, Rival] = {
    "hedged capital (Waudby-Smith & Ramdas)": hedged_capital,
    "CIF, betting": cif_betting,
    "normal mixture (Howard et al.)": normal_mixture,
    "stitched (Howard et al.)": stitched,
    "CIF, Hoeffding": cif_hoeffding,
}
