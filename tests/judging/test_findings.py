from types import ModuleType

import pytest
import torch

from mechtests import Head, Source, System, Value, Verdict, claim, findings
from mechtests.judging.judge import Judge, Settings


def stated(name):
    return claim(f"toy/weights/{name}", "They are.", source=Source("A post"), expect=Value(above=0))


def module_of(**functions):
    module = ModuleType("claims_of_toy")
    vars(module).update(functions)
    return module


def toy(weight):
    module = torch.nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        module.weight.fill_(weight)
    return System(module, "toy")


@stated("sum")
def weight_sum(toy, evidence):
    evidence.value(toy.module.weight.sum())


def params_of(*marks):
    def body(toy, evidence, **_):
        evidence.value(1.0)

    for mark in marks:
        body = mark(body)
    return [finding.params for finding in findings(module_of(test=stated("sum")(body)))]


def test_findings_are_the_claims_of_the_modules_in_their_order():
    @stated("bias")
    def bias(toy, evidence): ...

    first = module_of(torch=torch, helper=lambda: None, text="no claim", test_sum=weight_sum, test_bias=bias)
    assert [str(finding) for finding in findings(first, module_of(test_again=weight_sum))] == [
        "weights/sum",
        "weights/bias",
        "weights/sum",
    ]


def test_a_parametrized_claim_is_a_finding_for_each_value():
    assert params_of(pytest.mark.parametrize("layer", [0, 1])) == [{"layer": 0}, {"layer": 1}]


def test_stacked_parameters_are_crossed():
    found = params_of(pytest.mark.parametrize("layer", [0, 1]), pytest.mark.parametrize("head", [2, 3]))
    assert sorted((params["layer"], params["head"]) for params in found) == [(0, 2), (0, 3), (1, 2), (1, 3)]


def test_a_claim_without_a_value_is_no_finding():
    assert params_of(pytest.mark.parametrize("layer", [])) == []


@pytest.mark.parametrize("names", ["layer, head", ["layer", "head"]])
def test_parameters_given_together_stay_together(names):
    found = params_of(pytest.mark.parametrize(names, [(0, 2), (1, 3)]))
    assert found == [{"layer": 0, "head": 2}, {"layer": 1, "head": 3}]


def test_a_value_with_an_id_is_its_value():
    assert params_of(pytest.mark.parametrize("layer", [pytest.param(0, id="first"), 1])) == [{"layer": 0}, {"layer": 1}]


def test_parameters_may_be_given_by_keyword():
    assert params_of(pytest.mark.parametrize(argnames="layer", argvalues=[0])) == [{"layer": 0}]


def test_other_marks_change_nothing():
    assert params_of(pytest.mark.usefixtures("tmp_path")) == [{}]


def test_a_finding_reads_as_its_claim_and_its_parameters():
    @stated("sum")
    @pytest.mark.parametrize("head", [Head(1, 0)])
    @pytest.mark.parametrize("select", [toy])
    def body(toy, head, select, evidence): ...

    (finding,) = findings(module_of(test=body))
    assert str(finding) == "weights/sum[toy-L1H0]"


@pytest.mark.parametrize(("weight", "verdict"), [(1.0, Verdict.SUPPORTED), (-1.0, Verdict.REFUTED)])
def test_a_finding_is_judged_on_any_checkpoint(weight, verdict):
    (finding,) = findings(module_of(test=weight_sum))
    assert finding.judge(Judge(Settings()), toy(weight)).verdict is verdict


def test_a_finding_is_judged_with_its_parameters():
    @stated("sum")
    @pytest.mark.parametrize("factor", [2.0, -2.0])
    def body(toy, factor, evidence):
        evidence.value(factor)

    judged = [finding.judge(Judge(Settings()), toy(1.0)) for finding in findings(module_of(test=body))]
    assert [(one.params, one.verdict) for one in judged] == [
        ({"factor": "2.0"}, Verdict.SUPPORTED),
        ({"factor": "-2.0"}, Verdict.REFUTED),
    ]


def test_a_finding_shares_its_judgement_with_the_claims_own_test():
    judge, system = Judge(Settings()), toy(1.0)
    (finding,) = findings(module_of(test=weight_sum))
    assert finding.judge(judge, system) == judge.judge(finding.claim, weight_sum, {"toy": system})
