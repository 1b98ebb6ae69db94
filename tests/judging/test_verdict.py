import itertools

import pytest

from mechtests import (
    Permutation,
    Rank,
    Rate,
    Value,
    Verdict,
)
from mechtests.claiming.estimate import Estimate
from mechtests.inference import Interval
from mechtests.judging.verdict import ControlResult, control_result, decide, in_region

RATE, EXACT, PERMUTATION = Rate(at_least=0.5), Value(above=0), Permutation(p_at_most=0.001, tail="low")


def exact(value):
    return Estimate(value, None, 1)


def between(low, high):
    return Estimate((low + high) / 2, Interval(low, high), 10)


# ---------------------------------------------------------------------------------------------------------------------
# Controls


class TestControl:
    @pytest.mark.parametrize(
        ("draws", "reached", "clear"), [(19, 0, True), (19, 1, False), (18, 0, False), (99, 4, True), (99, 5, False)]
    )
    def test_that_is_redrawn_is_passed_at_a_rank_p_value_of_5_percent(self, draws, reached, clear):
        values = [exact(2.0)] * reached + [exact(0.0)] * (draws - reached)
        result = control_result("untrained", EXACT, exact(1.0), values, redrawn=True)
        assert result.reached == reached
        assert result.p_value == pytest.approx((1 + reached) / (1 + draws))
        assert result.clear is clear
        assert result.values == tuple(draw.value for draw in values)

    @pytest.mark.parametrize(("reached", "clear"), [(0, True), (1, False)])
    def test_that_is_seen_whole_may_reach_the_model_nowhere(self, reached, clear):
        values = [exact(2.0)] * reached + [exact(0.0)] * 200
        result = control_result("other heads", EXACT, exact(1.0), values, redrawn=False)
        assert (result.reached, result.p_value, result.clear) == (reached, None, clear)

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
    def test_is_reached_by_a_draw_that_may_come_as_far_as_the_model(self, expect, model, draw, reached):
        assert control_result("control", expect, model, [draw], redrawn=False).reached == reached

    def test_is_not_reached_where_the_quantity_does_not_exist(self):
        result = control_result("untrained", EXACT, exact(1.0), [None] * 19, redrawn=True)
        assert (result.values, result.reached, result.clear) == ((None,) * 19, 0, True)


class TestDecide:
    CLEAR = ControlResult("untrained", (0.0,) * 19, 0, 0.05, True)
    NOT_CLEAR = ControlResult("other heads", (2.0, 0.0), 1, None, False)

    def test_supported_inside_the_region_and_clear_of_every_control(self):
        assert decide(EXACT, exact(1.0), [self.CLEAR]) == (Verdict.SUPPORTED, None)
        assert decide(RATE, between(0.6, 0.7), ()) == (Verdict.SUPPORTED, None)

    def test_vacuous_where_one_control_does_as_much(self):
        verdict, reason = decide(EXACT, exact(1.0), [self.CLEAR, self.NOT_CLEAR])
        assert verdict is Verdict.VACUOUS
        assert reason == "1 of 2 draws of the control “other heads” do as much"

    def test_vacuous_where_there_is_nothing_to_measure(self):
        verdict, reason = decide(EXACT, None, (), "no such neuron")
        assert verdict is Verdict.VACUOUS
        assert "no such neuron" in reason

    def test_refuted_outside_the_region_whatever_the_controls(self):
        assert decide(EXACT, exact(-1.0), [self.NOT_CLEAR])[0] is Verdict.REFUTED
        assert decide(RATE, between(0.1, 0.4), ())[0] is Verdict.REFUTED

    def test_inconclusive_across_the_edge(self):
        verdict, reason = decide(RATE, between(0.4, 0.6), ())
        assert verdict is Verdict.INCONCLUSIVE
        assert "crosses" in reason

    def test_a_permutation_claim_by_its_p_value_not_its_statistic(self):
        assert in_region(PERMUTATION, Estimate(-3.0, None, 4, p_value=0.0005)) is True
        assert in_region(PERMUTATION, Estimate(0.0005, None, 4, p_value=0.5)) is False


class TestOrder:
    ORDER = (Verdict.REFUTED, Verdict.VACUOUS, Verdict.INCONCLUSIVE, Verdict.SUPPORTED)

    def test_goes_from_refuted_over_vacuous_and_inconclusive_to_supported(self):
        for (one, verdict), (other, recorded) in itertools.product(enumerate(self.ORDER), repeat=2):
            assert verdict.is_worse_than(recorded) is (one < other)

    def test_has_no_place_for_what_was_not_tested(self):
        for verdict in Verdict:
            assert not verdict.is_worse_than(Verdict.UNTESTED)
            assert not Verdict.UNTESTED.is_worse_than(verdict)

    def test_is_beside_a_symbol_of_its_own_for_each(self):
        assert len({verdict.symbol for verdict in Verdict}) == len(Verdict)
        assert all(len(verdict.symbol) == 1 for verdict in Verdict)
