"""Errors and power are exact: the process is a function of counts before its budget ends, so the lattice is walked."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import beta, binom

from mechtests.inference import RateProcess, Region
from mechtests.inference.processes import ASIDE
from mechtests.inference.rate_process import (
    Counts,
    Plan,
    horizon_sizes,
    log_at_least,
    log_mixture_wealth,
    log_wealth,
    planned,
)

steady = settings(deadline=None, derandomize=True, max_examples=40)
LOOK = 32
ends = st.floats(0.02, 0.98)
regions = st.one_of(
    st.builds(lambda end, is_open: Region(lower=end, lower_open=is_open), ends, st.booleans()),
    st.builds(lambda end, is_open: Region(upper=end, upper_open=is_open), ends, st.booleans()),
    st.builds(lambda a, b: Region(min(a, b), max(a, b)), ends, ends),
)


def followed(region, alpha, budget, outcomes, always=0.0):
    process = RateProcess(region, alpha, budget, always=always)
    process.observe(np.asarray(outcomes, dtype=float))
    return process


@st.composite
def sequences(draw):
    units, rate = draw(st.integers(1, 700)), draw(st.floats(0, 1))
    return np.random.default_rng(draw(st.integers(0, 99))).random(units) < rate


def walk(process, rate, horizon, every=LOOK):
    """Exact chances that a run with looks at every so many units is first called inside, and outside, a region.

    States are counts of successes, with the outcome at each past horizon as part of the state.
    """
    states = {(): np.ones(1)}
    sizes = process._sizes
    inside = outside = 0.0
    for units in range(1, horizon + 1):
        states = {
            past: np.append(chances * (1 - rate), 0) + np.append(0, chances * rate) for past, chances in states.items()
        }
        if units in sizes and units < horizon:
            # After a horizon only whether it was won matters for one side; keep the count itself, it is exact.
            states = {
                (*past, successes): np.where(np.arange(units + 1) == successes, chances, 0)
                for past, chances in states.items()
                for successes in np.flatnonzero(chances > 1e-12)
            }
        if units % every and units != horizon:
            continue
        for past, chances in states.items():
            known = dict(zip(sorted(size for size in sizes if size <= units), past, strict=False))
            for successes in np.flatnonzero(chances > 1e-16):
                process.units, process.successes = units, int(successes)
                process._successes_by = [None if size > units else int(known.get(size, successes)) for size in sizes]
                if (decision := process.decision()) is not None:
                    inside += chances[successes] * decision
                    outside += chances[successes] * (not decision)
                    chances[successes] = 0
    return inside, outside


class TestWealth:
    @steady
    @given(st.integers(0, 60), st.integers(0, 60), st.floats(0.02, 0.98))
    def test_of_the_mixture_is_the_likelihood_averaged_above_the_candidate(self, wins, losses, rate):
        def weighted(angle):  # with theta = sin(angle)^2 Jeffreys' prior is uniform
            theta = math.sin(angle) ** 2
            return math.exp(wins * math.log(theta / rate) + losses * (math.log1p(-theta) - math.log1p(-rate)))

        start = math.asin(math.sqrt(rate))
        total, _ = quad(weighted, start, math.pi / 2 - 1e-12, epsabs=1e-13, epsrel=1e-10, limit=200)
        expected = total / (math.pi / 2 - start)
        assume(expected > 1e-8)
        assert math.exp(log_mixture_wealth(wins, losses, rate)) == pytest.approx(expected, rel=1e-5)
        assert beta.sf(rate, 0.5, 0.5) == pytest.approx((math.pi / 2 - start) / (math.pi / 2), rel=1e-9)

    @pytest.mark.parametrize("rate", [0.05, 0.5, 0.9])
    @pytest.mark.parametrize("truth_over_rate", [1.0, 0.7])
    def test_is_a_supermartingale_where_the_truth_is_the_candidate_or_less(self, rate, truth_over_rate):
        plan = planned((128, 32), rate, 0.01, always=0.2)
        assert plan.horizons or rate > 0.9
        truth = rate * truth_over_rate
        for units in (0, 1, 17, 31, 32, 60, 127, 128, 150):
            for wins in range(units + 1):
                by = tuple(None if units < size else min(wins, size) for size in (128, 32))

                def after(win, units=units, wins=wins, by=by):
                    new = tuple(
                        wins + win if before is None and units + 1 == size else before
                        for before, size in zip(by, (128, 32), strict=True)
                    )
                    return math.exp(log_wealth(plan, Counts(wins + win, units - wins + 1 - win, new), rate))

                now = math.exp(log_wealth(plan, Counts(wins, units - wins, by), rate))
                expected = truth * after(1) + (1 - truth) * after(0)
                assert expected <= now * (1 + 1e-9)
                if truth == rate:
                    assert expected == pytest.approx(now, rel=1e-9)

    def test_starts_at_1(self):
        for plan in (Plan(), planned((512,), 0.9, 0.001), planned((4096, 1024, 256), 0.5, 0.001, 0.6)):
            by = (None,) * len(plan.horizons)
            assert log_wealth(plan, Counts(0, 0, by), 0.4) == pytest.approx(0, abs=1e-9)

    @steady
    @given(sequences(), regions, st.sampled_from([None, 64, 512, 4096]), st.sampled_from([0.001, 0.05, 0.3]))
    def test_once_high_only_falls_towards_the_candidates_it_bets_on(self, outcomes, region, budget, alpha):
        # What lets one candidate at the end of a region stand for all beyond it.
        process = followed(region, alpha, budget, outcomes)
        for zone in (process.below, process.within, process.above):
            for side, order in (("up", 1), ("down", -1)):
                if zone is None:
                    continue
                candidates = np.linspace(zone.region.lower, zone.region.upper, 60)[::order]
                excesses = [process._excess(side, zone, float(candidate)) >= 0 for candidate in candidates]
                assert excesses == sorted(excesses, reverse=True)


class TestPlan:
    def test_has_horizons_down_to_a_few_hundred_units(self):
        assert horizon_sizes(None) == ()
        assert horizon_sizes(128) == (128,)
        assert horizon_sizes(512) == (512,)
        assert horizon_sizes(4096) == (4096, 1024, 256)

    def test_asks_for_the_fewest_wins_that_exclude_the_candidate(self):
        plan = planned((512,), 0.9, 0.00098)
        (horizon,) = plan.horizons
        for wins, enough in ((horizon.wins, True), (horizon.wins - 1, False)):
            mixture = math.exp(log_mixture_wealth(wins, 512 - wins, 0.9))
            assert (0.5 * mixture + 0.5 / binom.sf(wins - 1, 512, 0.9) >= 1 / 0.00098) == enough

    def test_puts_no_money_where_not_even_all_wins_would_do(self):
        assert planned((32,), 0.9, 0.001).horizons == ()
        assert planned((32,), 0.5, 0.001).horizons != ()

    @steady
    @given(st.integers(-3, 40), st.integers(0, 40), st.floats(0.01, 0.99))
    def test_knows_binomial_tails(self, wins, units, rate):
        tail = math.exp(log_at_least(wins, units, rate))
        assert tail == pytest.approx(binom.sf(wins - 1, units, rate), rel=1e-9, abs=1e-300)

    @pytest.mark.parametrize(("wins", "units", "rate"), [(480, 512, 0.1), (3900, 4096, 0.6), (700_000, 1_000_000, 0.6)])
    def test_knows_tails_too_small_for_a_float(self, wins, units, rate):
        terms = binom.logpmf(np.arange(wins, units + 1), units, rate)
        assert terms[0] < math.log(1e-300)
        assert log_at_least(wins, units, rate) == pytest.approx(np.logaddexp.reduce(terms), rel=1e-9)


class TestErrors:
    @pytest.mark.parametrize("every", [1, LOOK])
    @pytest.mark.parametrize("budget", [128, 256, 512])
    @pytest.mark.parametrize("end", [0.5, 0.9])
    def test_a_rate_at_the_edge_is_called_inside_with_probability_below_alpha(self, budget, end, every):
        inside, outside = walk(RateProcess(Region(end), 0.001, budget), end, budget, every)
        assert 0 < inside <= (1 - ASIDE) * 0.001
        assert 0 < outside <= (1 - ASIDE) * 0.001

    @pytest.mark.parametrize("rate", [0.4, 0.6])
    def test_at_either_edge_of_a_region_with_two_ends_as_well(self, rate):
        inside, outside = walk(RateProcess(Region(0.4, 0.6), 0.05, 256), rate, 256)
        assert 0 < inside <= 0.05
        assert 0 < outside <= 0.05

    def test_a_sample_that_grows_beyond_its_budget_keeps_its_error_rate(self):
        inside, outside = walk(RateProcess(Region(0.8), 0.05, 64), 0.8, 320)
        assert 0 < inside <= 0.05
        assert 0 < outside <= 0.05

    @pytest.mark.parametrize("rate", [0.3, 0.9, 0.97])
    def test_the_interval_ever_misses_with_probability_at_most_alpha(self, rate):
        # The interval holds every candidate that neither gambler of its zone excludes.
        runs, alpha = 1500, 0.05
        rng, missed = np.random.default_rng(11), 0
        for _ in range(runs):
            process, miss = RateProcess(Region(0.9), alpha, 128), False
            while process.units < 192 and not miss:
                process.observe(rng.random(LOOK) < rate)
                zone = process.within if rate in process.region else process.below
                miss = max(process._excess(side, zone, rate) for side in ("up", "down")) >= 0
            missed += miss
        assert missed <= binom.isf(1e-4, runs, alpha)


class TestPower:
    # The audit's figures, with looks every 32 units; "fixed" is the test of that size, which no other can beat.
    @pytest.mark.parametrize(("budget", "truth", "least"), [(128, 0.98, 0.53), (256, 0.97, 0.85), (512, 0.95, 0.795)])
    def test_comes_near_the_test_of_fixed_size(self, budget, truth, least):
        inside, _ = walk(RateProcess(Region(0.9), 0.001, budget), truth, budget)
        fixed = binom.sf(binom.isf(0.001, budget, 0.9), budget, truth)
        assert least <= inside <= fixed

    @pytest.mark.parametrize(("end", "seeds"), [(0.7, 10), (0.8, 15)])
    def test_with_money_on_always_few_units_decide(self, end, seeds):
        assert followed(Region(end), 0.05, None, np.ones(seeds - 1), always=0.6).decision() is None
        assert followed(Region(end), 0.05, None, np.ones(seeds), always=0.6).decision() is True


class TestProcess:
    def test_knows_nothing_without_units(self):
        process = RateProcess(Region(0.9), 0.001, 512)
        assert process.decision() is None
        assert process.e_value() == pytest.approx(1)
        assert (process.interval().lower, process.interval().upper) == (0, 1)

    @steady
    @given(sequences(), regions, st.sampled_from([None, 100, 512]), st.sampled_from([0.001, 0.05]))
    def test_decides_exactly_when_the_interval_lies_in_the_region_or_outside_it(self, outcomes, region, budget, alpha):
        process = followed(region, alpha, budget, outcomes)
        interval = process.interval()
        assert 0 <= interval.lower <= process.value <= interval.upper <= 1
        inside = interval.lower in region and interval.upper in region
        disjoint = interval.upper < region.lower or interval.lower > region.upper
        disjoint |= interval.upper == region.lower and region.lower_open
        disjoint |= interval.lower == region.upper and region.upper_open
        assert process.decision() == (True if inside else False if disjoint else None)

    @steady
    @given(sequences(), regions, st.sampled_from([None, 100, 512]))
    def test_supports_exactly_when_the_e_value_says_so(self, outcomes, region, budget):
        process = followed(region, 0.01, budget, outcomes)
        assume(process.value in region)
        assert (process.decision() is True) == (process.e_value() >= (1 - 1e-12) / ((1 - ASIDE) * 0.01))

    @steady
    @given(sequences(), st.integers(1, 64), st.sampled_from([None, 100, 512]))
    def test_does_not_depend_on_how_units_come_in_batches(self, outcomes, size, budget):
        whole = followed(Region(0.6), 0.05, budget, outcomes)
        parts = RateProcess(Region(0.6), 0.05, budget)
        for start in range(0, len(outcomes), size):
            parts.observe(outcomes[start : start + size])
        assert parts.e_value() == whole.e_value()
        assert parts.interval() == whole.interval()

    @steady
    @given(sequences(), ends, st.sampled_from([None, 100, 512]))
    def test_mirrors_when_successes_and_failures_are_swapped(self, outcomes, end, budget):
        process = followed(Region(lower=end), 0.05, budget, outcomes)
        mirror = followed(Region(upper=1 - end), 0.05, budget, ~outcomes)
        assert mirror.e_value() == pytest.approx(process.e_value(), rel=1e-6)
        assert mirror.interval().lower == pytest.approx(1 - process.interval().upper, abs=1e-8)

    def test_keeps_what_a_horizon_has_won_as_the_sample_grows(self):
        process = followed(Region(0.9), 0.05, 64, np.ones(64))
        (horizon,) = process._plans["up", 0.9].horizons
        tail = math.exp(log_at_least(horizon.wins, horizon.units, 0.9))
        won = process.e_value()
        assert won >= 0.5 / tail
        process.observe(np.zeros(200))
        assert 0.5 / tail <= process.e_value() < won
        assert process.decision() is not True
        assert process.value in Region(process.interval().lower, process.interval().upper)

    def test_a_rate_above_0_is_shown_by_one_success_and_never_refuted(self):
        process = followed(Region(0, lower_open=True), 0.001, 512, np.zeros(500))
        assert process.decision() is None
        process.observe(np.ones(1))
        assert process.decision() is True

    def test_a_rate_of_1_is_refuted_by_one_failure_and_never_shown(self):
        process = followed(Region(1), 0.001, 512, np.ones(512))
        assert process.decision() is None
        process.observe(np.zeros(1))
        assert process.decision() is False

    @pytest.mark.parametrize("region", [Region(), Region(0), Region(-1, 2), Region(upper=1)])
    def test_refuses_a_region_that_holds_every_rate(self, region):
        with pytest.raises(ValueError, match="nothing could refute"):
            RateProcess(region, 0.001)

    @pytest.mark.parametrize("region", [Region(2), Region(upper=-1), Region(1, lower_open=True)])
    def test_refuses_a_region_that_holds_no_rate(self, region):
        with pytest.raises(ValueError, match="nothing could support"):
            RateProcess(region, 0.001)

    @pytest.mark.parametrize("outcomes", [[0.5], [2], [math.nan]])
    def test_refuses_outcomes_that_are_neither_0_nor_1(self, outcomes):
        with pytest.raises(ValueError, match="0 or 1"):
            RateProcess(Region(0.9), 0.001).observe(np.array(outcomes))

    @pytest.mark.parametrize(("alpha", "budget", "always"), [(0, 1, 0), (1, 1, 0), (0.1, 0, 0), (0.1, 1, 1)])
    def test_refuses_parameters_that_cannot_be(self, alpha, budget, always):
        with pytest.raises(ValueError, match="Expected"):
            RateProcess(Region(0.9), alpha, budget, always=always)


class TestRegion:
    def test_may_leave_out_its_ends(self):
        assert 0.9 in Region(0.9)
        assert 0.9 not in Region(0.9, lower_open=True)
        assert 0.1 not in Region(upper=0.1, upper_open=True)

    @pytest.mark.parametrize("ends", [(1, 0), (math.nan, 1), (0, math.nan)])
    def test_refuses_to_be_empty(self, ends):
        with pytest.raises(ValueError, match="holds no number"):
            Region(*ends)
        with pytest.raises(ValueError, match="holds no number"):
            Region(0.5, 0.5, lower_open=True)
