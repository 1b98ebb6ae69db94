"""Number of units of a sequential verdict on a rate, compared with a test whose number of units is fixed.

The claim is a rate of at least 0.9, the truth is 0.99, and alpha is 0.001. All figures are exact: the sequential
verdict by walking the lattice of (units, successes), the fixed design from binomial tails. None is a time.

What "the same error rates" means decides the outcome, so several readings are recorded. The sequential verdict spends
much less than alpha and, with a budget of 512 units or more, hardly ever misses. A fixed design that does as well takes
three times its units: asserted. With a budget of 256 units it misses 0.3% of runs, and takes 0.6 of the fixed design's
units. Against a fixed design with alpha itself and a miss rate of 1e-3 it takes 0.68, and no sequential test could get
far below a half: Wald's bound on its mean number of units is 97 where the fixed design takes 190.
"""

import math
from dataclasses import asdict, dataclass

import numpy as np
import pytest
from scipy.stats import binom

from mechtests.inference import rate_interval
from mechtests.inference.confidence import log_rate_wealth

AT_LEAST, TRUTH, ALPHA = 0.9, 0.99, 0.001
BUDGETS = {256: 0.65, 512: 0.5, 1024: 0.5, 4096: 0.5}
"""Most units that may be seen, and the share of the fixed design's units that a verdict may take on average."""
BATCHES = (1, 32)
"""Units between two looks at the verdict."""


@dataclass(frozen=True)
class Sequential:
    """What a sequential verdict does over all runs. Rates are exact probabilities."""

    budget: int
    batch: int
    false_rate: float  # ever supported, at a true rate of AT_LEAST
    miss_rate: float  # never supported, at a true rate of TRUTH
    mean_units: float  # at a true rate of TRUTH


def chances(rate: float, budget: int, batch: int) -> tuple[np.ndarray, float]:
    """The chance of a "supported" at each number of units, and that of none within the budget."""
    undecided = np.ones(1)
    supported = np.zeros(budget + 1)
    refuted = 0.0
    for units in range(1, budget + 1):
        undecided = np.append(undecided * (1 - rate), 0) + np.append(0, undecided * rate)
        if units % batch:
            continue
        successes = np.arange(units + 1)
        # The interval has left the rate AT_LEAST on one side, as the test below checks.
        decided = log_rate_wealth(successes, units - successes, AT_LEAST) >= -math.log(ALPHA)
        high = successes > AT_LEAST * units
        supported[units] = undecided[decided & high].sum()
        refuted += undecided[decided & ~high].sum()
        undecided[decided] = 0
    return supported, refuted + undecided.sum()


def sequential(budget: int, batch: int) -> Sequential:
    falsely, _ = chances(AT_LEAST, budget, batch)
    supported, missed = chances(TRUTH, budget, batch)
    mean_units = np.arange(budget + 1) @ supported + budget * missed
    return Sequential(budget, batch, float(falsely.sum()), float(missed), float(mean_units))


def fixed_units(false_rate: float, miss_rate: float, most: int = 20_000) -> int:
    """The fewest units with which an exact one-sided binomial test keeps both error rates."""
    units = np.arange(1, most)
    successes_needed = binom.isf(false_rate, units, AT_LEAST) + 1
    kept = binom.cdf(successes_needed - 1, units, TRUTH) <= miss_rate
    assert kept.any(), f"No fixed design of up to {most} units misses with probability {miss_rate} or less."
    return int(units[kept.argmax()])


def wald_bound(false_rate: float, miss_rate: float) -> float:
    """No sequential test with these error rates has fewer units on average at TRUTH (Wald, 1945)."""
    per_unit = TRUTH * math.log(TRUTH / AT_LEAST) + (1 - TRUTH) * math.log((1 - TRUTH) / (1 - AT_LEAST))
    gain = (1 - miss_rate) * math.log((1 - miss_rate) / false_rate)
    return (gain + miss_rate * math.log(miss_rate / (1 - false_rate))) / per_unit


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("budget", BUDGETS)
def test_a_sequential_verdict_takes_at_most_half_the_units_of_a_fixed_design_as_good(benchmark, budget, batch):
    design = benchmark.pedantic(sequential, args=(budget, batch), rounds=1)
    units = fixed_units(design.false_rate, design.miss_rate)
    benchmark.extra_info.update(asdict(design))
    benchmark.extra_info["fixed_units_at_realised_rates"] = units
    benchmark.extra_info["ratio_at_realised_rates"] = design.mean_units / units
    benchmark.extra_info["wald_bound_at_realised_rates"] = wald_bound(design.false_rate, design.miss_rate)
    for miss_rate in (1e-2, 1e-3, 1e-6):
        nominal = fixed_units(ALPHA, miss_rate)
        benchmark.extra_info[f"fixed_units_at_alpha_and_miss_{miss_rate:g}"] = nominal
        benchmark.extra_info[f"ratio_at_alpha_and_miss_{miss_rate:g}"] = design.mean_units / nominal
    assert design.false_rate <= ALPHA
    assert design.mean_units <= BUDGETS[budget] * units


def test_a_usual_miss_rate_leaves_no_sequential_test_much_below_half(benchmark):
    bound = benchmark.pedantic(wald_bound, args=(ALPHA, 1e-3), rounds=1)
    units = fixed_units(ALPHA, 1e-3)
    benchmark.extra_info.update(wald_bound=bound, fixed_units=units)
    assert bound > 0.45 * units


@pytest.mark.parametrize("units", [60, 129, 512])
def test_an_interval_takes_the_verdicts_that_the_lattice_counts(benchmark, units):
    intervals = benchmark.pedantic(
        lambda: [rate_interval(successes, units, ALPHA) for successes in range(units + 1)], rounds=1
    )
    decided = [log_rate_wealth(s, units - s, AT_LEAST) >= -math.log(ALPHA) for s in range(units + 1)]
    assert decided == [interval.lower >= AT_LEAST or interval.upper < AT_LEAST for interval in intervals]
