import math
import sys

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.integrate import quad
from scipy.stats import binom

from mechtests.inference import (
    Interval,
    e_benjamini_hochberg,
    e_from_p,
    mean_e_value,
    mean_interval,
    rate_e_value,
    rate_interval,
)
from mechtests.inference.confidence import RESOLUTION

steady = settings(deadline=None, derandomize=True, max_examples=100)

alphas = st.floats(1e-6, 0.5)
ends = st.floats(0.05, 0.95)
regions = st.one_of(
    ends.map(lambda low: Interval(low, math.inf)),
    ends.map(lambda high: Interval(-math.inf, high)),
    st.tuples(ends, ends).map(lambda pair: Interval(min(pair), max(pair))),
)
shares = st.builds(
    lambda middle, noise, count: np.clip(np.tile(middle + noise, count), 0, 1),
    st.floats(0, 1),
    arrays(np.float64, st.integers(1, 8), elements=st.floats(-0.125, 0.125, width=32)),
    st.integers(1, 60),
)


@st.composite
def outcomes(draw):
    units = draw(st.integers(0, 2000))
    return draw(st.integers(0, units)), units


def clear_of(region, interval):
    """Whether no end of the interval is within its rounding of an end of the region."""
    gaps = (interval.lower - region.lower, region.upper - interval.upper)
    return all(abs(gap) > 2 * RESOLUTION for gap in gaps)


class TestRateEValue:
    @steady
    @given(outcomes(), regions, alphas)
    def test_reaches_one_over_alpha_exactly_when_the_interval_is_inside(self, counts, region, alpha):
        interval = rate_interval(*counts, alpha)
        assume(clear_of(region, interval))
        assert (rate_e_value(*counts, region) >= 1 / alpha) == interval.inside(region)

    @pytest.mark.parametrize("region", [Interval(0.9, math.inf), Interval(-math.inf, 0.3), Interval(0.4, 0.6)])
    def test_has_expectation_at_most_1_on_the_edges_of_the_region(self, region):
        # Value, over all outcomes of a fixed number of units.
        for edge in {region.lower, region.upper} - {-math.inf, math.inf}:
            for units in (1, 10, 200):
                chances = binom.pmf(np.arange(units + 1), units, edge)
                e_values = [rate_e_value(successes, units, region) for successes in range(units + 1)]
                assert chances @ e_values <= 1 + 1e-9

    def test_is_1_when_no_unit_was_seen(self):
        assert rate_e_value(0, 0, Interval(0.9, 1)) == 1

    def test_is_at_most_1_when_the_observed_rate_is_outside_the_region(self):
        assert rate_e_value(89, 100, Interval(0.9, 1)) <= 1

    @pytest.mark.parametrize("region", [Interval(1, 2), Interval(1.5, 2), Interval(-1, 0), Interval(0.5, 0.5)])
    def test_a_region_that_leaves_no_room_wins_nothing(self, region):
        assert rate_e_value(50, 100, region) <= 1

    @pytest.mark.parametrize("region", [Interval(0, 1), Interval(-math.inf, math.inf), Interval(-1, 1)])
    def test_a_region_that_holds_every_rate_is_refused(self, region):
        with pytest.raises(ValueError, match="no data could refute"):
            rate_e_value(5, 10, region)

    def test_stays_finite(self):
        assert rate_e_value(10**6, 10**6, Interval(0.1, 1)) == sys.float_info.max


class TestMeanEValue:
    @steady
    @given(shares, regions, alphas)
    def test_reaches_two_over_alpha_exactly_when_the_interval_is_inside(self, values, region, alpha):
        interval = mean_interval(values, alpha)
        assume(clear_of(region, interval))
        assert (mean_e_value(values, region) >= 2 / alpha) == interval.inside(region)

    @pytest.mark.parametrize("region", [Interval(0.5, math.inf), Interval(-math.inf, 0.5), Interval(0.5, 0.52)])
    def test_has_expectation_at_most_1_on_the_edge_of_the_region(self, region):
        # Every outcome of five units on a three-point distribution with mean 0.5: the expectation is exact.
        points, chances = np.array([0.0, 0.4, 1.0]), np.array([0.3, 1 / 3, 11 / 30])
        assert points @ chances == pytest.approx(0.5)
        grid = np.array(np.meshgrid(*[range(3)] * 5)).reshape(5, -1).T
        expectation = sum(chances[row].prod() * mean_e_value(points[row], region) for row in grid)
        assert expectation <= 1 + 1e-9

    @steady
    @given(shares, ends, st.floats(-10, 10), st.floats(0.1, 10))
    def test_does_not_depend_on_the_unit_of_the_values(self, values, end, low, width):
        high = low + width
        region = Interval(low + width * end, math.inf)
        moved = mean_e_value(np.clip(low + width * values, low, high), region, (low, high))
        assert math.log(moved) == pytest.approx(math.log(mean_e_value(values, Interval(end, 1))), rel=1e-6, abs=1e-6)

    @steady
    @given(shares, ends)
    def test_mirrors_when_the_units_are_mirrored(self, values, end):
        e_value = mean_e_value(values, Interval(end, math.inf))
        assert mean_e_value(1 - values, Interval(-math.inf, 1 - end)) == pytest.approx(e_value, rel=1e-6)

    def test_is_1_when_no_unit_was_seen(self):
        assert mean_e_value(np.array([]), Interval(0, math.inf), (-1, 1)) == pytest.approx(1)

    def test_a_region_beyond_the_bounds_wins_nothing(self):
        assert mean_e_value(np.full(50, 0.9), Interval(2, 3)) <= 1
        assert mean_e_value(np.full(50, 0.1), Interval(-3, -2)) <= 1

    def test_a_region_that_holds_every_mean_is_refused(self):
        with pytest.raises(ValueError, match="no data could refute"):
            mean_e_value(np.zeros(3), Interval(-1, math.inf), (-1, 1))

    @pytest.mark.parametrize("low", [0.5, 1e-300, 5e-324])
    def test_stays_finite(self, low):
        assert mean_e_value(np.ones(10**4), Interval(low, 1)) == sys.float_info.max


