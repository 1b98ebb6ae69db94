import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from mechtests.inference import MeanProcess, Region, mean_e_value, mean_interval
from mechtests.inference.confidence import FRACTIONS, Interval
from mechtests.inference.mean_process import BLOCK, log_growth
from mechtests.inference.processes import ASIDE

steady = settings(deadline=None, derandomize=True, max_examples=40)
ends = st.floats(0.05, 0.95)
regions = st.one_of(
    st.builds(lambda end, is_open: Region(lower=end, lower_open=is_open), ends, st.booleans()),
    st.builds(lambda end, is_open: Region(upper=end, upper_open=is_open), ends, st.booleans()),
    st.builds(lambda a, b: Region(min(a, b), max(a, b)), ends, ends),
)


@st.composite
def samples(draw):
    units, mean, strength = draw(st.integers(1, 400)), draw(st.floats(0.02, 0.98)), draw(st.floats(0.5, 100))
    return np.random.default_rng(draw(st.integers(0, 99))).beta(mean * strength, (1 - mean) * strength, units)


def followed(region, alpha, values, bounds=(0.0, 1.0)):
    process = MeanProcess(region, alpha, bounds)
    process.observe(values)
    return process


@steady
@given(samples(), ends)
def test_growth_is_the_sum_of_logarithms(values, mean):
    expected = np.log1p(np.outer(FRACTIONS, (values - mean) / mean)).sum(1)
    assert log_growth(values, mean) == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_growth_goes_on_over_blocks():
    values = np.random.default_rng(0).random(2 * BLOCK + 13)
    expected = np.log1p(np.outer(FRACTIONS, (values - 0.4) / 0.4)).sum(1)
    assert log_growth(values, 0.4) == pytest.approx(expected, rel=1e-9)


@steady
@given(samples(), regions, st.integers(1, 50))
def test_running_sums_give_the_e_value_of_all_units(values, region, size):
    process = MeanProcess(region, 0.05)
    for start in range(0, len(values), size):
        process.observe(values[start : start + size])
    expected = mean_e_value(values, Interval(region.lower, region.upper))
    assert math.log(process.e_value()) == pytest.approx(math.log(expected), rel=1e-6, abs=1e-6)


@steady
@given(samples(), regions, st.sampled_from([0.001, 0.05]))
def test_decides_exactly_when_the_interval_lies_in_the_region_or_outside_it(values, region, alpha):
    process = followed(region, alpha, values)
    interval = process.interval()
    assert 0 <= interval.lower <= process.value <= interval.upper <= 1
    inside = interval.lower in region and interval.upper in region
    disjoint = interval.upper < region.lower or interval.lower > region.upper
    disjoint |= interval.upper == region.lower and region.lower_open
    disjoint |= interval.lower == region.upper and region.upper_open
    assert process.decision() == (True if inside else False if disjoint else None)


@steady
@given(samples(), ends)
def test_decides_wherever_the_hedged_interval_does_and_sooner(values, end):
    hedged = mean_interval(values, 0.05)
    process = followed(Region(end), 0.05, values)
    if hedged.lower > end + 1e-6:
        assert process.decision() is True
    if hedged.upper < end - 1e-6:
        assert process.decision() is False


@steady
@given(samples(), ends, st.floats(-10, 10), st.floats(0.1, 10))
def test_does_not_depend_on_the_unit_of_the_values(values, end, low, width):
    process = followed(Region(end), 0.05, values)
    high = low + width
    moved = followed(Region(low + width * end), 0.05, np.clip(low + width * values, low, high), (low, high))
    assert math.log(moved.e_value()) == pytest.approx(math.log(process.e_value()), rel=1e-5, abs=1e-5)
    interval = process.interval()
    assert moved.interval().lower == pytest.approx(low + width * interval.lower, abs=1e-7 * width + 1e-9)


@pytest.mark.parametrize("share", [1.0, 0.0])
def test_units_at_the_bounds_are_no_trouble(share):
    process = followed(Region(0.5), 0.001, np.full(100, share))
    assert process.decision() is bool(share)
    assert process.interval().upper == 1 if share else process.interval().lower == 0
    above_zero = followed(Region(0, lower_open=True), 0.001, np.full(3, share))
    assert above_zero.decision() is (True if share else None)


@pytest.mark.parametrize("edge", [0.5, 0.8])
def test_a_mean_at_the_edge_is_called_inside_with_probability_below_alpha(edge):
    runs, units, alpha = 2000, 500, 0.05
    rng = np.random.default_rng(3)
    wealth, ever = np.ones((len(FRACTIONS), runs)), np.zeros(runs, dtype=bool)
    for _ in range(units):
        wealth *= 1 + FRACTIONS[:, None] * (rng.beta(4 * edge, 4 * (1 - edge), runs) / edge - 1)
        ever |= wealth.mean(0) >= 1 / ((1 - ASIDE) * alpha)
    assert 0 < ever.sum() <= binom.isf(1e-4, runs, (1 - ASIDE) * alpha)


def test_the_simulation_follows_the_process():
    rng, edge = np.random.default_rng(4), 0.7
    process, wealth = MeanProcess(Region(edge), 0.05), np.ones(len(FRACTIONS))
    for value in rng.beta(8, 2, 200):
        process.observe(np.array([value]))
        wealth *= 1 + FRACTIONS * (value / edge - 1)
        assert process.e_value() == pytest.approx(wealth.mean(), rel=1e-9)


def test_knows_nothing_without_units():
    process = MeanProcess(Region(0.5), 0.001, (-1, 1))
    assert process.decision() is None
    assert process.e_value() == pytest.approx(1)
    assert (process.interval().lower, process.interval().upper) == (-1, 1)


def test_refuses_values_outside_the_bounds_and_bounds_that_are_none():
    with pytest.raises(ValueError, match="within bounds"):
        MeanProcess(Region(0.5), 0.001).observe(np.array([1.5]))
    with pytest.raises(ValueError, match="two finite numbers"):
        MeanProcess(Region(0.5), 0.001, (1, 0))
    with pytest.raises(ValueError, match="nothing could refute"):
        MeanProcess(Region(-1), 0.001, (-1, 1))
