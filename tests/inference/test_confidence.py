"""Coverage is exact for 0/1 outcomes, by walking the lattice of counts, and simulated for other bounded units."""

import ast
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import binom

from mechtests import inference
from mechtests.inference import Interval, mean_interval, rate_interval
from mechtests.inference.confidence import FRACTIONS, RESOLUTION, log_mean_wealth, log_rate_wealth

HORIZON = 2000
RUNS = 2000
# A simulated error rate may exceed alpha by chance. This many misses or more in RUNS runs has probability below 1e-4
# even if the true rate were alpha exactly; at alpha = 0.05 it is 139 of 2000, at 0.01 it is 38.
SIMULATION_SLACK = 1e-4
ROUNDING = 10 * RESOLUTION

alphas = st.floats(1e-6, 0.5)
shares = arrays(np.float64, st.integers(1, 60), elements=st.floats(0, 1, width=32))
steady = settings(deadline=None, derandomize=True, max_examples=60)


@st.composite
def outcomes(draw):
    units = draw(st.integers(0, 5000))
    return draw(st.integers(0, units)), units


def walk(rate, candidate, alpha, horizon):
    """Exact chances that a run of up to ``horizon`` units has the interval above, or below, a candidate first."""
    undecided = np.ones(1)
    above = below = 0.0
    for units in range(1, horizon + 1):
        undecided = np.append(undecided * (1 - rate), 0) + np.append(0, undecided * rate)
        successes = np.arange(units + 1)
        excluded = log_rate_wealth(successes, units - successes, candidate) >= -math.log(alpha)
        high = successes > units * candidate
        above += undecided[excluded & high].sum()
        below += undecided[excluded & ~high].sum()
        undecided[excluded] = 0
    return above, below


def first_exclusions(draw, candidate, alpha, runs=RUNS, horizon=HORIZON):
    """For each simulated run the unit at which the mean interval first lies above, and below, a candidate."""
    richer_above = np.ones((len(FRACTIONS), runs))
    richer_below = np.ones((len(FRACTIONS), runs))
    above, below = np.full(runs, np.inf), np.full(runs, np.inf)
    for unit in range(1, horizon + 1):
        x = draw(runs)
        richer_above *= 1 + FRACTIONS[:, None] * (x / candidate - 1)
        richer_below *= 1 + FRACTIONS[:, None] * ((1 - x) / (1 - candidate) - 1)
        above[(richer_above.mean(0) >= 2 / alpha) & np.isinf(above)] = unit
        below[(richer_below.mean(0) >= 2 / alpha) & np.isinf(below)] = unit
    return above, below


DISTRIBUTIONS = {
    "uniform": (lambda rng: rng.random, 0.5),
    "beta skewed": (lambda rng: lambda n: rng.beta(0.5, 4.5, n), 0.1),
    "beta narrow": (lambda rng: lambda n: rng.beta(80, 20, n), 0.8),
    "two points": (lambda rng: lambda n: np.where(rng.random(n) < 0.3, 0.9, 0.2), 0.41),
    "nearly all at 1": (lambda rng: lambda n: np.where(rng.random(n) < 0.01, 0.0, 0.99), 0.9801),
    "a point": (lambda _: lambda n: np.full(n, 0.999), 0.999),
}


class TestCoverage:
    @pytest.mark.parametrize("rate", [0.01, 0.1, 0.5, 0.9, 0.999])
    @pytest.mark.parametrize("alpha", [0.05, 0.01, 0.001])
    def test_the_rate_interval_ever_misses_with_probability_at_most_alpha(self, rate, alpha):
        assert sum(walk(rate, rate, alpha, HORIZON)) <= alpha

    @pytest.mark.parametrize("alpha", [0.05, 0.01])
    @pytest.mark.parametrize("name", DISTRIBUTIONS)
    def test_the_mean_interval_ever_misses_with_probability_at_most_alpha(self, name, alpha):
        make, mean = DISTRIBUTIONS[name]
        above, below = first_exclusions(make(np.random.default_rng(1)), mean, alpha)
        misses = np.isfinite(np.minimum(above, below)).sum()
        assert misses <= binom.isf(SIMULATION_SLACK, RUNS, alpha)

    @pytest.mark.parametrize("alpha", [0.05, 0.001])
    def test_a_rate_on_the_edge_of_a_region_is_ever_called_inside_with_probability_at_most_alpha(self, alpha):
        falsely_supported, _ = walk(0.9, 0.9, alpha, HORIZON)
        assert 0 < falsely_supported <= alpha

    def test_a_mean_on_the_edge_of_a_region_is_ever_called_inside_with_probability_at_most_alpha(self):
        above, _ = first_exclusions(DISTRIBUTIONS["beta narrow"][0](np.random.default_rng(2)), 0.8, 0.05)
        # One end alone may err with alpha / 2.
        assert 0 < np.isfinite(above).sum() <= binom.isf(SIMULATION_SLACK, RUNS, 0.025)


