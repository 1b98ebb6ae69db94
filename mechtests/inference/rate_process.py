"""Rates followed unit by unit, by a process that knows how many units there may be.

The gambler who bets that a rate is higher than a candidate ``m`` splits his money, before the first unit, over

* a *mixture*: Jeffreys' prior cut off below ``m``, which wins at whatever number of units the truth comes out;
* for each *horizon*, a number of units ``N``: the fixed-sample test that asks for ``k`` successes among ``N``, played
  as the martingale ``P_m(S_N >= k | S_n) / P_m(S_N >= k)`` (Doob's). It wins most of what a test of fixed size would,
  if the sample is looked at until then;
* for few and dear units such as training seeds, the rate 1 itself: ``m^-n`` while all succeed.

Each part is a nonnegative supermartingale where the true rate is ``m`` or less, so their sum is one too. The gambler
who bets lower is the same with successes and failures swapped. After a horizon its part stays what it was there: a
sample that grows beyond its budget keeps the same process, and a stop at any unit is valid.
"""

import math
from bisect import bisect_left
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import betainc, betaincc, betaln

from mechtests.inference.confidence import PRIOR, log_rate_wealth
from mechtests.inference.processes import Bet, Region, SequentialProcess, Side, Zone, vector

SMALLEST_HORIZON = 256
"""A budget has horizons at itself, a quarter of it, a sixteenth and so on, down to this many units: a sample that may
have 4,096 should not wait for them all to say what 256 show."""

LEAST_TAIL = 1e-290
"""A tail smaller than this has lost digits, and is summed term by term instead."""

TERMS = 4_000
"""Terms of such a sum, enough for ten million units."""

NO_MONEY = -math.inf


@dataclass(frozen=True)
class Horizon:
    """A fixed-sample test among the bets: ``wins`` or more among the first ``units``."""

    units: int
    wins: int


@dataclass(frozen=True)
class Plan:
    """How one gambler splits his money: equal parts on the mixture and each horizon, after a part on the rate 1."""

    horizons: tuple[Horizon, ...] = ()
    always: float = 0.0

    @property
    def part(self) -> float:
        return (1 - self.always) / (1 + len(self.horizons))


@dataclass(frozen=True)
class Counts:
    """Outcomes as one gambler sees them; ``wins_by`` has the wins at horizons that are past."""

    wins: int
    losses: int
    wins_by: tuple[int | None, ...] = ()


class RateProcess(SequentialProcess):
    """What is known of a rate after each unit.

    The parameters are fixed before the first unit is seen.

    Args:
        region: the rates that the claim allows.
        alpha: the probability of ever excluding the true rate, and so of a false verdict.
        budget: the number of units that are meant to be seen at most; more may come, and none need. ``None`` for no
            number in mind.
        always: the part of the money on "every unit succeeds", for claims that rates are high, or on "none does", for
            claims that they are low. It decides such claims with the fewest units, and takes longer once one fails.

    Raises:
        ValueError: if the region holds all rates or none, ``alpha`` is not between 0 and 1, the budget is not
            positive, or ``always`` not in [0, 1).

    """

    def __init__(self, region: Region, alpha: float, budget: int | None = None, *, always: float = 0.0) -> None:
        super().__init__(region, alpha, (0.0, 1.0))
        if budget is not None and budget < 1:
            raise ValueError(f"Expected a budget of 1 unit or more, but got {budget}. Use None where there is none.")
        if not 0 <= always < 1:
            raise ValueError(f"Expected a part of the money 0 <= always < 1, but got {always}.")
        self.successes = 0
        self._sizes = horizon_sizes(budget)
        self._successes_by: list[int | None] = [None] * len(self._sizes)
        self._plans: dict[tuple[Side, float | None], Plan] = {}
        for zone, part in ((self.below, always), (self.within, 0.0), (self.above, always)):
            for side, bet in _bets(zone):
                if bet.edge is not None:
                    hardest = bet.edge if side == "up" else 1 - bet.edge
                    self._plans[side, bet.edge] = planned(self._sizes, hardest, bet.share * alpha, part)

    @property
    def value(self) -> float:
        return self.successes / self.units if self.units else math.nan

    def observe(self, outcomes: Float[np.ndarray, " unit"] | Bool[np.ndarray, " unit"]) -> None:
        """Take in the outcomes of further units, 0 or 1 each, in the order they came.

        Raises:
            ValueError: if outcomes are not a vector of zeros and ones.

        """
        outcomes = vector(outcomes)
        if not np.isin(outcomes, (0.0, 1.0)).all():
            raise ValueError("Expected outcomes of 0 or 1 each. Follow a MeanProcess where units are other numbers.")
        for index, size in enumerate(self._sizes):
            if self.units < size <= self.units + len(outcomes):
                self._successes_by[index] = self.successes + int(outcomes[: size - self.units].sum())
        self.units += len(outcomes)
        self.successes += int(outcomes.sum())

    def _log_wealth(self, side: Side, candidate: float, edge: float | None) -> float:
        plan = self._plans.get((side, edge), Plan())
        failures = self.units - self.successes
        if side == "up":
            return log_wealth(plan, Counts(self.successes, failures, tuple(self._successes_by)), candidate)
        failures_by = tuple(
            None if successes is None else size - successes
            for size, successes in zip(self._sizes, self._successes_by, strict=True)
        )
        return log_wealth(plan, Counts(failures, self.successes, failures_by), 1 - candidate)


