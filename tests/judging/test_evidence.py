import itertools
import math
import re

import numpy as np
import pytest
import torch

from mechtests import (
    ClaimError,
    Difference,
    Evidence,
    Integer,
    Mean,
    Monotone,
    Parameters,
    Permutation,
    Rank,
    Rate,
    Real,
    Value,
    Verdict,
)
from mechtests.claiming.estimate import Estimate
from mechtests.judging.pairing import PairedUnits
from mechtests.judging.verdict import decide

RATE, SAMPLED_MEAN = Rate(at_least=0.5), Mean(at_least=0.5, bounds=(0, 1))
EXACT, RANK = Value(above=0), Rank(at_most=1)
PERMUTATION, MONOTONE = Permutation(p_at_most=0.001, tail="low"), Monotone("increasing", at_least=1)


def evidence_for(expect, alpha=0.05, budget=512, seed=0, **hooks):
    return Evidence(expect, alpha, budget, torch.Generator().manual_seed(seed), **hooks)


def recorded(expect, way, *values):
    evidence = evidence_for(expect)
    getattr(evidence, way)(*values)
    return evidence.estimate()


class Coins:
    def __init__(self, rate):
        self.rate = rate

    def sample(self, n, generator):
        return torch.rand(n, generator=generator, dtype=torch.float64) < self.rate


def diagonal_minus_rest(matrix):
    return matrix.diagonal().mean() - matrix.mean()


# ---------------------------------------------------------------------------------------------------------------------
# What a body records


class TestRecording:
    @pytest.mark.parametrize("values", [[True, True, False, True], torch.tensor([1.0, 1.0, 0.0, 1.0])])
    def test_a_census_is_exact(self, values):
        assert recorded(RATE, "census", values) == Estimate(0.75, None, 4)

    def test_a_census_needs_no_bounds(self):
        assert recorded(Difference(above=0), "census", [-1.0, 4.0]) == Estimate(1.5, None, 2)

    @pytest.mark.parametrize("expect", [RATE, SAMPLED_MEAN])
    def test_a_sample_has_an_interval_around_its_mean_and_an_e_value(self, expect):
        estimate = recorded(expect, "observe", [True] * 30 + [False] * 10)
        assert (estimate.value, estimate.units) == (0.75, 40)
        assert estimate.low < 0.75 < estimate.high
        assert estimate.e_value > 1

    def test_a_sample_may_come_in_parts(self):
        evidence = evidence_for(RATE)
        evidence.observe([True, False])
        evidence.observe([True, True])
        assert evidence.estimate() == recorded(RATE, "observe", [True, False, True, True])

    @pytest.mark.parametrize(
        "number", [2.5, torch.tensor(2.5), torch.tensor([2.5], dtype=torch.bfloat16), np.array(2.5)]
    )
    def test_a_number_known_exactly_is_taken_as_it_is(self, number):
        assert recorded(EXACT, "value", number, 7) == Estimate(2.5, None, 7)

    @pytest.mark.parametrize(("rivals", "place"), [([1.0, 2.0], 1), ([4.0, 2.0], 2), ([3.0, 3.0, 9.0], 4)])
    def test_a_rank_counts_ties_against_the_score(self, rivals, place):
        estimate = recorded(RANK, "rank", 3.0, rivals)
        assert (estimate.value, estimate.units) == (place, len(rivals) + 1)

    def test_a_rank_without_rivals_is_refused(self):
        with pytest.raises(ClaimError):
            recorded(RANK, "rank", 3.0, [])

    @pytest.mark.parametrize(
        ("direction", "y", "value"),
        [
            ("increasing", [0, 1, 5], 1),
            ("decreasing", [0, 1, 5], -1),
            ("decreasing", [5, 1, 0], 1),
            ("increasing", [0, 1, 0], 0),
            ("increasing", [0, 3, 2], 0.5),
            ("increasing", [0.1, 0.2, 0.2, 0.7], 1),
        ],
    )
    def test_a_monotone_response_is_its_net_change_over_its_total_variation(self, direction, y, value):
        estimate = recorded(Monotone(direction, at_least=1), "response", "loss by step", range(len(y)), y)
        assert estimate.value == pytest.approx(value, abs=1e-12)
        assert estimate.units == len(y)

    def test_a_flat_response_is_undefined(self):
        evidence = evidence_for(MONOTONE)
        evidence.response("loss by step", [0, 1, 2], [3, 3, 3])
        assert evidence.estimate() is None
        assert evidence.undefined_because == "loss by step does not change along the curve"

    @pytest.mark.parametrize("expect", [EXACT, RATE])
    def test_a_curve_is_a_figure_of_any_other_claim(self, expect):
        evidence = evidence_for(expect)
        evidence.figure("accuracy by step", [0, 1, 2], torch.tensor([0.2, 0.5, 0.9]))
        (curve,) = evidence.curves
        assert curve.x == (0, 1, 2)
        assert curve.y == pytest.approx((0.2, 0.5, 0.9))
        with pytest.raises(ClaimError, match="observed nothing"):
            evidence.estimate()

    def test_what_does_not_exist_has_no_estimate(self):
        evidence = evidence_for(RATE)
        evidence.undefined("no neuron of the kind")
        assert evidence.estimate() is None

    def test_a_planted_diagonal_stands_out_of_its_permutations(self):
        matrix = torch.randn(12, 12, generator=torch.Generator().manual_seed(1)) - 9 * torch.eye(12)
        estimate = recorded(PERMUTATION, "permutation", matrix, diagonal_minus_rest)
        assert estimate.value == pytest.approx(float(diagonal_minus_rest(matrix)))
        assert estimate.p_value == pytest.approx(1 / 10_000)
        assert estimate.e_value > 1
        assert decide(PERMUTATION, estimate, ()) == (Verdict.SUPPORTED, None)

    def test_a_matrix_without_a_diagonal_does_not(self):
        matrix = torch.randn(12, 12, generator=torch.Generator().manual_seed(2))
        estimate = recorded(PERMUTATION, "permutation", matrix, diagonal_minus_rest)
        assert estimate.p_value > 0.01
        assert decide(PERMUTATION, estimate, ()) == (Verdict.REFUTED, None)


