"""Regions, and the estimates that observations come to."""

import math
import pickle

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mechtests import ClaimError, Difference, Mean, Monotone, Permutation, Rank, Rate, Value
from mechtests.claiming.estimate import Estimate
from mechtests.inference import Interval, MeanProcess, RateProcess, Region

lower_ends = st.none() | st.tuples(st.sampled_from(["at_least", "above"]), st.integers(-3, 3))
upper_ends = st.none() | st.tuples(st.sampled_from(["at_most", "below"]), st.integers(-3, 3))
regions = st.tuples(lower_ends, upper_ends).filter(any).map(lambda ends: dict(filter(None, ends)))


def inside(ends, point):
    return (
        point >= ends.get("at_least", -math.inf)
        and point > ends.get("above", -math.inf)
        and point <= ends.get("at_most", math.inf)
        and point < ends.get("below", math.inf)
    )


def points(low, high):
    """Every quarter of a whole number: with whole ends, no part of a region or an interval lies between them."""
    return [low + step / 4 for step in range(4 * (high - low) + 1)]


class TestRegion:
    @given(regions)
    def test_is_refused_exactly_when_no_point_lies_in_it(self, ends):
        if any(inside(ends, point) for point in points(-4, 4)):
            Value(**ends)
        else:
            with pytest.raises(ClaimError, match="empty"):
                Value(**ends)

    @given(regions, st.integers(-4, 4), st.integers(-4, 4))
    def test_holds_an_interval_when_it_holds_every_point_and_excludes_it_when_it_holds_none(self, ends, low, high):
        assume(low <= high)
        assume(any(inside(ends, point) for point in points(-4, 4)))
        expect = Value(**ends)
        contained = [expect.contains(point) for point in points(low, high)]
        assert contained == [inside(ends, point) for point in points(low, high)]
        assert expect.holds(low, high) is (True if all(contained) else None if any(contained) else False)

    @pytest.mark.parametrize("kind", [Rate, Mean, Difference, Value, Rank])
    def test_must_be_stated(self, kind):
        with pytest.raises(ClaimError, match=rf"{kind.__name__}\(\) has no region"):
            kind()

    @pytest.mark.parametrize("ends", [{"at_least": 0}, {"at_most": 1}, {"at_least": -1, "at_most": 2}, {"below": 1.5}])
    def test_of_a_rate_leaves_out_some_rate(self, ends):
        with pytest.raises(ClaimError, match="nothing could refute"):
            Rate(**ends)

    @pytest.mark.parametrize("ends", [{"above": 1}, {"at_least": 90}, {"below": 0}])
    def test_of_a_rate_holds_some_rate(self, ends):
        with pytest.raises(ClaimError, match="nothing could support"):
            Rate(**ends)

    def test_of_a_mean_divides_its_bounds(self):
        assert Mean(above=0, bounds=(0, 1)).contains(0.1)
        with pytest.raises(ClaimError, match="nothing could refute"):
            Difference(at_least=-2, bounds=(-1, 1))

    @pytest.mark.parametrize("ends", [{"at_least": 0.5, "above": 0.5}, {"at_most": 0.5, "below": 0.4}])
    def test_has_each_end_once(self, ends):
        with pytest.raises(ClaimError, match="one end of the region twice"):
            Rate(**ends)

    @pytest.mark.parametrize("end", ["at_least", "above", "at_most", "below"])
    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
    def test_has_ends_that_are_numbers(self, end, value):
        with pytest.raises(ClaimError):
            Value(**{end: value})

    def test_may_be_a_single_value(self):
        assert Value(at_least=1, at_most=1).holds(1, 1) is True

    @pytest.mark.parametrize(
        ("expect", "direction"),
        [
            (Rate(at_least=0.9), "high"),
            (Mean(above=0), "high"),
            (Value(at_most=1), "low"),
            (Difference(below=0), "low"),
            (Rate(at_least=0.4, below=0.6), "within"),
            (Permutation(p_at_most=0.001, tail="low"), "low"),
            (Permutation(p_at_most=0.001, tail="high"), "high"),
            (Monotone("decreasing", at_least=0.9), "high"),
        ],
        ids=str,
    )
    def test_says_which_way_an_estimate_must_go(self, expect, direction):
        assert expect.direction == direction

    @pytest.mark.parametrize(
        ("expect", "text"),
        [
            (Rate(at_least=0.9), "≥ 0.9"),
            (Difference(above=0, below=1), "> 0 and < 1"),
            (Rank(at_most=1), "≤ 1"),
            (Permutation(p_at_most=0.001, tail="low"), "p ≤ 0.001"),
            (Monotone("increasing", at_least=1), "increasing, ≥ 1"),
        ],
        ids=str,
    )
    def test_reads_as_the_report_shows_it(self, expect, text):
        assert str(expect) == text


