import numpy as np
import pytest
from scipy.stats import beta, binom, norm

from mechtests.inference import (
    Region,
    rate_posterior,
    replication,
    replication_process,
    seeds_needed,
    tolerance_factor,
    tolerance_limits,
)


@pytest.mark.parametrize(
    ("end", "failures", "seeds"), [(0.7, 0, 10), (0.8, 0, 15), (0.8, 1, 36), (0.7, 1, 23), (0.9, 0, 31)]
)
def test_so_many_seeds_support_a_rate(end, failures, seeds):
    assert seeds_needed(Region(end), 0.05, failures) == seeds
    assert replication(seeds - failures, failures, 0, Region(end), 0.05).decided is True
    assert replication(seeds - failures - 1, failures, 0, Region(end), 0.05).decided is None


def test_no_number_of_seeds_shows_a_rate_of_1():
    assert seeds_needed(Region(1), 0.05, most=100) is None


@pytest.mark.parametrize("end", [0.5, 0.7, 0.8])
def test_a_rate_at_the_edge_is_supported_with_probability_at_most_alpha(end):
    # Exact: after each seed, over all counts of successes.
    undecided, inside, outside = np.ones(1), 0.0, 0.0
    for units in range(1, 65):
        undecided = np.append(undecided * (1 - end), 0) + np.append(0, undecided * end)
        for successes in np.flatnonzero(undecided):
            process = replication_process(Region(end), 0.05)
            process.observe(np.repeat([1.0, 0.0], [successes, units - successes]))
            if (decision := process.decision()) is not None:
                inside += undecided[successes] * decision
                outside += undecided[successes] * (not decision)
                undecided[successes] = 0
    assert 0 < inside <= 0.05
    assert 0 < outside <= 0.05


def test_undecided_seeds_are_failures_in_the_cautious_reading_only():
    both = replication(15, 0, 0, Region(0.8), 0.05)
    assert (both.decided, both.cautious) == (True, True)
    one_undecided = replication(15, 0, 1, Region(0.8), 0.05)
    assert (one_undecided.decided, one_undecided.cautious) == (True, None)
    assert one_undecided.interval.lower >= 0.8
    assert one_undecided.e_value >= 20


def test_three_seeds_decide_nothing_and_have_a_posterior():
    assert replication(3, 0, 0, Region(0.8), 0.05).decided is None
    posterior = rate_posterior(3, 3, Region(0.8))
    assert posterior.chance == pytest.approx(beta.sf(0.8, 3.5, 0.5))
    assert posterior.interval.lower == pytest.approx(beta.ppf(0.05, 3.5, 0.5))
    assert rate_posterior(0, 0, Region(0.5)).chance == pytest.approx(0.5)
    assert rate_posterior(1, 2, Region(2, 3)).chance == 0


@pytest.mark.parametrize(("seeds", "factor"), [(3, 4.42), (6, 2.19), (10, 1.70), (16, 1.46)])
def test_tolerance_factors_are_those_of_the_tables(seeds, factor):
    assert tolerance_factor(seeds) == pytest.approx(factor, abs=0.005)


def test_tolerance_factors_agree_with_a_published_table():
    # Content 0.9, confidence 0.95: NIST/SEMATECH e-Handbook, 7.2.6.3, and Natrella (1963), Table A-7.
    assert tolerance_factor(3, 0.9) == pytest.approx(6.155, abs=0.005)
    assert tolerance_factor(10, 0.9) == pytest.approx(2.355, abs=0.005)


@pytest.mark.parametrize("seeds", [3, 10])
def test_the_stated_share_lies_above_the_limit_as_often_as_stated(seeds):
    runs, rng = 4000, np.random.default_rng(9)
    samples = rng.normal(2.0, 3.0, (runs, seeds))
    limits = np.array([tolerance_limits(sample) for sample in samples])
    for right in (norm.sf(limits[:, 0], 2, 3) >= 0.8, norm.cdf(limits[:, 1], 2, 3) >= 0.8):
        assert binom.ppf(1e-4, runs, 0.95) <= right.sum() <= binom.isf(1e-4, runs, 0.95)


def test_refuses_what_cannot_be():
    with pytest.raises(ValueError, match="2 or more"):
        tolerance_limits(np.ones(1))
    with pytest.raises(ValueError, match="finite"):
        tolerance_limits(np.array([1.0, np.nan]))
    with pytest.raises(ValueError, match="as many successes"):
        rate_posterior(3, 2, Region(0.8))
    with pytest.raises(ValueError, match="failed"):
        replication(1, -1, 0, Region(0.8), 0.05)