class TestMisuse:
    @pytest.mark.parametrize(
        ("expect", "way", "values"),
        [
            (EXACT, "observe", [[True]]),
            (RANK, "census", [[True]]),
            (RATE, "value", [1.0]),
            (EXACT, "rank", [1.0, [2.0]]),
            (EXACT, "permutation", [torch.eye(2), diagonal_minus_rest]),
        ],
    )
    def test_recording_what_the_claim_does_not_expect(self, expect, way, values):
        with pytest.raises(ClaimError, match=f"this claim expects {type(expect).__name__}"):
            recorded(expect, way, *values)

    @pytest.mark.parametrize(
        ("expect", "first", "second"),
        [
            (RATE, ("census", [True]), ("census", [True])),
            (RATE, ("observe", [True]), ("census", [False])),
            (RATE, ("census", [False]), ("observe", [True])),
            (EXACT, ("value", 1.0), ("value", 1.0)),
            (RANK, ("rank", 1.0, [2.0]), ("rank", 1.0, [2.0])),
            (MONOTONE, ("response", "a", [0, 1], [0, 1]), ("response", "b", [0, 1], [0, 1])),
        ],
    )
    def test_recording_two_values(self, expect, first, second):
        evidence = evidence_for(expect)
        with pytest.raises(ClaimError, match="two"):  # noqa: PT012 - which of the calls notices is left open
            getattr(evidence, first[0])(*first[1:])
            getattr(evidence, second[0])(*second[1:])
            evidence.estimate()

    @pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
    @pytest.mark.parametrize(
        ("expect", "call"),
        [
            (RATE, lambda evidence, x: evidence.observe([1.0, x])),
            (SAMPLED_MEAN, lambda evidence, x: evidence.census(torch.tensor([1.0, x]))),
            (EXACT, lambda evidence, x: evidence.value(x)),
            (RANK, lambda evidence, x: evidence.rank(x, [1.0])),
            (RANK, lambda evidence, x: evidence.rank(1.0, [x])),
            (PERMUTATION, lambda evidence, x: evidence.permutation(torch.eye(3), lambda matrix: x)),
            (MONOTONE, lambda evidence, x: evidence.response("loss", [0, 1], [0, x])),
            (MONOTONE, lambda evidence, x: evidence.response("loss", [0, x], [0, 1])),
        ],
    )
    def test_a_value_that_is_no_number(self, expect, call, wrong):
        with pytest.raises(ClaimError, match=str(wrong)):
            call(evidence_for(expect), wrong)

    @pytest.mark.parametrize(
        ("expect", "call"),
        [
            (EXACT, lambda evidence, numbers: evidence.value(numbers)),
            (RANK, lambda evidence, numbers: evidence.rank(numbers, [1.0])),
            (PERMUTATION, lambda evidence, numbers: evidence.permutation(torch.eye(3), lambda matrix: numbers)),
        ],
        ids=["value", "rank", "permutation"],
    )
    @pytest.mark.parametrize("numbers", [torch.rand(3), [0.5, 1.0], []], ids=["tensor", "list", "empty"])
    def test_more_or_less_than_one_number(self, expect, call, numbers):
        message = rf"expected one number, found {len(numbers)} .*write evidence\.observe or evidence\.census"
        with pytest.raises(ClaimError, match=message):
            call(evidence_for(expect), numbers)

    @pytest.mark.parametrize(
        ("expect", "way", "value"),
        [(EXACT, "value", "high"), (EXACT, "value", None), (RATE, "census", ["a"]), (RATE, "observe", [[1], [1, 0]])],
    )
    def test_what_is_no_number_at_all(self, expect, way, value):
        with pytest.raises(ClaimError, match=re.escape(f"expected numbers, true or false; found {value!r}")):
            recorded(expect, way, value)

    @pytest.mark.parametrize("way", ["observe", "census"])
    def test_a_rate_of_anything_but_true_and_false(self, way):
        with pytest.raises(ClaimError, match="a Rate is a share of units"):
            recorded(RATE, way, [0.0, 0.5])

    @pytest.mark.parametrize("values", [torch.ones(3, 2), torch.tensor(1.0), [[True], [False]]])
    def test_more_or_less_than_one_value_a_unit(self, values):
        with pytest.raises(ClaimError, match="one value per unit"):
            recorded(RATE, "observe", values)

    def test_a_mean_sampled_without_bounds(self):
        with pytest.raises(ClaimError, match=r"Difference\(\.\.\., bounds=\(low, high\)\)"):
            recorded(Difference(above=0), "observe", [1.0])

    def test_a_unit_outside_the_bounds(self):
        with pytest.raises(ClaimError, match="bounds"):
            recorded(SAMPLED_MEAN, "observe", [2.0])

    def test_a_census_of_nobody(self):
        with pytest.raises(ClaimError, match=r"given no units.*undefined"):
            recorded(RATE, "census", [])

    @pytest.mark.parametrize("values", [None, []])
    def test_observing_nothing(self, values):
        evidence = evidence_for(RATE)
        if values is not None:
            evidence.observe(values)
        with pytest.raises(ClaimError, match="observed nothing"):
            evidence.estimate()

    @pytest.mark.parametrize(("x", "y"), [([0], [1]), ([0, 1], [1]), ([], [])])
    def test_a_curve_that_is_none(self, x, y):
        with pytest.raises(ClaimError, match="two or more points"):
            recorded(MONOTONE, "response", "loss", x, y)