class TestExpectation:
    @pytest.mark.parametrize("alpha", [0, 1, -0.1, 2, math.nan])
    def test_has_an_error_rate_between_0_and_1(self, alpha):
        with pytest.raises(ClaimError, match="error rate between 0 and 1"):
            Rate(at_least=0.5, alpha=alpha)

    @pytest.mark.parametrize("bounds", [(1, 0), (0, 0), (0, math.nan), (0, math.inf)])
    @pytest.mark.parametrize("kind", [Mean, Difference])
    def test_of_a_mean_has_bounds_in_order(self, kind, bounds):
        with pytest.raises(ClaimError, match=rf"{kind.__name__}\(bounds="):
            kind(above=0, bounds=bounds)

    @pytest.mark.parametrize("p", [0, 1, -1, math.nan])
    def test_of_a_permutation_has_a_p_value_between_0_and_1(self, p):
        with pytest.raises(ClaimError, match="p-value between 0 and 1"):
            Permutation(p_at_most=p, tail="low")

    def test_of_a_permutation_has_a_tail_that_exists(self):
        with pytest.raises(ClaimError, match="middle"):
            Permutation(p_at_most=0.001, tail="middle")

    def test_of_a_permutation_is_about_its_p_value(self):
        expect = Permutation(p_at_most=0.01, tail="high")
        assert expect.ends() == {"at_most": 0.01}
        assert expect.contains(0.01)
        assert not expect.contains(0.02)

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            (lambda: Rate(0.9), r"^Rate\(0\.9\): .*at_least, at_most.* Write for example Rate\(at_least=0\.9\)\.$"),
            (lambda: Mean(0.5, bounds=(0, 1)), r"^Mean\(0\.5, bounds=\(0, 1\)\): .* bounds\. .*Mean\(at_least=0\.9\)"),
            (lambda: Value(atleast=1), r"^Value\(atleast=1\): .*Value\(at_least=0\.9\)"),
            (lambda: Monotone("increasing", 1), r"Write for example Monotone\('increasing', at_least=0\.9\)"),
            (lambda: Permutation(0.01, "low"), r"Write for example Permutation\(p_at_most=0\.001, tail='low'\)"),
        ],
        ids=["rate", "mean", "unknown name", "monotone", "permutation"],
    )
    def test_has_arguments_by_their_names(self, wrong, message):
        with pytest.raises(ClaimError, match=message):
            wrong()

    @pytest.mark.parametrize(
        "expect", [Rate(at_least=0.9), Monotone("increasing", at_least=1), Permutation(p_at_most=0.01, tail="low")]
    )
    def test_is_the_same_in_another_process(self, expect):
        assert pickle.loads(pickle.dumps(expect)) == expect

    def test_of_a_monotone_response_goes_one_of_two_ways(self):
        with pytest.raises(ClaimError, match="'increasing' or 'decreasing'"):
            Monotone("sideways", at_least=1)

    def test_of_a_monotone_response_has_a_region(self):
        with pytest.raises(ClaimError, match="has no region"):
            Monotone("increasing")


def units(*values):
    return np.array(values, dtype=float)


