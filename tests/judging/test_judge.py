from dataclasses import replace
from functools import partial

import pytest
import torch

from mechtests import (
    ClaimError,
    Head,
    Mean,
    Rate,
    Source,
    System,
    Value,
    Verdict,
    instead,
    other,
    random_sets,
    scale,
    untrained,
    zero,
)
from mechtests.claiming.claim import Claim
from mechtests.claiming.controls import shuffled_weights
from mechtests.judging.judge import PART, Judge, Settings
from mechtests.judging.verdict import Support, in_region
from tests.coins import Coins


def toy(weight=5.0, inputs=2, kind=System):
    """A linear map whose weights are all ``weight``: far above those of an untrained one, which are below 1."""
    module = torch.nn.Linear(inputs, 1, bias=False)
    with torch.no_grad():
        module.weight.fill_(weight)
    return kind(module, "toy")


def stated(expect, *controls):
    return Claim("toy/weights/large", "The weights are large.", Source("A post"), expect, controls=controls)


class Body:
    """A claim's test that remembers how it was called."""

    def __init__(self, measure):
        self.measure, self.calls = measure, []

    def __call__(self, evidence, **arguments):
        self.calls.append(arguments)
        self.measure(evidence, **arguments)


def mean_weight(evidence, toy):
    evidence.value(toy.module.weight.mean())


def above_a_half(evidence, toy):
    """A claim of one success in every two or so, that depends on the weights: untrained ones have none."""
    for numbers in evidence.batches(Coins()):
        evidence.observe((numbers < 0.9) & (toy.module.weight.mean().item() > 1))


LARGE = stated(Value(above=1), untrained)
OFTEN = stated(Rate(at_least=0.5), untrained)


