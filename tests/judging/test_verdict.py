import itertools
from dataclasses import replace

import pytest

from mechtests import (
    Permutation,
    Rate,
    Source,
    Value,
    Verdict,
    other,
    untrained,
)
from mechtests.claiming.claim import Claim
from mechtests.claiming.estimate import Estimate
from mechtests.inference import Interval
from mechtests.judging.control_result import ControlResult
from mechtests.judging.verdict import Support, combined_e_value, decide, in_region, support_of

RATE, EXACT, PERMUTATION = Rate(at_least=0.5), Value(above=0), Permutation(p_at_most=0.001, tail="low")


def exact(value):
    return Estimate(value, None, 1)


def between(low, high):
    return Estimate((low + high) / 2, Interval(low, high), 10)


class TestDecide:
    CLEAR = ControlResult("untrained", (0.0,) * 19, 0, 19)
    NOT_CLEAR = ControlResult("other heads", (0.0, 2.0), 1, 5)
    UNDEFINED = ControlResult("shuffled weights", (None,) * 19, 0, 19)

    def test_supported_inside_the_region_and_clear_of_every_control(self):
        assert decide(EXACT, exact(1.0), [self.CLEAR]) == (Verdict.SUPPORTED, None)
        assert decide(RATE, between(0.6, 0.7), ()) == (Verdict.SUPPORTED, None)

    def test_vacuous_where_one_control_does_as_much(self):
        verdict, reason = decide(EXACT, exact(1.0), [self.CLEAR, self.NOT_CLEAR])
        assert verdict is Verdict.VACUOUS
        assert reason == "draw 2 of 5 of the control “other heads” does as much"

    def test_supported_beside_a_control_that_does_not_exist(self):
        assert decide(EXACT, exact(1.0), [self.UNDEFINED]) == (Verdict.SUPPORTED, None)

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


def claim_of(expect=EXACT, controls=(untrained,), kind="correlational"):
    return Claim("toy/weights/large", "They are large.", Source("A post"), expect, kind, controls)


class TestSupport:
    CLEAR = ControlResult("untrained", (0.0,) * 59, 0, 59, alpha=0.001)
    EXACTLY = ControlResult("untrained", (0.0,) * 59, 0, 59)
    ALTERNATIVES = ControlResult("other heads", (0.0,), 0, 1, redrawn=False)
    UNDEFINED = ControlResult("shuffled weights", (None,) * 19, 0, 19)
    SAMPLED = replace(between(0.6, 0.7), e_value=5_000.0)

    @pytest.mark.parametrize(
        ("estimate", "controls", "support", "combined"),
        [
            (SAMPLED, [CLEAR], Support.SAMPLED, 1 / (1 / 60 + 0.002)),
            (SAMPLED, [CLEAR, UNDEFINED], Support.SAMPLED, 1 / (1 / 60 + 0.002)),
            (SAMPLED, [ALTERNATIVES], Support.SAMPLED, 5_000),
            (SAMPLED, [UNDEFINED], Support.NO_CONTROL, 0),
            (SAMPLED, [], Support.NO_CONTROL, 0),
            (exact(1.0), [EXACTLY], Support.RANK, 60),
            (exact(1.0), [EXACTLY, ALTERNATIVES], Support.RANK, 60),
            (exact(1.0), [UNDEFINED], Support.NO_CONTROL, 0),
        ],
    )
    def test_is_what_stands_behind_the_verdict_and_the_least_e_value(self, estimate, controls, support, combined):
        claim = claim_of()
        assert support_of(claim, estimate, controls, False) is support
        assert combined_e_value(claim, estimate, controls, support, False) == pytest.approx(combined)

    def test_of_an_exact_value_beside_all_alternatives_leaves_nothing_to_chance(self):
        claim = claim_of(controls=(other("head"),))
        assert support_of(claim, exact(1.0), [self.ALTERNATIVES], False) is Support.EXACT
        assert combined_e_value(claim, exact(1.0), [self.ALTERNATIVES], Support.EXACT, False) is None

    def test_of_an_identity_and_of_claims_on_other_claims_is_named_and_has_no_e_value(self):
        for claim, rests, support in (
            (claim_of(kind="identity"), False, Support.IDENTITY),
            (claim_of(controls=()), True, Support.TRAINING_RUNS),
        ):
            assert support_of(claim, self.SAMPLED, [], rests) is support
            assert combined_e_value(claim, self.SAMPLED, [], support, rests) is None

    @pytest.mark.parametrize("estimate", [between(0.1, 0.9), exact(-1.0)])
    def test_of_a_claim_that_is_not_supported_there_is_none_and_no_evidence(self, estimate):
        """Also of an exact value: whether a claim is among those that may survive does not depend on its verdict."""
        assert combined_e_value(claim_of(), estimate, [], None, False) == 0


class TestOrder:
    ORDER = (Verdict.REFUTED, Verdict.VACUOUS, Verdict.INCONCLUSIVE, Verdict.SUPPORTED)

    def test_goes_from_refuted_over_vacuous_and_inconclusive_to_supported(self):
        for (one, verdict), (another, recorded) in itertools.product(enumerate(self.ORDER), repeat=2):
            assert verdict.is_worse_than(recorded) is (one < another)

    def test_has_no_place_for_what_was_not_tested(self):
        for verdict in Verdict:
            assert not verdict.is_worse_than(Verdict.UNTESTED)
            assert not Verdict.UNTESTED.is_worse_than(verdict)

    def test_is_beside_a_symbol_of_its_own_for_each(self):
        assert len({verdict.symbol for verdict in Verdict}) == len(Verdict)
        assert all(len(verdict.symbol) == 1 for verdict in Verdict)
