import numpy as np
import pytest
import torch

from mechtests import ClaimError, Evidence, Mean, Permutation, Rank, Rate, Value, instead, untrained
from mechtests.claiming.estimate import Estimate
from mechtests.inference import Interval
from mechtests.judging.control_result import UNDEFINED, ControlResult, compared, control_result, could_be_clear, pairing

EXACT = Value(above=0)


def exact(value):
    return Estimate(value, None, 1)


def between(low, high):
    return Estimate((low + high) / 2, Interval(low, high), 10)


def against(draws, expect=EXACT, model=None, control=untrained, margin=0.0):
    """The result of some draws of a control beside a model with the exact value 1."""
    beside = [
        UNDEFINED if draw is None else compared(expect, model or exact(1.0), draw, None, margin) for draw in draws
    ]
    return control_result(control.beyond(margin), 19, beside, 0.0)


class TestResult:
    def test_is_clear_where_the_model_does_more_than_all_draws(self):
        result = against([exact(0.0)] * 18 + [exact(0.5)])
        assert (result.clear, result.reached, result.undefined) == (True, 0, 0)
        assert (result.closest, result.ahead, result.interval) == (18, 0.5, None)
        assert (result.error, result.e_value) == pytest.approx((1 / 20, 20))

    def test_is_not_clear_where_one_draw_does_as_much(self):
        result = against([exact(0.0), exact(1.0)])
        assert (result.clear, result.reached, result.e_value) == (False, 1, 0)
        assert (result.closest, result.ahead) == (1, 0)

    def test_is_neither_where_the_quantity_exists_on_no_draw(self):
        result = against([None] * 19)
        assert (result.values, result.clear, result.e_value, result.closest) == ((None,) * 19, None, 0, None)

    def test_counts_a_draw_on_which_the_quantity_does_not_exist_as_one_that_does_less(self):
        result = against([None] * 18 + [exact(0.0)])
        assert (result.clear, result.undefined, result.e_value) == (True, 18, pytest.approx(20))

    def test_of_all_alternatives_errs_no_more_than_their_intervals(self):
        alternatives = instead(find=["a", "b"])
        draws = [compared(EXACT, exact(1.0), exact(0.0), None, 0.0)] * 2
        assert control_result(alternatives, 2, draws, 0.0).e_value == np.inf
        assert control_result(alternatives, 2, draws, 0.001).e_value == pytest.approx(1_000)


class TestDraw:
    @pytest.mark.parametrize(
        ("expect", "model", "draw", "reached"),
        [
            (Value(above=0), exact(1.0), exact(0.9), False),
            (Value(above=0), exact(1.0), exact(1.0), True),  # a tie is as far
            (Value(above=0), exact(1.0), exact(7.0), True),
            (Value(below=0), exact(-1.0), exact(-0.9), False),
            (Value(below=0), exact(-1.0), exact(-7.0), True),
            (Value(at_least=-1, at_most=1), exact(0.2), exact(0.3), False),
            (Value(at_least=-1, at_most=1), exact(0.2), exact(-0.1), True),
            (Value(at_least=-1, at_most=1), exact(0.2), exact(-0.2), True),  # as near to the middle, on the other side
            (Value(at_least=-1, at_most=1), exact(0.2), exact(-9.0), False),
            (Rank(at_most=1), exact(1), exact(2), False),
            (Rank(at_most=1), exact(1), exact(1), True),
            (Permutation(p_at_most=0.001, tail="low"), exact(-5.0), exact(-4.0), False),
            (Permutation(p_at_most=0.001, tail="low"), exact(-5.0), exact(-6.0), True),
            (Permutation(p_at_most=0.001, tail="high"), exact(5.0), exact(4.0), False),
            (Rate(at_least=0.5), between(0.7, 0.8), between(0.5, 0.69), False),
            (Rate(at_least=0.5), between(0.7, 0.8), between(0.5, 0.71), True),
            (Rate(at_most=0.5), between(0.2, 0.3), between(0.31, 0.4), False),
            (Rate(at_most=0.5), between(0.2, 0.3), between(0.29, 0.4), True),
            (Rate(at_least=0.4, at_most=0.6), between(0.48, 0.52), between(0.53, 0.56), False),
            (Rate(at_least=0.4, at_most=0.6), between(0.48, 0.52), between(0.51, 0.56), True),
            (Rate(at_least=0.4, at_most=0.6), between(0.48, 0.52), between(0.1, 0.9), True),
            (Rate(at_least=0.4, at_most=0.6), between(0.41, 0.42), between(0.57, 0.59), True),
        ],
    )
    def test_reaches_the_model_where_it_may_come_as_far(self, expect, model, draw, reached):
        assert compared(expect, model, draw, None, 0.0).reached is reached

    @pytest.mark.parametrize(("expect", "sign"), [(Value(above=0), 1), (Value(below=0), -1)])
    @pytest.mark.parametrize(("ahead", "reached"), [(0.3, False), (0.1, True), (0.0, True)])
    def test_reaches_the_model_unless_it_is_ahead_by_more_than_the_margin(self, expect, sign, ahead, reached):
        one = compared(expect, exact(sign * 1.0), exact(sign * (1.0 - ahead)), None, 0.1 + 1e-12)
        assert (one.reached, one.ahead) == (reached, pytest.approx(ahead))

    @pytest.mark.parametrize("sign", [1, -1])
    def test_on_the_same_units_is_compared_unit_by_unit(self, sign):
        """A difference of 0.05 among units that differ by 1: only the difference tells."""
        expect = Mean(at_least=-0.5, bounds=(-1, 1)) if sign == 1 else Mean(at_most=0.5, bounds=(-1, 1))
        units = torch.rand(512, generator=torch.Generator().manual_seed(0), dtype=torch.float64) - 0.5
        model = Evidence(expect, 0.001, 512, torch.Generator())
        model.observe(sign * units + sign * 0.2)
        paired, apart = pairing(expect, model, 0.0), Evidence(expect, 0.001, 512, torch.Generator())
        control = Evidence(expect, 0.001, 512, torch.Generator(), rival=paired)
        for evidence in (control, apart):
            evidence.observe(sign * units)
        draw = compared(expect, model.estimate(), control.estimate(), paired, 0.0)
        assert (draw.reached, draw.ahead) == (False, pytest.approx(0.2))
        assert draw.interval.lower > 0
        assert draw.interval.upper < 0.4
        assert compared(expect, model.estimate(), apart.estimate(), None, 0.0).ahead == pytest.approx(0.2)

    def test_is_not_paired_where_the_region_has_two_ends_or_the_value_is_exact(self):
        model = Evidence(Rate(at_least=0.2, at_most=0.8), 0.001, 512, torch.Generator())
        model.observe([True, False])
        assert pairing(model.expect, model, 0.0) is None
        whole = Evidence(Rate(at_least=0.2), 0.001, 512, torch.Generator())
        whole.census([True, False])
        assert pairing(whole.expect, whole, 0.0) is None


