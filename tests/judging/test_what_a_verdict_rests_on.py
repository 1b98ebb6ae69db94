"""The trail of an estimate as units came in, and the judgements of other claims that a judgement rests on."""

import json

import jsonschema
import pytest
import torch

from mechtests import ClaimError, Evidence, Mean, Rate, Source, System, Value, Verdict, claim, instead
from mechtests.claiming.claim import Claim, claim_of
from mechtests.judging.findings import Finding
from mechtests.judging.judge import Judge, Settings
from mechtests.results.document import results_document, schema
from mechtests.results.making import checkpoint_record, claim_record
from tests.coins import Coins
from tests.documents import RUN

POST = Source("A post")


def evidence_for(expect, budget=4096, **hooks):
    return Evidence(expect, 0.05, budget, torch.Generator().manual_seed(0), **hooks)


def toy(weight):
    module = torch.nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        module.weight.fill_(weight)
    return System(module, "toy")


class TestTrail:
    def test_ends_with_the_estimate(self):
        evidence = evidence_for(Rate(at_least=0.5), budget=128)
        for numbers in evidence.batches(Coins()):
            evidence.observe(numbers < 0.55)
        assert evidence.trail()[-1] == evidence.estimate()

    @pytest.mark.parametrize("expect", [Rate(at_least=0.5), Mean(at_least=0.5, bounds=(0, 1))], ids=["rate", "mean"])
    @pytest.mark.parametrize("units", [1, 2, 7, 100])
    def test_of_a_sample_at_hand_is_what_its_first_units_say(self, expect, units):
        values = [float(number % 3 > 0) for number in range(units)]
        evidence = evidence_for(expect)
        evidence.observe(values)
        sizes = [estimate.units for estimate in evidence.trail()]
        assert sizes == sorted(set(sizes))
        assert (sizes[0], sizes[-1]) == (1, units)
        for estimate in evidence.trail():
            first = evidence_for(expect)
            first.observe(values[: estimate.units])
            same = first.estimate()
            assert (estimate.value, estimate.low, estimate.high) == pytest.approx((same.value, same.low, same.high))

    def test_takes_few_steps_to_many_units(self):
        evidence = evidence_for(Rate(at_least=0.5))
        evidence.observe([True] * 4096)
        assert len(evidence.trail()) < 40

    def test_is_there_also_where_the_judge_wants_a_number_of_units(self):
        evidence = evidence_for(Rate(at_least=0.5), budget=256, units=256)
        for numbers in evidence.batches(Coins()):
            evidence.observe(numbers < 0.9)
        assert evidence.trail()[-1] == evidence.estimate()

    def test_of_an_exact_value_or_of_nothing_is_empty(self):
        exact, nothing = evidence_for(Value(above=0)), evidence_for(Rate(at_least=0.5))
        exact.value(1.0)
        nothing.undefined("there is nothing")
        assert exact.trail() == nothing.trail() == []

    def test_is_recorded_with_as_many_points_as_a_drawing_needs(self):
        def body(toy, evidence):
            for numbers in evidence.batches(Coins(), size=2):
                evidence.observe(numbers < 0.5)

        stated = Claim("toy/weights/half", "It is half.", POST, Rate(at_least=0.5))
        judgement = Judge(Settings()).judge(stated, body, {"toy": toy(1.0)})
        record = claim_record(judgement, None, "Is it?", "pytest x")
        assert len(record["trail"]) == len(judgement.trail) < 40
        units, *estimate = record["trail"][-1]
        assert units == record["units"] == 4096
        assert estimate == pytest.approx([record["estimate"], *record["interval"]], rel=1e-4)
        assert all(low <= value <= high for _, value, low, high in record["trail"])


@claim("toy/weights/positive", "They are positive.", source=POST, expect=Value(above=0))
def positive(toy, evidence):
    evidence.value(toy.module.weight.mean())


@claim("toy/weights/negative", "They are negative.", source=POST, expect=Value(below=0))
def negative(toy, evidence):
    evidence.value(toy.module.weight.mean())


def finding_of(body):
    return Finding(claim_of(body), body, {})


def universal(*controls, finding=None):
    """A claim on how many of three models a finding holds on, and what a judge makes of it."""
    systems = [toy(1.0), toy(-2.0), toy(3.0)]
    stated = Claim(
        "toy/training/universal", "It holds on most.", POST, Rate(at_least=0.5, alpha=0.5), controls=controls
    )
    judge = Judge(Settings())

    def body(finding, evidence):
        evidence.observe([finding.judge(judge, system).verdict is Verdict.SUPPORTED for system in systems])

    finding = finding or finding_of(positive)
    return judge.judge(stated, body, {"finding": finding}, {"finding": finding}), systems