class TestMargin:
    def test_changes_nothing_of_the_estimate(self):
        plain, told = evidence_for(RATE), evidence_for(RATE)
        plain.observe([True, False, True])
        told.observe([True, False, True], margin=torch.tensor([0.5, -2.0, 1e-9]))
        assert told.estimate() == plain.estimate()

    def test_of_zero_is_on_either_side(self):
        evidence_for(RATE).observe([True, False], margin=[0.0, 0.0])

    @pytest.mark.parametrize(
        ("margin", "message"),
        [
            ([1.0], r"3 values and margins of the shape \(1,\)"),
            ([[1.0, -1.0, 1.0]], r"margins of the shape \(1, 3\)"),
            (0.5, r"margins of the shape \(\)"),
            ([1.0, -1.0, math.nan], "the margin of unit 2 of 3 is nan"),
            ([math.inf, -1.0, 1.0], "the margin of unit 0 of 3 is inf"),
            ([1.0, 0.5, 1.0], r"unit 1 of 3 is False and its margin is 0\.5"),
            ([1.0, -1.0, -2.0], "unit 2 of 3 is True and its margin is -2"),
        ],
    )
    def test_is_one_finite_number_a_unit_of_its_sign(self, margin, message):
        with pytest.raises(ClaimError, match=message):
            evidence_for(RATE).observe([True, False, True], margin=margin)

    def test_is_of_a_rate(self):
        with pytest.raises(ClaimError, match="this claim expects Mean"):
            evidence_for(SAMPLED_MEAN).observe([0.5], margin=[0.5])


# ---------------------------------------------------------------------------------------------------------------------
# Sampling until decided


