"""Means of bounded units followed unit by unit, at a cost per unit that does not grow.

The gamblers are those of :func:`mechtests.inference.mean_interval` (Waudby-Smith & Ramdas, 2024, dKelly): each splits
his money over nine constant stakes. At the ends of the region the nine log-wealths run along, so that a decision and
an e-value cost nine sums per unit. Other candidates are worked out from all units when an interval is asked for.
"""

import math

import numpy as np
from jaxtyping import Float

from mechtests.inference.confidence import FRACTIONS, checked_shares
from mechtests.inference.processes import Region, SequentialProcess, Side

ROWS = 8
"""Units whose gains are multiplied before a logarithm is taken. Eight losses of the boldest stake leave 257^-8."""

BLOCK = 8_192
"""Units worked on at a time, to stay within a processor's cache."""


class MeanProcess(SequentialProcess):
    """What is known of a mean after each unit.

    Args:
        region: the means that the claim allows.
        alpha: the probability of ever excluding the true mean, and so of a false verdict.
        bounds: the least and greatest value that a unit can take. They are part of the claim, never read off the data.

    Raises:
        ValueError: if the region holds all means within bounds or none, ``bounds`` are not two finite numbers in order,
            or ``alpha`` is not between 0 and 1.

    """

    def __init__(self, region: Region, alpha: float, bounds: tuple[float, float] = (0.0, 1.0)) -> None:
        checked_shares(np.zeros(0), bounds)
        super().__init__(region, alpha, bounds)
        self._shares: list[Float[np.ndarray, " unit"]] = []
        self._total = 0.0
        edges = [zone.region.upper for zone in (self.below,) if zone is not None]
        edges += [zone.region.lower for zone in (self.above,) if zone is not None]
        sides: tuple[Side, Side] = ("up", "down")
        self._growth: dict[tuple[Side, float], Float[np.ndarray, " fraction"]] = {
            (side, edge): np.zeros(len(FRACTIONS)) for edge in edges for side in sides
        }

    @property
    def value(self) -> float:
        return self._from_share(self._total / self.units) if self.units else math.nan

    def observe(self, values: Float[np.ndarray, " unit"]) -> None:
        """Take in the values of further units: independent draws with one mean.

        Raises:
            ValueError: if values are not a vector of numbers within ``bounds``.

        """
        shares = checked_shares(values, self.bounds)
        self._shares.append(shares)
        self.units += len(shares)
        self._total += float(shares.sum())
        for side, edge in self._growth:
            self._growth[side, edge] += log_growth(*self._mirrored(side, edge, shares))

    def _log_wealth(self, side: Side, candidate: float, edge: float | None) -> float:  # noqa: ARG002
        growth = self._growth.get((side, candidate))
        if growth is None:
            if len(self._shares) > 1:
                self._shares = [np.concatenate(self._shares)]
            growth = log_growth(*self._mirrored(side, candidate, self._shares[0]))
        return float(np.logaddexp.reduce(growth)) - math.log(len(FRACTIONS))

    def _mirrored(
        self, side: Side, candidate: float, shares: Float[np.ndarray, " unit"]
    ) -> tuple[Float[np.ndarray, " unit"], float]:
        """Units and candidate as a gambler sees them who always bets on more."""
        low, high = self.bounds
        mean = min(max((candidate - low) / (high - low), 0.0), 1.0)
        return (shares, mean) if side == "up" else (1 - shares, 1 - mean)

    def _from_share(self, share: float) -> float:
        low, high = self.bounds
        return min(max(low * (1 - share) + high * share, low), high)


def log_growth(shares: Float[np.ndarray, " unit"], mean: float) -> Float[np.ndarray, " fraction"]:
    """For each constant stake, the log of what it makes of 1 against "the mean is ``mean`` or less".

    Source: Waudby-Smith & Ramdas (2024): ``sum_i log(1 + c (x_i - m) / m)``.
    """
    growth = np.zeros(len(FRACTIONS))
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        for start in range(0, len(shares), BLOCK):
            odds = shares[start : start + BLOCK] / mean
            if mean == 0:
                # Any positive unit wins without limit, and a unit of 0 neither wins nor loses.
                odds = np.where(np.isnan(odds), 1.0, odds)
            gains = FRACTIONS[:, None] * odds + (1 - FRACTIONS[:, None])
            whole = len(odds) // ROWS * ROWS
            products = gains[:, :whole].reshape(len(FRACTIONS), ROWS, -1).prod(1)
            growth += np.log(products).sum(1) + np.log(gains[:, whole:]).sum(1)
    return growth
