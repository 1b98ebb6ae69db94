import numpy as np
import pytest
from scipy.stats import binom

from mechtests.inference import ControlDraws, control_e_value, rate_interval, vacuity_error


def test_is_one_over_its_error_rate_or_nothing():
    assert control_e_value(0, 19, 0, 0.0) == pytest.approx(20)
    assert control_e_value(4, 99, 4, 0.0) == pytest.approx(20)
    assert control_e_value(0, 59, 0, 0.001) == pytest.approx(1 / (1 / 60 + 0.002))
    assert control_e_value(1, 59, 0, 0.001) == 0
    assert vacuity_error(99, 0, 0.001) == pytest.approx(0.012)


@pytest.mark.parametrize(("draws", "allowed"), [(19, 0), (19, 2), (99, 4)])
def test_has_expectation_at_most_1_where_values_are_exact(draws, allowed):
    # Whichever of draws + 1 exchangeable numbers is the model: the expectation is a mean over them all.
    for values in (np.arange(draws + 1), np.arange(draws + 1) // 3, np.zeros(draws + 1)):
        reached = [(np.delete(values, model) >= values[model]).sum() for model in range(draws + 1)]
        assert np.mean([control_e_value(int(count), draws, allowed, 0.0) for count in reached]) <= 1 + 1e-12


@pytest.mark.parametrize("spread", [0.0, 0.02, 0.3])
def test_errs_no_more_than_stated_where_values_are_known_by_intervals(spread):
    # Model and controls have rates from one distribution, each known by an interval; one reaches unless clear below.
    runs, draws, allowed, units, alpha = 3000, 19, 1, 100, 0.05
    rng = np.random.default_rng(2)
    intervals = [rate_interval(successes, units, alpha) for successes in range(units + 1)]
    lower, upper = np.array([i.lower for i in intervals]), np.array([i.upper for i in intervals])
    rates = np.clip(0.5 + spread * rng.standard_normal((runs, draws + 1)), 0, 1)
    seen = rng.binomial(units, rates)
    reached = (upper[seen[:, 1:]] >= lower[seen[:, :1]]).sum(1)
    passed = (reached <= allowed).sum()
    assert passed <= binom.isf(1e-4, runs, vacuity_error(draws, allowed, alpha))


def test_stopping_once_settled_changes_nothing():
    rng = np.random.default_rng(5)
    for chance in (0.0, 0.02, 0.1, 0.5):
        for _ in range(50):
            outcomes = rng.random(59) < chance
            control = ControlDraws(59, 2, 0.001)
            for outcome in outcomes:
                if control.settled:
                    break
                control.observe(bool(outcome))
            assert control.e_value() == control_e_value(int(outcomes.sum()), 59, 2, 0.001)
            assert control.clear is bool(outcomes.sum() <= 2)


def test_with_none_allowed_the_first_that_reaches_settles_it():
    control = ControlDraws(99, 0, 0.001)
    control.observe(False)
    assert not control.settled
    control.observe(True)
    assert control.settled
    assert control.clear is False


def test_says_nothing_before_all_draws_are_made():
    control = ControlDraws(19, 0, 0.001)
    for _ in range(18):
        control.observe(False)
    assert control.clear is None
    assert control.e_value() == 0


def test_a_control_undefined_on_every_draw_is_not_clear():
    control, other = ControlDraws(3, 0, 0.0), ControlDraws(3, 0, 0.0)
    for outcome in (None, None, None):
        control.observe(outcome)
    for outcome in (None, False, None):
        other.observe(outcome)
    assert (control.clear, control.e_value(), control.undefined) == (None, 0, 3)
    assert (other.clear, other.e_value(), other.undefined) == (True, 4, 2)


@pytest.mark.parametrize(("draws", "allowed", "alpha"), [(0, 0, 0), (5, 5, 0), (5, -1, 0), (5, 0, 1)])
def test_refuses_a_design_that_cannot_be(draws, allowed, alpha):
    with pytest.raises(ValueError, match="Expected"):
        ControlDraws(draws, allowed, alpha)


def test_refuses_more_draws_than_were_planned():
    control = ControlDraws(1, 0, 0.0, made=1)
    with pytest.raises(ValueError, match="fixed beforehand"):
        control.observe(False)
    with pytest.raises(ValueError, match="at most 3"):
        control_e_value(4, 3, 0, 0.0)