class TestPower:
    # Exact chances for rates; for means the standard error is below 0.01.
    @pytest.mark.parametrize(("rate", "units", "chance"), [(0.99, 500, 0.9999), (0.97, 999, 0.999), (0.95, 2000, 0.99)])
    def test_a_rate_well_inside_is_called_inside(self, rate, units, chance):
        supported, refuted = walk(rate, 0.9, 0.001, units)
        assert supported >= chance
        assert refuted < 0.001

    def test_a_narrow_mean_is_called_inside_within_a_few_hundred_units(self):
        draw = DISTRIBUTIONS["beta narrow"][0](np.random.default_rng(3))
        above, _ = first_exclusions(draw, 0.78, 0.001, runs=500, horizon=500)
        assert np.isfinite(above).mean() >= 0.99

    def test_variance_is_learned(self):
        rng = np.random.default_rng(4)
        narrow = mean_interval(rng.beta(500, 500, 500), 0.001)
        wide = mean_interval((rng.random(500) < 0.5).astype(float), 0.001)
        assert (narrow.upper - narrow.lower) < 0.15 * (wide.upper - wide.lower)


class TestRateInterval:
    def test_holds_everything_when_no_unit_was_seen(self):
        assert rate_interval(0, 0, 0.001) == Interval(0, 1)

    @pytest.mark.parametrize("units", [1, 50, 4096, 10**7])
    def test_reaches_the_end_when_all_outcomes_agree(self, units):
        assert rate_interval(0, units, 0.05).lower == 0
        assert rate_interval(units, units, 0.05).upper == 1

    @steady
    @given(outcomes(), alphas)
    def test_lies_within_0_and_1_and_holds_the_observed_rate(self, counts, alpha):
        interval = rate_interval(*counts, alpha)
        assert 0 <= interval.lower <= interval.upper <= 1
        assert interval.lower <= counts[0] / max(counts[1], 1) <= interval.upper or counts[1] == 0

    @steady
    @given(outcomes(), alphas, alphas)
    def test_is_no_wider_with_a_larger_alpha(self, counts, alpha, other):
        narrow, wide = rate_interval(*counts, max(alpha, other)), rate_interval(*counts, min(alpha, other))
        assert narrow.lower >= wide.lower - ROUNDING
        assert narrow.upper <= wide.upper + ROUNDING

    @steady
    @given(outcomes(), alphas)
    def test_mirrors_when_successes_and_failures_are_swapped(self, counts, alpha):
        successes, units = counts
        interval, mirror = rate_interval(successes, units, alpha), rate_interval(units - successes, units, alpha)
        assert mirror.lower == pytest.approx(1 - interval.upper, abs=ROUNDING)

    @steady
    @given(outcomes(), alphas)
    def test_ends_where_the_wealth_reaches_one_over_alpha(self, counts, alpha):
        successes, units = counts
        interval = rate_interval(successes, units, alpha)
        for end, inwards in ((interval.lower, RESOLUTION), (interval.upper, -RESOLUTION)):
            if 0 < end < 1:
                assert log_rate_wealth(successes, units - successes, end) >= -math.log(alpha) - 1e-6
                assert log_rate_wealth(successes, units - successes, end + 2 * inwards) < -math.log(alpha)

    @pytest.mark.parametrize(("successes", "units"), [(-1, 3), (4, 3), (0, -1)])
    def test_refuses_counts_that_cannot_be(self, successes, units):
        with pytest.raises(ValueError, match="0 <= successes <= units"):
            rate_interval(successes, units, 0.05)

    @pytest.mark.parametrize("alpha", [0, 1, -0.1, 2, math.nan])
    def test_refuses_an_alpha_that_is_no_probability(self, alpha):
        with pytest.raises(ValueError, match="0 < alpha < 1"):
            rate_interval(1, 2, alpha)
        with pytest.raises(ValueError, match="0 < alpha < 1"):
            mean_interval(np.zeros(2), alpha)