class TestBatches:
    def test_stop_when_the_interval_leaves_the_edge(self):
        for rate, verdict in [(1.0, Verdict.SUPPORTED), (0.0, Verdict.REFUTED)]:
            evidence = evidence_for(RATE)
            for coins in evidence.batches(Coins(rate)):
                evidence.observe(coins)
            assert evidence.estimate().units == 32
            assert decide(RATE, evidence.estimate(), ())[0] is verdict

    def test_stop_at_the_budget_with_a_last_batch_that_fits(self):
        evidence, sizes = evidence_for(RATE, budget=100), []
        for coins in evidence.batches(Coins(0.5)):
            sizes.append(len(coins))
            evidence.observe(coins)
        assert sizes == [32, 32, 32, 4]
        verdict, reason = decide(RATE, evidence.estimate(), ())
        assert verdict is Verdict.INCONCLUSIVE
        assert "100 units" in reason

    def test_have_the_size_asked_for(self):
        evidence = evidence_for(RATE, budget=10)
        sizes = [len(coins) for coins in evidence.batches(Coins(0.5), size=5) if evidence.observe(coins) is None]
        assert sizes == [5, 5]

    def test_may_be_answered_in_parts(self):
        evidence = evidence_for(RATE, budget=8)
        for coins in evidence.batches(Coins(0.5), size=8):
            evidence.observe(coins[:3])
            evidence.observe(coins[3:])
        assert evidence.estimate().units == 8

    @pytest.mark.parametrize("answer", [lambda coins: coins[1:], lambda coins: coins.repeat(2), lambda coins: []])
    def test_are_answered_with_one_value_an_input(self, answer):
        evidence = evidence_for(RATE)
        batches = evidence.batches(Coins(0.5))
        evidence.observe(answer(next(batches)))
        with pytest.raises(ClaimError, match="one value for each input"):
            next(batches)

    @pytest.mark.parametrize(
        ("family", "message"),
        [
            (
                [1.0, 2.0],
                r"batches\(\[1\.0, 2\.0\]\): expected a family of inputs, .*list.* write evidence\.observe\(values\)",
            ),
            (Coins, r"batches\(Coins\): expected a family of inputs, found its class\. Write Coins\("),
        ],
        ids=["list", "class"],
    )
    def test_are_drawn_from_a_family(self, family, message):
        with pytest.raises(ClaimError, match=message):
            next(evidence_for(RATE).batches(family))

    @pytest.mark.parametrize("size", [0, -1])
    def test_hold_at_least_one_input(self, size):
        with pytest.raises(ClaimError, match="size"):
            next(evidence_for(RATE).batches(Coins(0.5), size=size))

    def test_go_on_to_a_number_of_units_where_the_judge_wants_it(self):
        evidence = evidence_for(RATE, units=96)
        for coins in evidence.batches(Coins(1.0)):
            evidence.observe(coins)
        assert evidence.estimate().units == 96

    def test_of_a_control_stop_when_it_is_decided_whether_the_model_does_more(self):
        model = evidence_for(RATE, units=256)
        for coins in model.batches(Coins(0.9)):
            model.observe(coins)
        units = {}
        for rate in (0.1, 0.9):
            control = evidence_for(RATE, rival=PairedUnits(RATE, model.values, 0.0, 0.05))
            for coins in control.batches(Coins(rate)):
                control.observe(coins)
            units[rate] = (control.estimate().units, control.rival.does_more)
        assert units == {0.1: (32, True), 0.9: (256, False)}

    def test_stop_at_the_most_that_the_claim_wants(self):
        evidence = evidence_for(RATE)
        sizes = []
        for coins in evidence.batches(Coins(0.5), most=80):
            evidence.observe(coins)
            sizes.append(len(coins))
        assert sizes == [32, 32, 16]
        assert [evidence.obtainable(budget) for budget in (512, 60)] == [80, 60]
        assert evidence.trail()[-1] == evidence.estimate()

    def test_are_the_same_inputs_whatever_the_most(self):
        few, many = evidence_for(RATE), evidence_for(RATE)
        for coins in few.batches(Coins(0.5), most=64):
            few.observe(coins)
        for coins in itertools.islice(many.batches(Coins(0.5)), 2):
            many.observe(coins)
        assert (few.values == many.values).all()

    @pytest.mark.parametrize("most", [0, -1])
    def test_want_at_least_one_unit(self, most):
        with pytest.raises(ClaimError, match=f"most={most}"):
            next(evidence_for(RATE).batches(Coins(0.5), most=most))

    def test_of_a_sample_at_hand_are_none(self):
        evidence = evidence_for(RATE)
        evidence.observe([True])
        assert evidence.obtainable(512) == 0

    def test_are_the_same_for_the_same_generator(self):
        first, second, other = (next(evidence_for(RATE, seed=seed).batches(Coins(0.5))).tolist() for seed in (3, 3, 4))
        assert first == second != other

    def test_support_a_false_claim_no_more_often_than_alpha(self):
        expect, runs, alpha = Rate(above=0.9), 400, 0.05  # the truth is the region's edge, which is open
        supported = 0
        for seed in range(runs):
            evidence = evidence_for(expect, alpha=alpha, budget=320, seed=seed)
            for coins in evidence.batches(Coins(0.9)):
                evidence.observe(coins)
            supported += decide(expect, evidence.estimate(), ())[0] is Verdict.SUPPORTED
        assert supported <= alpha * runs

    def test_support_a_true_claim(self):
        expect, runs = Rate(above=0.9), 40
        supported = 0
        for seed in range(runs):
            evidence = evidence_for(expect, alpha=0.001, budget=2_048, seed=seed)
            for coins in evidence.batches(Coins(0.98), size=64):
                evidence.observe(coins)
            supported += decide(expect, evidence.estimate(), ())[0] is Verdict.SUPPORTED
        assert supported >= 0.95 * runs

    def test_find_a_planted_mean(self):
        class Shares:
            def sample(self, n, generator):
                return 0.6 + 0.2 * torch.rand(n, generator=generator, dtype=torch.float64)

        evidence = evidence_for(SAMPLED_MEAN)
        for shares in evidence.batches(Shares()):
            evidence.observe(shares)
        estimate = evidence.estimate()
        assert estimate.low <= 0.7 <= estimate.high
        assert decide(SAMPLED_MEAN, estimate, ())[0] is Verdict.SUPPORTED