class TestJudgementsOfOtherClaims:
    def test_are_kept_in_their_order(self):
        judgement, systems = universal()
        assert [one.system for one in judgement.rests_on] == systems
        assert [one.verdict.value for one in judgement.rests_on] == ["supported", "refuted", "supported"]
        assert {one.claim.id for one in judgement.rests_on} == {"toy/weights/positive"}

    def test_are_kept_also_where_they_were_known_before(self):
        judge, system = Judge(Settings()), toy(1.0)
        known = finding_of(positive).judge(judge, system)

        def body(evidence):
            evidence.observe([finding_of(positive).judge(judge, system).verdict is Verdict.SUPPORTED])

        stated = Claim("toy/training/once", "It holds.", POST, Rate(at_least=0.5))
        assert judge.judge(stated, body, {}).rests_on == (known,)
        assert known.rests_on == ()

    def test_that_a_control_asks_for_are_not(self):
        replaced = instead(finding=finding_of(negative))
        judgement, _ = universal(replaced)
        assert {one.claim.id for one in judgement.rests_on} == {"toy/weights/positive"}

    def test_belong_to_the_claim_whose_body_asked(self):
        judge, system = Judge(Settings()), toy(1.0)
        inner = Claim("toy/training/inner", "It holds.", POST, Rate(at_least=0.5))
        outer = Claim("toy/training/outer", "It holds.", POST, Rate(at_least=0.5))

        def asks(toy, evidence):
            evidence.observe([finding_of(positive).judge(judge, toy).verdict is Verdict.SUPPORTED])

        def asks_what_asks(evidence):
            evidence.observe([judge.judge(inner, asks, {"toy": system}).verdict is Verdict.SUPPORTED])

        (nested,) = judge.judge(outer, asks_what_asks, {}).rests_on
        assert nested.claim is inner
        assert [one.claim.id for one in nested.rests_on] == ["toy/weights/positive"]

    def test_are_forgotten_with_a_body_that_fails(self):
        judge, system = Judge(Settings()), toy(1.0)

        def fails(evidence):
            finding_of(positive).judge(judge, system)
            raise RuntimeError("it fails")

        with pytest.raises(RuntimeError, match="it fails"):
            judge.judge(Claim("toy/training/fails", "It fails.", POST, Rate(at_least=0.5)), fails, {})
        assert finding_of(negative).judge(judge, system).rests_on == ()
        assert judge._asked == []

    def test_are_recorded_by_finding(self):
        judgement, systems = universal()
        record = claim_record(judgement, checkpoint_record(systems), "Is it?", "pytest x")
        (finding,) = record["findings"]
        assert (finding["id"], finding["params"]) == ("toy/weights/positive", {})
        assert finding["expect"] == {"kind": "value", "region": "> 0", "above": 0}
        assert [(one["verdict"], one["estimate"], one["interval"]) for one in finding["judged"]] == [
            ("supported", 1.0, None),
            ("refuted", -2.0, None),
            ("supported", 3.0, None),
        ]
        assert [one["checkpoint"]["sha256"] for one in finding["judged"]] == [system.identity for system in systems]
        assert record["checkpoint"]["members"] == ["toy", "toy", "toy"]
        assert record["expect"]["alpha"] == 0.5
        document = json.loads(json.dumps(results_document(RUN, [record])))
        jsonschema.validate(document, schema(), jsonschema.Draft202012Validator)


class TestCriterion:
    def test_is_stated_by_the_claim_and_recorded(self):
        @claim("toy/weights/n", "They are needed.", source=POST, expect=Value(above=0), criterion="necessity")
        def body(toy, evidence):
            evidence.value(1.0)

        judgement = Judge(Settings()).judge(claim_of(body), body, {"toy": toy(1.0)})
        assert claim_record(judgement, None, "Are they?", "pytest x")["criterion"] == "necessity"

    def test_is_one_that_claims_can_put_to_the_test(self):
        with pytest.raises(ClaimError, match=r"'beauty'.*necessity, sufficiency, specificity"):
            Claim("toy/weights/n", "They are.", POST, Value(above=0), criterion="beauty")