def log_mixture_wealth(wins: int, losses: int, rate: float) -> float:
    """Log of what Jeffreys' mixture over the rates above a candidate makes of 1 against it.

    Source: Robbins (1970) with the prior cut off below the candidate: the two-sided wealth of
    :func:`mechtests.inference.confidence.log_rate_wealth`, times the posterior over the prior chance of a higher rate.
    """
    if rate >= 1:
        return 0.0  # there is no higher rate to bet on
    if rate <= 0 and wins:
        return math.inf
    posterior = float(betaincc(PRIOR + wins, PRIOR + losses, rate))
    if posterior == 0:
        return NO_MONEY
    prior = float(betaincc(PRIOR, PRIOR, rate))
    return float(log_rate_wealth(wins, losses, rate)) + math.log(posterior) - math.log(prior)


def log_wealth(plan: Plan, counts: Counts, rate: float) -> float:
    """Log of what a gambler who bets that the rate is higher than ``rate`` has made of 1."""
    wins, losses = counts.wins, counts.losses
    parts = [math.log(plan.part) + log_mixture_wealth(wins, losses, rate)]
    if plan.always and not losses:
        parts.append(math.log(plan.always) - (wins * math.log(rate) if rate > 0 else -math.inf * bool(wins)))
    units = wins + losses
    for index, horizon in enumerate(plan.horizons):
        if not 0 < rate < 1:
            continue
        by = counts.wins_by[index]
        if by is None:
            log_chance = log_at_least(horizon.wins - wins, horizon.units - units, rate)
        else:
            log_chance = 0.0 if by >= horizon.wins else NO_MONEY
        parts.append(math.log(plan.part) + log_chance - log_at_least(horizon.wins, horizon.units, rate))
    return float(np.logaddexp.reduce(parts))


def log_at_least(wins: int, units: int, rate: float) -> float:
    """Log of the chance of that many wins or more among units that each win with a given rate, between 0 and 1."""
    if wins <= 0:
        return 0.0
    if wins > units:
        return NO_MONEY
    tail = float(betainc(wins, units - wins + 1, rate))
    if tail > LEAST_TAIL:
        return math.log(tail)
    # So far out, each term of the binomial sum is a fixed part of the one before, or less.
    further = np.arange(min(units - wins, TERMS))
    falls = np.cumprod((units - wins - further) * rate / ((wins + 1 + further) * (1 - rate)))
    first = -math.log(units + 1) - float(betaln(wins + 1, units - wins + 1))
    return first + wins * math.log(rate) + (units - wins) * math.log1p(-rate) + math.log1p(float(falls.sum()))


def horizon_sizes(budget: int | None) -> tuple[int, ...]:
    """The budget, a quarter of it, and so on down to :data:`SMALLEST_HORIZON`."""
    if budget is None:
        return ()
    sizes = [budget]
    while sizes[-1] // 4 >= SMALLEST_HORIZON:
        sizes.append(sizes[-1] // 4)
    return tuple(sizes)


def planned(sizes: tuple[int, ...], rate: float, alpha: float, always: float = 0.0) -> Plan:
    """The plan against a candidate rate at the end of a region.

    Each horizon asks for the fewest wins that, with what the mixture has made of its own part, exclude the candidate
    there. A horizon at which not even all wins would do gets no money.
    """
    if not 0 < rate < 1:
        return Plan((), always)
    useful = [size for size in sizes if size * math.log(rate) <= math.log(alpha)]
    # Horizons shrink, so those that are of no use come last, and the rest keep their places in Counts.wins_by.
    part = Plan(tuple(Horizon(size, size) for size in useful), always).part

    def excludes(wins: int, size: int) -> bool:
        mixture = log_mixture_wealth(wins, size - wins, rate)
        won = float(np.logaddexp(mixture, -log_at_least(wins, size, rate)))
        return math.log(part) + won >= -math.log(alpha)

    def wins_needed(size: int) -> int:
        possible = range(math.ceil(size * rate), size + 1)
        return possible[min(bisect_left(possible, True, key=lambda wins: excludes(wins, size)), len(possible) - 1)]

    return Plan(tuple(Horizon(size, wins_needed(size)) for size in useful), always)


def _bets(zone: Zone | None) -> tuple[tuple[Side, Bet], ...]:
    return () if zone is None else (("up", zone.up), ("down", zone.down))