def test_a_control_that_the_model_is_ahead_of_could_be_clear():
    def result(ahead, margin=0.0):
        return ControlResult("untrained", (0.0,), 1, 19, margin=margin, closest=0, ahead=ahead)

    assert could_be_clear(result(0.2))
    assert not could_be_clear(result(0.2, margin=0.3))
    assert not could_be_clear(result(0.0))
    assert could_be_clear(ControlResult("untrained", (None,), 0, 19))


class TestError:
    """The chance that a model passes which is one more draw of its own control, by simulation."""

    @pytest.mark.parametrize(("draws", "units"), [(19, 256), (59, 256)])
    def test_is_at_most_what_the_result_states(self, draws, units):
        generator, runs, passed = np.random.default_rng(0), 300, 0
        expect = Rate(at_least=0.05)
        for _ in range(runs):
            rates = generator.beta(4, 4, draws + 1)  # of the model and its controls, exchangeable
            inputs = generator.random(units)
            model = Evidence(expect, 0.001, units, torch.Generator())
            model.observe(inputs < rates[0])
            made = []
            for rate in rates[1:]:
                pair = pairing(expect, model, 0.0)
                control = Evidence(expect, 0.001, units, torch.Generator(), rival=pair)
                control.observe(inputs < rate)
                made.append(compared(expect, model.estimate(), control.estimate(), pair, 0.0))
                if made[-1].reached:
                    break
            passed += control_result(untrained.drawn(draws), draws, made, 0.001).clear
        stated = control_result(untrained.drawn(draws), draws, made, 0.001).error
        assert stated == pytest.approx(1 / (draws + 1) + 0.002)
        assert passed <= runs * stated + 4 * (runs * stated) ** 0.5
        assert passed > 0


class TestMargin:
    @pytest.mark.parametrize("margin", [-0.1, float("inf"), float("nan"), "much", None])
    def test_is_a_number_of_0_or_more(self, margin):
        with pytest.raises(ClaimError, match="0 or more"):
            untrained.beyond(margin)

    def test_is_kept_beside_the_draws(self):
        assert (untrained.drawn(59).beyond(0.1).draws, untrained.beyond(0.1).drawn(59).margin) == (59, 0.1)

    @pytest.mark.parametrize("draws", [0, -1])
    def test_needs_draws(self, draws):
        with pytest.raises(ClaimError, match="1 or more"):
            untrained.drawn(draws)

    def test_draws_of_all_alternatives_are_as_many_as_there_are(self):
        with pytest.raises(ClaimError, match="a sample"):
            instead(find="other").drawn(59)