class TestMeanInterval:
    def test_holds_everything_when_no_unit_was_seen(self):
        assert mean_interval(np.array([]), 0.001, (-2, 3)) == Interval(-2, 3)

    @pytest.mark.parametrize("bounds", [(0, 1), (-0.3, 0.7), (1e-3, 1e6)])
    def test_reaches_the_bound_when_all_units_lie_on_it(self, bounds):
        low, high = bounds
        assert mean_interval(np.full(300, low), 0.01, bounds).lower == low
        assert mean_interval(np.full(300, high), 0.01, bounds).upper == high

    def test_a_single_unit_leaves_nearly_everything(self):
        assert mean_interval(np.array([0.5]), 0.001).lower < 0.001

    @steady
    @given(shares, alphas)
    def test_lies_within_the_bounds_and_holds_the_sample_mean(self, values, alpha):
        interval = mean_interval(values, alpha)
        assert 0 <= interval.lower <= values.mean() <= interval.upper <= 1

    @steady
    @given(shares, alphas, alphas)
    def test_is_no_wider_with_a_larger_alpha(self, values, alpha, other):
        narrow, wide = mean_interval(values, max(alpha, other)), mean_interval(values, min(alpha, other))
        assert narrow.lower >= wide.lower - ROUNDING
        assert narrow.upper <= wide.upper + ROUNDING

    @steady
    @given(shares, alphas)
    def test_mirrors_when_the_units_are_mirrored(self, values, alpha):
        interval, mirror = mean_interval(values, alpha), mean_interval(1 - values, alpha)
        assert mirror.lower == pytest.approx(1 - interval.upper, abs=ROUNDING)
        assert mirror.upper == pytest.approx(1 - interval.lower, abs=ROUNDING)

    @steady
    @given(shares, alphas, st.randoms(use_true_random=False))
    def test_does_not_depend_on_the_order_of_the_units(self, values, alpha, random):
        shuffled = random.sample(list(values), len(values))
        interval, other = mean_interval(values, alpha), mean_interval(np.array(shuffled), alpha)
        assert (other.lower, other.upper) == pytest.approx((interval.lower, interval.upper), abs=ROUNDING)

    @steady
    @given(shares, alphas, st.floats(-100, 100), st.floats(0.01, 100))
    def test_moves_and_stretches_with_the_bounds(self, values, alpha, low, width):
        high = low + width
        interval = mean_interval(values, alpha)
        moved = mean_interval(np.clip(low + width * values, low, high), alpha, (low, high))
        slack = ROUNDING * width + 1e-10
        assert moved.lower == pytest.approx(low + width * interval.lower, abs=slack)
        assert moved.upper == pytest.approx(low + width * interval.upper, abs=slack)

    def test_is_what_the_simulations_follow(self):
        values = np.random.default_rng(5).beta(8, 2, 400)
        alpha, candidate = 0.05, 0.77
        stream = iter(values)
        above, _ = first_exclusions(lambda n: np.full(n, next(stream)), candidate, alpha, runs=1, horizon=400)
        unit = int(above[0])
        assert mean_interval(values[: unit - 1], alpha).lower < candidate <= mean_interval(values[:unit], alpha).lower

    @steady
    @given(shares, alphas)
    def test_ends_where_one_gambler_reaches_two_over_alpha(self, values, alpha):
        interval = mean_interval(values, alpha)
        if interval.lower > 0:
            assert log_mean_wealth(values, interval.lower) >= math.log(2 / alpha) - 1e-6
            assert log_mean_wealth(values, interval.lower + 2 * RESOLUTION) < math.log(2 / alpha)

    @pytest.mark.parametrize("values", [[0.5, 1.1], [-0.1], [math.nan, 0.5], [math.inf]])
    def test_refuses_values_outside_the_bounds(self, values):
        with pytest.raises(ValueError, match="within bounds"):
            mean_interval(np.array(values), 0.05)

    @pytest.mark.parametrize("bounds", [(1, 0), (1, 1), (0, math.inf), (math.nan, 1)])
    def test_refuses_bounds_that_are_no_interval(self, bounds):
        with pytest.raises(ValueError, match="two finite numbers in order"):
            mean_interval(np.zeros(2), 0.05, bounds)

    def test_refuses_more_than_one_number_a_unit(self):
        with pytest.raises(ValueError, match=r"shape \(2, 3\)"):
            mean_interval(np.zeros((2, 3)), 0.05)


class TestInterval:
    def test_may_be_inside_a_region_outside_it_or_neither(self):
        region = Interval(0.9, math.inf)
        assert Interval(0.9, 1).inside(region)
        assert not Interval(0.9, 1).outside(region)
        assert Interval(0.1, 0.8).outside(region)
        straddling = Interval(0.8, 0.95)
        assert not straddling.inside(region)
        assert not straddling.outside(region)

    @pytest.mark.parametrize("ends", [(1, 0), (math.nan, 1), (0, math.nan)])
    def test_refuses_to_be_empty(self, ends):
        with pytest.raises(ValueError, match="lower <= upper"):
            Interval(*ends)


def test_inference_needs_arrays_only():
    # Read from the source, because importing any part of mechtests runs its top level, which may need more.
    allowed = {"numpy", "scipy", "jaxtyping", *sys.stdlib_module_names}
    for module in Path(inference.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(module.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert all(name.split(".")[0] in allowed or name.startswith("mechtests.inference") for name in names)