class TestEstimate:
    @given(st.lists(st.booleans(), min_size=1, max_size=60), st.sampled_from([0.001, 0.05, 0.2]))
    def test_of_a_rate_is_the_share_with_the_interval_and_e_value_of_rates(self, outcomes, alpha):
        successes, n = sum(outcomes), len(outcomes)
        process, same = Rate(at_least=0.5).process(alpha, 64), RateProcess(Region(0.5), alpha, 64)
        for one in (process, same):
            one.observe(units(*outcomes))
        assert Estimate.of(process) == Estimate(successes / n, same.interval(), n, same.e_value())

    @given(st.lists(st.floats(-2, 4), min_size=1, max_size=20))
    def test_of_a_mean_is_the_mean_with_the_interval_and_e_value_of_means(self, values):
        array, same = units(*values), MeanProcess(Region(upper=0.5), 0.05, (-2, 4))
        same.observe(array)
        for kind in (Mean, Difference):
            process = kind(at_most=0.5, bounds=(-2, 4)).process(0.05)
            process.observe(array)
            assert Estimate.of(process) == Estimate(same.value, same.interval(), len(array), same.e_value())

    @pytest.mark.parametrize(
        ("expect", "inside", "outside"),
        [(Rate(above=0.5), 0.51, 0.5), (Rate(at_least=0.5), 0.5, 0.49), (Rate(below=0.5), 0.49, 0.5)],
    )
    def test_follows_the_region_with_its_open_ends(self, expect, inside, outside):
        region = expect.process(0.05).region
        assert inside in region
        assert outside not in region

    @pytest.mark.parametrize("always", [-0.1, 1.0])
    def test_of_a_rate_looks_for_a_part_of_the_evidence_in_units_that_are_all_true(self, always):
        with pytest.raises(ClaimError, match="always"):
            Rate(at_least=0.5, always=always)
        few, fewer = Rate(at_least=0.7, alpha=0.05), Rate(at_least=0.7, alpha=0.05, always=0.6)
        for expect, decided in ((few, None), (fewer, True)):
            process = expect.process(0.05)
            process.observe(units(*[1] * 10))
            assert process.decision() is decided

    def test_of_a_census_is_exact(self):
        assert Rate(at_least=0.5).census(units(1, 1, 0, 1)) == Estimate(0.75, None, 4)
        assert Difference(above=0).census(units(-1, 4)) == Estimate(1.5, None, 2)

    def test_of_one_value_is_that_value(self):
        assert Value(above=0).estimate(2.5, 7) == Estimate(2.5, None, 7)

    @pytest.mark.parametrize(("rivals", "place"), [((1.0, 2.0), 1), ((3.0, 2.0), 2), ((3.0, 4.0, 5.0), 4)])
    def test_of_a_rank_counts_ties_against_the_score(self, rivals, place):
        assert Rank(at_most=1).estimate(3.0, units(*rivals)) == Estimate(place, None, len(rivals) + 1)

    def test_of_a_permutation_has_the_p_value_of_its_tail(self):
        null = np.arange(1, 100, dtype=float)
        low, high = (Permutation(p_at_most=0.05, tail=tail).estimate(2.0, null, 9) for tail in ("low", "high"))
        assert (low.value, low.units, low.p_value) == (2.0, 9, pytest.approx(0.03))
        assert high.p_value == pytest.approx(0.99)
        assert low.e_value > high.e_value

    @given(st.lists(st.integers(-5, 5), min_size=2, max_size=8))
    def test_of_a_monotone_response_changes_sign_with_the_direction(self, steps):
        response = units(*steps)
        up, down = (Monotone(way, at_least=1).estimate(response) for way in ("increasing", "decreasing"))
        if len(set(steps)) == 1:
            assert up is down is None
            return
        assert up.value == -down.value
        assert -1 <= up.value <= 1
        assert (up.value == 1) == (steps == sorted(steps))

    def test_that_is_exact_is_its_own_interval(self):
        exact, between = Estimate(2.0, None, 1), Estimate(2.0, Interval(1.0, 3.0), 10)
        assert (exact.low, exact.high) == (2.0, 2.0)
        assert (between.low, between.high) == (1.0, 3.0)