class TestDrawn:
    """What the search for a counterexample starts from."""

    FAMILY = Parameters(x=Real(0, 1), n=Integer(0, 9))

    def drawn(self, expect, tells, **hooks):
        evidence, seen = evidence_for(expect, **hooks), []
        for inputs in evidence.batches(self.FAMILY, size=16):
            values = inputs["x"] > 0.3
            seen += [{"x": x, "n": n} for x, n in zip(inputs["x"].tolist(), inputs["n"].tolist(), strict=True)]
            evidence.observe(values, margin=inputs["x"] - 0.3 if tells else None)
        return evidence.drawn(), seen

    def test_are_the_units_that_fail_in_the_order_drawn(self):
        drawn, seen = self.drawn(RATE, tells=False, budget=64)
        failing = [point for point in seen if point["x"] <= 0.3]
        assert (list(drawn.worst), drawn.failing) == (failing, len(failing))
        assert (drawn.family, drawn.size) == (self.FAMILY, 16)

    @pytest.mark.parametrize(("expect", "sign"), [(RATE, 1), (Rate(at_most=0.5), -1)])
    def test_are_those_with_the_least_margin_where_margins_are_told(self, expect, sign):
        drawn, seen = self.drawn(expect, tells=True, budget=64)
        assert list(drawn.worst) == sorted(seen, key=lambda point: sign * point["x"])[:32]

    def test_are_not_known_where_no_search_is_wanted_and_the_inputs_are_the_same(self):
        searched, unsearched = evidence_for(RATE), evidence_for(RATE)
        for evidence, search in ((searched, True), (unsearched, False)):
            for inputs in evidence.batches(self.FAMILY, search=search):
                evidence.observe(inputs["x"] < 0.4)
        assert searched.drawn() is not None
        assert unsearched.drawn() is None
        assert searched.estimate() == unsearched.estimate()

    def test_are_the_same_units_as_without_them(self):
        plain = evidence_for(RATE, seed=3)
        (batch,) = itertools.islice(plain.batches(self.FAMILY), 1)
        assert batch["x"].equal(self.FAMILY.sample(32, torch.Generator().manual_seed(3))["x"])


class TestAnOpenEndAtTheEndOfTheValues:
    """ "Sometimes": the rate is above 0, which one success shows and no number of failures refutes."""

    @pytest.mark.parametrize("expect", [Rate(above=0), Mean(above=0, bounds=(0, 1))])
    def test_one_success_supports(self, expect):
        estimate = recorded(expect, "observe", [0.0] * 40 + [1.0])
        assert decide(expect, estimate, ())[0] is Verdict.SUPPORTED
        assert estimate.e_value >= 1000

    @pytest.mark.parametrize("expect", [Rate(above=0), Mean(above=0, bounds=(0, 1))])
    def test_no_success_leaves_open(self, expect):
        estimate = recorded(expect, "observe", [0.0] * 40)
        assert decide(expect, estimate, ())[0] is Verdict.INCONCLUSIVE
        assert estimate.e_value <= 1

    def test_not_always_is_the_mirror(self):
        expect = Rate(below=1)
        assert decide(expect, recorded(expect, "observe", [1.0] * 40 + [0.0]), ())[0] is Verdict.SUPPORTED
        assert decide(expect, recorded(expect, "observe", [1.0] * 40), ())[0] is Verdict.INCONCLUSIVE