class TestEBenjaminiHochberg:
    def test_keeps_the_largest_that_reach_the_line(self):
        # With five claims at 0.1 the k-th largest must reach 50 / k: 100 and 50 do, 30 does, 1 and 0 do not.
        assert e_benjamini_hochberg([30, 100, 1, 0, 50], 0.1) == [True, True, False, False, True]

    def test_a_claim_below_its_line_survives_if_more_claims_carry_it(self):
        assert e_benjamini_hochberg([21, 21], 0.05) == [True, True]
        assert e_benjamini_hochberg([21, 1], 0.05) == [False, False]

    def test_keeps_none_of_none(self):
        assert e_benjamini_hochberg([], 0.05) == []

    @steady
    @given(st.lists(st.floats(0, 1e4), max_size=30), st.floats(0.01, 0.5))
    def test_follows_the_definition(self, e_values, fdr):
        kept = e_benjamini_hochberg(e_values, fdr)
        survivors = sum(kept)
        falling = sorted(e_values, reverse=True)
        ok = [k for k in range(1, len(falling) + 1) if falling[k - 1] >= len(falling) / (k * fdr)]
        assert survivors == max(ok, default=0)
        assert sorted(e for e, keep in zip(e_values, kept, strict=True) if keep) == sorted(falling[:survivors])

    def test_holds_the_false_discovery_rate_exactly_in_the_worst_dependence(self):
        # All nulls true, and never two e-values above 0 at once: the false discovery rate is fdr itself.
        claims, fdr = 20, 0.05
        only_one = np.eye(claims) * claims / fdr
        chance_of_each = fdr / claims
        false_discovery_rate = sum(chance_of_each * any(e_benjamini_hochberg(e, fdr)) for e in only_one)
        assert false_discovery_rate == pytest.approx(fdr)

    @pytest.mark.parametrize("correlation", [0.0, 0.5, 0.95])
    def test_controls_the_false_discovery_rate_of_dependent_e_values(self, correlation):
        # Likelihood ratios of shifted normals with one shared factor; half of 40 nulls true, 2000 runs. The mean of the
        # false discovery proportions has a standard error below 0.003 here, and may be 3 of them over.
        runs, claims, true_nulls, shift, fdr = 2000, 40, 20, 3.0, 0.1
        rng = np.random.default_rng(6)
        shared, own = rng.standard_normal((runs, 1)), rng.standard_normal((runs, claims))
        z = math.sqrt(correlation) * shared + math.sqrt(1 - correlation) * own
        z[:, true_nulls:] += shift
        kept = np.array([e_benjamini_hochberg(row, fdr) for row in np.exp(shift * z - shift**2 / 2)])
        proportions = kept[:, :true_nulls].sum(1) / np.maximum(kept.sum(1), 1)
        assert proportions.std() / math.sqrt(runs) < 0.003
        assert proportions.mean() <= fdr + 3 * 0.003
        assert kept[:, true_nulls:].mean() > 0.3

    @pytest.mark.parametrize("e_values", [[-1.0, 2.0], [1.0, math.nan]])
    def test_refuses_what_is_no_e_value(self, e_values):
        with pytest.raises(ValueError, match="e-values of 0 or more"):
            e_benjamini_hochberg(e_values, 0.05)

    @pytest.mark.parametrize("fdr", [0, 1, math.nan])
    def test_refuses_a_rate_that_is_none(self, fdr):
        with pytest.raises(ValueError, match="0 < fdr < 1"):
            e_benjamini_hochberg([1.0], fdr)


class TestEFromP:
    def test_has_integral_at_most_1(self):
        # With p = exp(-x); past x = 700 the rest is below 1 / 700.
        inside, error = quad(lambda x: e_from_p(math.exp(-x)) * math.exp(-x), 0, 700, limit=500)
        assert error < 1e-6
        assert 1 - 1 / 700 - 1e-6 <= inside <= 1

    def test_has_expectation_at_most_1_over_permutation_p_values(self):
        for draws in (19, 99, 999):
            p_values = np.arange(1, draws + 2) / (draws + 1)
            assert np.mean([e_from_p(p) for p in p_values]) <= 1

    @steady
    @given(st.floats(5e-324, 1), st.floats(5e-324, 1))
    def test_falls_as_p_grows_and_is_below_one_over_p(self, p, other):
        assert e_from_p(min(p, other)) >= e_from_p(max(p, other)) - 1e-9
        assert 0.5 <= e_from_p(p) <= sys.float_info.max
        assert e_from_p(p) <= 1 / p or math.isinf(1 / p)

    def test_gives_the_published_formula(self):
        for p in (0.5, 0.05, 0.001, 1e-12):
            expected = (1 - p + p * math.log(p)) / (p * math.log(p) ** 2)
            assert e_from_p(p) == pytest.approx(expected, rel=1e-9)

    @pytest.mark.parametrize("p", [0, -0.1, 1.1, math.nan])
    def test_refuses_what_is_no_p_value(self, p):
        with pytest.raises(ValueError, match="0 < p <= 1"):
            e_from_p(p)