class TestControls:
    def test_run_where_the_estimate_is_in_the_region(self):
        body = Body(mean_weight)
        judgement = Judge(Settings()).judge(LARGE, body, {"toy": toy()})
        assert judgement.verdict is Verdict.SUPPORTED
        assert len(body.calls) == 1 + 19
        (control,) = judgement.controls
        assert (control.name, len(control.values), control.reached, control.clear) == ("untrained", 19, 0, True)

    @pytest.mark.parametrize(
        ("expect", "measure", "verdict"),
        [
            (Value(above=9), mean_weight, Verdict.REFUTED),
            (Rate(at_least=0.9), above_a_half, Verdict.INCONCLUSIVE),
            (Value(above=0), lambda evidence, toy: evidence.undefined("no weights"), Verdict.VACUOUS),
        ],
    )
    def test_run_for_no_other(self, expect, measure, verdict):
        body = Body(measure)
        judgement = Judge(Settings()).judge(stated(expect, untrained), body, {"toy": toy()})
        assert (judgement.verdict, judgement.controls, len(body.calls)) == (verdict, (), 1)

    def test_make_a_claim_vacuous_that_holds_on_untrained_twins_too(self):
        body = Body(lambda evidence, toy: evidence.value(toy.module.weight.numel()))
        judgement = Judge(Settings()).judge(LARGE, body, {"toy": toy()})
        assert judgement.verdict is Verdict.VACUOUS
        assert judgement.reason == "draw 1 of 19 of the control “untrained” does as much"
        assert len(body.calls) == 2  # further draws change nothing

    def test_that_draw_the_same_twin_again_are_refused(self):
        class Fixed(System):
            def fresh_module(self):
                torch.manual_seed(7)
                return torch.nn.Linear(2, 1, bias=False)

        with pytest.raises(ClaimError, match="draw 2 has the weights of draw 1"):
            Judge(Settings()).judge(LARGE, Body(mean_weight), {"toy": toy(kind=Fixed)})

    def test_may_ask_for_a_margin(self):
        for margin, verdict in ((4.0, Verdict.SUPPORTED), (4.9, Verdict.VACUOUS)):
            claim = stated(Value(above=1), untrained.beyond(margin))
            judgement = Judge(Settings()).judge(claim, Body(mean_weight), {"toy": toy()})
            assert judgement.verdict is verdict
        assert judgement.controls[0].margin == 4.9
        assert judgement.controls[0].ahead < 4.9

    @pytest.mark.parametrize(
        ("expect", "margin", "message"),
        [
            (Value(at_least=-1, at_most=1), 0.1, "two ends"),
            (Rate(at_least=0.5), 1.0, "more than 1"),
            (Mean(at_least=0, bounds=(-1, 1)), 2.5, "more than 2"),
        ],
    )
    def test_may_not_ask_for_a_margin_that_no_model_could_show(self, expect, margin, message):
        with pytest.raises(ClaimError, match=message):
            stated(expect, untrained.beyond(margin))

    def test_make_a_sampled_claim_vacuous_that_holds_on_untrained_twins_too(self):
        def blind(evidence, toy):
            for numbers in evidence.batches(Coins()):
                evidence.observe(numbers < 0.9)

        assert Judge(Settings()).judge(OFTEN, Body(blind), {"toy": toy()}).verdict is Verdict.VACUOUS

    def test_leave_a_claim_supported_that_does_not_exist_on_untrained_twins(self):
        def measure(evidence, toy):
            if toy.identity.startswith("untrained"):
                return evidence.undefined("no large weight")
            return evidence.value(5.0)

        judgement = Judge(Settings()).judge(LARGE, Body(measure), {"toy": toy()})
        assert judgement.verdict is Verdict.SUPPORTED
        assert judgement.controls[0].values == (None,) * 19
        assert judgement.controls[0].clear is None
        assert judgement.support is Support.NO_CONTROL

    def test_are_drawn_as_often_as_the_claim_says(self):
        body = Body(mean_weight)
        judgement = Judge(Settings()).judge(stated(Value(above=1), untrained.drawn(99)), body, {"toy": toy()})
        assert judgement.controls[0].error == pytest.approx(0.01)
        assert len(body.calls) == 1 + 99

    def test_share_untrained_draws_among_checkpoints_of_one_architecture(self):
        body, judge = Body(mean_weight), Judge(Settings())
        first, second, third = (judge.judge(LARGE, body, {"toy": toy(weight)}) for weight in (5.0, 6.0, 7.0))
        assert len(body.calls) == 3 + 19
        assert first.controls[0].values == second.controls[0].values == third.controls[0].values
        judge.judge(LARGE, body, {"toy": toy(inputs=3)})
        assert len(body.calls) == 4 + 2 * 19

    def test_share_nothing_that_depends_on_the_weights(self):
        body, judge = Body(mean_weight), Judge(Settings())
        claim = stated(Value(above=1), shuffled_weights)
        first, second = (judge.judge(claim, body, {"toy": toy(weight)}) for weight in (5.0, 6.0))
        assert first.controls[0].values == (5.0,)
        assert second.controls[0].values == (6.0,)

    def test_share_nothing_that_depends_on_when_sampling_stopped(self):
        body, judge = Body(above_a_half), Judge(Settings())
        for weight in (5.0, 6.0):
            assert judge.judge(OFTEN, body, {"toy": toy(weight)}).verdict is Verdict.SUPPORTED
        assert len(body.calls) == 2 * (1 + 19)

    def test_see_the_inputs_that_the_model_saw(self):
        first = []

        def measure(evidence, toy):
            for number, inputs in enumerate(evidence.batches(Coins())):
                if number == 0:
                    first.append(inputs)
                evidence.observe((inputs < 0.9) & (toy.module.weight.mean().item() > 1))

        Judge(Settings()).judge(OFTEN, Body(measure), {"toy": toy()})
        assert len(first) == 1 + 19
        assert all(torch.equal(inputs, first[0]) for inputs in first)

    @staticmethod
    def sampled(model, *controls, budget=Settings.budget):
        """The judgement of a rate that is at least 0.5, and how many units each rate was last sampled with."""
        units = {}

        def measure(evidence, toy, rate):
            for numbers in evidence.batches(Coins()):
                evidence.observe(numbers < rate)
            units[rate] = evidence.estimate().units

        claim = stated(Rate(at_least=0.5), instead(rate=list(controls)))
        judgement = Judge(Settings(budget=budget)).judge(
            claim, Body(measure), {"toy": toy(), "rate": model}, {"rate": model}
        )
        return judgement, units

    def test_sample_a_draw_until_it_stands_apart(self):
        judgement, units = self.sampled(0.96, 0.0, 0.85)
        assert judgement.verdict is Verdict.SUPPORTED
        assert units[0.0] < units[0.85] < Settings.budget

    def test_are_told_from_the_model_by_more_units_where_the_region_needed_few(self):
        few, units = self.sampled(0.99, 0.9, budget=64)
        assert few.verdict is Verdict.VACUOUS
        judgement, units = self.sampled(0.99, 0.9)
        assert judgement.verdict is Verdict.SUPPORTED
        assert units[0.99] == Settings.budget // PART
        judgement, units = self.sampled(0.99, 0.98)
        assert judgement.verdict is Verdict.SUPPORTED
        assert units[0.99] == Settings.budget

    def test_are_sampled_no_longer_than_the_budget(self):
        """The control fails on its first unit alone, which is too little to tell it from the model, and never ends."""
        units = {}

        def measure(evidence, toy, failures):
            for numbers in evidence.batches(Coins()):
                before = len(evidence.values)
                evidence.observe(torch.arange(before, before + len(numbers)) >= failures)
            units[failures] = evidence.estimate().units

        claim = stated(Rate(at_least=0.5), instead(failures=1))
        judgement = Judge(Settings()).judge(claim, Body(measure), {"toy": toy(), "failures": 0}, {"failures": 0})
        assert judgement.verdict is Verdict.VACUOUS
        assert units == {0: Settings.budget, 1: Settings.budget}

    @pytest.mark.parametrize("control", [0.96, 0.97])
    def test_that_do_as_well_as_the_model_after_a_part_of_the_budget_are_not_sampled_to_its_end(self, control):
        judgement, units = self.sampled(0.96001, control)
        assert judgement.verdict is Verdict.VACUOUS
        assert units[0.96001] == units[control] == Settings.budget // PART

    def test_are_measured_once_more_where_the_body_itself_stops(self):
        def measure(evidence, toy, rate):
            for _ in evidence.batches(Coins()):
                evidence.observe([True] * 32)
                if evidence.estimate().units == 96:
                    return

        claim = stated(Rate(at_least=0.5), instead(rate=99))
        judgement = Judge(Settings()).judge(claim, body := Body(measure), {"toy": toy(), "rate": 100}, {"rate": 100})
        assert judgement.verdict is Verdict.VACUOUS
        assert len(body.calls) == 4

    def test_are_measured_once_on_a_sample_that_the_body_has(self):
        def measure(evidence, toy, rate):
            evidence.observe([True] * rate + [False])

        claim = stated(Rate(at_least=0.5), instead(rate=99))
        judgement = Judge(Settings()).judge(claim, body := Body(measure), {"toy": toy(), "rate": 100}, {"rate": 100})
        assert judgement.verdict is Verdict.VACUOUS
        assert len(body.calls) == 2

    @pytest.mark.parametrize(("most", "measured"), [(96, 2), (Settings.budget // PART + 96, 3)])
    def test_are_measured_again_up_to_the_most_that_the_claim_wants(self, most, measured):
        """First on a part of the budget, then where that is hopeful on all that the claim can have; never beyond."""
        units = []

        def measure(evidence, toy, rate):
            for numbers in evidence.batches(Coins(), most=most):
                evidence.observe(numbers < rate)
            units.append(evidence.estimate().units)

        claim = stated(Rate(at_least=0.5), instead(rate=0.985))
        judgement = Judge(Settings()).judge(claim, measure, {"toy": toy(), "rate": 0.99}, {"rate": 0.99})
        assert judgement.verdict is Verdict.VACUOUS
        assert max(units) == most
        assert len(units) == 2 * measured


class TestDefaults:
    @staticmethod
    def measure(toy, evidence, factor=2.0):
        evidence.value(factor * toy.module.weight.mean())

    def test_are_parameters(self):
        judgement = Judge(Settings()).judge(stated(Value(above=1)), self.measure, {"toy": toy()})
        assert (judgement.params, judgement.estimate.value) == ({"factor": "2.0"}, 10.0)

    def test_judge_as_the_same_parameter_set_by_hand(self):
        judge, system = Judge(Settings()), toy()
        by_default = judge.judge(stated(Value(above=1)), self.measure, {"toy": system})
        by_hand = judge.judge(stated(Value(above=1)), self.measure, {"toy": system, "factor": 2.0}, {"factor": 2.0})
        assert by_default == by_hand
        other_value = judge.judge(stated(Value(above=1)), self.measure, {"toy": system, "factor": 3.0})
        assert (other_value.params, other_value.estimate.value) == ({"factor": "3.0"}, 15.0)

    def test_are_replaced_by_controls(self):
        claim = stated(Value(above=1), instead(factor=[0.1, -2.0]))
        judgement = Judge(Settings()).judge(claim, self.measure, {"toy": toy()})
        assert judgement.verdict is Verdict.SUPPORTED
        assert judgement.controls[0].values == (pytest.approx(0.5), -10.0)


class TestUntested:
    def test_is_the_verdict_with_the_bodys_reason(self):
        def measure(evidence, toy):
            evidence.value(5.0)
            return evidence.untested("there is one layer")

        judgement = Judge(Settings()).judge(LARGE, body := Body(measure), {"toy": toy()})
        assert (judgement.verdict, judgement.reason) == (Verdict.UNTESTED, "there is one layer")
        assert (judgement.estimate, judgement.controls, len(body.calls)) == (None, (), 1)

    def test_of_a_controls_draw_says_nothing_of_the_claim(self):
        def measure(evidence, toy, factor):
            if factor == 0:
                evidence.untested("no such factor")
            evidence.value(factor)

        claim = stated(Value(above=1), instead(factor=[0, 0.5]))
        judgement = Judge(Settings()).judge(claim, measure, {"toy": toy(), "factor": 2}, {"factor": 2})
        assert judgement.verdict is Verdict.SUPPORTED
        assert judgement.controls[0].values == (None, 0.5)


class TestRequirements:
    @staticmethod
    def requiring(answers, *controls):
        """A claim that requires what ``answers`` says of a system, and the names of the systems that were asked."""
        asked = []

        def able(system):
            asked.append(system.identity)
            return answers(system)

        return replace(stated(Value(above=1), *controls), requires=(able,)), asked

    def test_that_fail_leave_the_claim_untested_and_its_body_alone(self):
        claim, _ = self.requiring(lambda system: "it adds nothing")
        judgement = Judge(Settings()).judge(claim, body := Body(mean_weight), {"toy": toy()})
        assert judgement.verdict is Verdict.UNTESTED
        assert judgement.reason == "presupposition failed: it adds nothing"
        assert body.calls == []

    def test_are_measured_once_per_model(self):
        claim, asked = self.requiring(lambda system: True)
        judge, system = Judge(Settings()), toy()
        for one in (claim, replace(claim, id="toy/weights/other")):
            assert judge.judge(one, mean_weight, {"toy": system}).verdict is Verdict.SUPPORTED
        assert asked == [system.identity]

    def test_make_a_twin_that_fails_them_undefined(self):
        claim, _ = self.requiring(lambda system: "untrained" not in system.identity or "it is untrained", untrained)
        judgement = Judge(Settings()).judge(claim, body := Body(mean_weight), {"toy": toy()})
        assert judgement.controls[0].values == (None,) * 19
        assert len(body.calls) == 1

    @pytest.mark.parametrize("true", [True, torch.tensor(True), torch.tensor([1.0]).numpy()[0] == 1])
    def test_hold_where_the_answer_is_true(self, true):
        claim, _ = self.requiring(lambda system: true)
        assert Judge(Settings()).judge(claim, mean_weight, {"toy": toy()}).verdict is Verdict.SUPPORTED

    @pytest.mark.parametrize("answer", [None, False, "", 1, (False, "no")], ids=repr)
    def test_are_answered_with_true_or_a_reason(self, answer):
        claim, _ = self.requiring(lambda system: answer)
        with pytest.raises(ClaimError, match="Expected True, or the reason"):
            Judge(Settings()).judge(claim, mean_weight, {"toy": toy()})

    def test_are_asked_of_a_system(self):
        claim, _ = self.requiring(lambda system: True)
        with pytest.raises(ClaimError, match="no argument of the test is one"):
            Judge(Settings()).judge(claim, mean_weight, {"toy": 3})


class TestReplacement:
    def judged(self, control, value, measure, system=None):
        body = Body(measure)
        name = control.parameter
        arguments = {"toy": system or toy(), name: value}
        return Judge(Settings()).judge(stated(Value(above=1), control), body, arguments, {name: value}), body

    def test_takes_every_alternative_named(self):
        judgement, body = self.judged(instead(factor=[2, -2]), 3, lambda evidence, toy, factor: evidence.value(factor))
        assert [call["factor"] for call in body.calls] == [3, 2, -2]
        assert (judgement.verdict, judgement.controls[0].redrawn) == (Verdict.SUPPORTED, False)

    def test_keeps_the_system(self):
        _, body = self.judged(instead(factor=2), 3, lambda evidence, toy, factor: evidence.value(factor))
        assert body.calls[0]["toy"] is body.calls[1]["toy"]

    def test_takes_every_other_head(self):
        class Headed(System):
            heads = tuple(Head(layer, index) for layer in range(2) for index in range(2))

        def measure(evidence, toy, head):
            evidence.value(2.0 if head == Head(1, 0) else 0.0)

        judgement, body = self.judged(other("head"), Head(1, 0), measure, toy(kind=Headed))
        assert [str(call["head"]) for call in body.calls] == ["L1H0", "L0H0", "L0H1", "L1H1"]
        assert judgement.params == {"head": "L1H0"}
        assert judgement.verdict is Verdict.SUPPORTED

    def test_takes_random_sets_of_as_many(self):
        def chosen(system):
            return torch.arange(40) < 5

        def measure(evidence, toy, neurons):
            mask = neurons(toy)
            assert (mask.dtype, mask.shape, int(mask.sum())) == (torch.bool, (40,), 5)
            evidence.value(2.0 + mask[:5].sum())

        judgement, body = self.judged(random_sets("neurons"), chosen, measure)
        masks = {tuple(call["neurons"](call["toy"]).tolist()) for call in body.calls}
        assert len(masks) == 1 + 19
        assert judgement.verdict is Verdict.SUPPORTED
        assert judgement.params == {"neurons": "chosen"}

    @pytest.mark.parametrize(
        ("control", "arguments"),
        [
            (other("head"), {"toy": toy(), "head": Head(0, 0)}),  # a system without heads
            (untrained, {"step": 3}),  # no system
            (shuffled_weights, {"step": 3}),
            (instead(factor=[]), {"toy": toy(), "factor": 1}),
        ],
        ids=lambda value: getattr(value, "name", ""),
    )
    def test_with_nothing_to_draw_is_an_error(self, control, arguments):
        with pytest.raises(ClaimError, match=f"nothing to draw for the control “{control.name}”"):
            Judge(Settings()).judge(
                stated(Value(above=1), control), Body(lambda evidence, **_: evidence.value(2.0)), arguments
            )


class TestJudging:
    def test_happens_once_for_each_model(self):
        body, judge, system = Body(mean_weight), Judge(Settings()), toy()
        first = judge.judge(LARGE, body, {"toy": system})
        assert judge.judge(LARGE, body, {"toy": system}) == first
        assert len(body.calls) == 1 + 19
        judge.judge(LARGE, body, {"toy": toy(6.0)})
        assert len(body.calls) == 2 + 19

    def test_happens_once_for_each_parameter(self):
        body, judge, system = Body(lambda evidence, toy, factor: evidence.value(factor)), Judge(Settings()), toy()
        claim = stated(Value(above=1))
        values = [judge.judge(claim, body, {"toy": system, "factor": f}, {"factor": f}) for f in (2, 3, 2)]
        assert [judgement.estimate.value for judgement in values] == [2, 3, 2]
        assert len(body.calls) == 2

    def test_happens_for_each_of_two_functions_of_one_name(self):
        def made(value):
            def pick():
                return value

            return pick

        body, judge, system = Body(lambda evidence, toy, how: evidence.value(how())), Judge(Settings()), toy()
        judged = [
            judge.judge(stated(Value(above=1)), body, {"toy": system, "how": how}, {"how": how})
            for how in (made(2), made(-2), made(2))
        ]
        assert [judgement.estimate.value for judgement in judged] == [2, -2, 2]
        assert [dict(judgement.params) for judgement in judged] == [{"how": "pick"}] * 3
        assert len(body.calls) == 2

    @pytest.mark.parametrize("nameless", [lambda: 2, object(), partial(toy, 2)], ids=["lambda", "object", "partial"])
    def test_refuses_parameters_that_have_no_name(self, nameless):
        """They would share a judgement, or have another seed in every run."""
        body = Body(lambda evidence, toy, factor: evidence.value(2.0))
        arguments = {"toy": toy(), "factor": nameless}
        with pytest.raises(ClaimError, match="factor"):
            Judge(Settings()).judge(stated(Value(above=1)), body, arguments, {"factor": nameless})

    def test_names_the_checkpoint_asked_about_where_another_has_the_same_weights(self):
        body, judge = Body(mean_weight), Judge(Settings())
        for system in (toy(), toy()):
            assert judge.judge(LARGE, body, {"toy": system}).system is system

    def test_happens_each_time_for_a_claim_about_several_models(self):
        body, judge = Body(lambda evidence, systems: evidence.census([True])), Judge(Settings())
        for _ in range(2):
            judgement = judge.judge(stated(Rate(at_least=1)), body, {"systems": [toy(), toy()]})
        assert judgement.system is None
        assert len(body.calls) == 2

    def test_depends_on_the_seed_alone(self):
        def judged(seed):
            judgement = Judge(Settings(seed=seed)).judge(OFTEN, Body(above_a_half), {"toy": toy()})
            return replace(judgement, seconds=0.0, system=None)

        assert judged(1) == judged(1)
        assert judged(1).estimate != judged(2).estimate

    def test_draws_the_same_inputs_for_all_parameters_of_a_claim_and_others_for_another_claim(self):
        seen = []

        def measure(evidence, toy, factor):
            seen.append(torch.rand(8, generator=evidence.generator))
            evidence.value(2.0)

        first = stated(Value(above=1))
        for claim, factor in ((first, 1), (first, 2), (replace(first, id="toy/another/claim"), 1)):
            Judge(Settings()).judge(claim, Body(measure), {"toy": toy(), "factor": factor}, {"factor": factor})
        assert torch.equal(seen[0], seen[1])
        assert not torch.equal(seen[0], seen[2])

    def test_uses_the_claims_own_error_rate_where_it_has_one(self):
        alphas = []

        def measure(evidence, toy):
            alphas.append(evidence.alpha)
            evidence.observe([True])

        for expect in (Rate(at_least=0.5), Rate(at_least=0.5, alpha=0.2)):
            Judge(Settings(alpha=0.01)).judge(stated(expect), Body(measure), {"toy": toy()})
        assert alphas == [0.01, 0.2]

    def test_spends_no_more_than_the_budget(self):
        judgement = Judge(Settings(budget=50)).judge(stated(Rate(at_least=0.9)), Body(above_a_half), {"toy": toy()})
        assert (judgement.verdict, judgement.estimate.units) == (Verdict.INCONCLUSIVE, 50)

    def test_keeps_the_curves_of_the_model_not_of_its_controls(self):
        def measure(evidence, toy):
            evidence.figure("weight", [0, 1], toy.module.weight.flatten().tolist())
            evidence.value(toy.module.weight.mean())

        (curve,) = Judge(Settings()).judge(LARGE, Body(measure), {"toy": toy()}).curves
        assert curve.y == (5.0, 5.0)

    def test_of_a_body_that_observes_nothing_is_an_error(self):
        with pytest.raises(ClaimError, match="observed nothing"):
            Judge(Settings()).judge(LARGE, Body(lambda evidence, toy: None), {"toy": toy()})

    def test_tells_what_is_being_done(self):
        told = []
        Judge(Settings(), told.append).judge(OFTEN, Body(above_a_half), {"toy": toy()})
        assert any("units" in line for line in told)
        assert any("control untrained, draw 19" in line for line in told)

    def test_estimates_what_it_says(self):
        judgement = Judge(Settings()).judge(LARGE, Body(mean_weight), {"toy": toy()})
        assert (judgement.estimate.value, judgement.claim) == (5.0, LARGE)
        assert in_region(LARGE.expect, judgement.estimate)


class TestInterventions:
    def test_those_made_on_the_model_are_kept_each_once_in_their_order(self):
        def body(evidence, toy):
            for _ in range(2):
                toy.activations(torch.ones(3, 2), [""], zero(":input"))
            toy.activations(torch.ones(3, 2), [""], scale("", 2))
            evidence.value(5)

        judgement = Judge(Settings()).judge(LARGE, body, {"toy": toy()})
        assert judgement.interventions == ("zero :input", "scale by 2 ")

    def test_a_claim_that_changes_nothing_has_none_and_a_claim_judged_on_the_way_keeps_its_own(self):
        def changing(evidence, toy):
            toy.activations(torch.ones(3, 2), [""], zero(""))
            evidence.value(5)

        judge = Judge(Settings())

        def outer(evidence):
            inner = judge.judge(LARGE, changing, {"toy": toy()})
            assert inner.interventions == ("zero ",)
            evidence.value(5)

        assert judge.judge(stated(Value(above=1)), outer, {}).interventions == ()
        assert Judge(Settings()).judge(LARGE, mean_weight, {"toy": toy()}).interventions == ()
