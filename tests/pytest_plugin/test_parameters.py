"""Parameters, fixtures and classes of claim tests."""

import pytest

from tests.suite import CONFTEST, SAMPLED, SUPPORTED, claim_test, outcomes, printed


def test_each_parameter_is_a_claim_of_its_own(suite):
    marks = "@pytest.mark.parametrize('factor', [1.0, -1.0])"
    test = claim_test("factor", "Value(above=0)", "evidence.value(factor)", "toy, factor, evidence", marks=marks)
    result = suite.claims(test).run()
    assert outcomes(result) == {"passed": 1, "failed": 1}
    verdicts = {claim["params"]["factor"]: claim["verdict"] for claim in suite.document()["claims"]}
    assert verdicts == {"1.0": "supported", "-1.0": "refuted"}


def test_parameters_without_a_name_are_refused(suite):
    marks = "@pytest.mark.parametrize('factor', [lambda: 1.0, lambda: -1.0])"
    test = claim_test("factor", "Value(above=0)", "evidence.value(factor())", "toy, factor, evidence", marks=marks)
    result = suite.claims(test).run()
    assert result.ret != 0
    assert "factor=<lambda>" in printed(result)


def test_different_parameters_that_are_written_alike_are_refused_before_any_is_judged(suite):
    makers = "def make(sign):\n    def pick():\n        return sign\n    return pick"
    for values in ("[make(1.0), make(-1.0)]", "[1, '1']", "[(1.0,), pytest.param('(1.0,)')]"):
        marks = f"@pytest.mark.parametrize('factor', {values})"
        test = claim_test("factor", "Value(above=0)", "evidence.value(1.0)", "toy, factor, evidence", marks=marks)
        result = suite.claims(makers, test).run()
        assert result.ret == pytest.ExitCode.INTERRUPTED
        assert "has two values that are written alike" in printed(result)
        assert not suite.results.exists()


def test_a_parameters_value_may_come_in_several_cases(suite):
    marks = "@pytest.mark.parametrize(('factor', 'scale'), [(1.0, share_below), (2.0, share_below), (1.0, 3.0)])"
    test = claim_test("factor", "Value(above=0)", "evidence.value(factor)", "toy, factor, scale, evidence", marks=marks)
    assert outcomes(suite.claims(test).run()) == {"passed": 3}


def test_parameters_of_a_fixture_that_the_test_does_not_take_are_kept_apart(suite):
    fixtures = """
@pytest.fixture(params=[1.0, -1.0])
def sign(request):
    return request.param

@pytest.fixture
def factor(sign):
    return 3 * sign
"""
    test = claim_test("factor", "Value(above=0)", "evidence.value(factor)", "toy, factor, evidence")
    assert outcomes(suite.claims(fixtures, test).run()) == {"passed": 1, "failed": 1}


def test_a_parametrized_system_is_no_parameter_of_its_claims(suite):
    conftest = CONFTEST.replace("@pytest.fixture\ndef toy():", "@pytest.fixture(params=[5.0, 7.0])\ndef toy(request):")
    conftest = conftest.replace("fill_(5.0)", "fill_(request.param)")
    suite.claims(SUPPORTED, SAMPLED, conftest=conftest).run()
    claims = suite.document()["claims"]
    assert [claim["params"] for claim in claims] == [{}] * 4
    assert {claim["estimate"] for claim in claims if claim["id"].endswith("positive")} == {5.0, 7.0}
    assert len({claim["checkpoint"]["sha256"] for claim in claims}) == 2


def test_an_argument_with_a_default_keeps_it(suite):
    test = claim_test("factor", "Value(above=0)", "evidence.value(factor)", "toy, evidence, factor=2.0")
    assert outcomes(suite.claims(test).run()) == {"passed": 1}


def test_a_claim_may_stand_in_a_class(suite):
    test = """
class TestWeights:
    @claim("toy/weights/sum", "It is so.", source=POST, expect=Value(above=0), controls=[untrained])
    def test_sum(self, toy, evidence):
        evidence.value(self.measured(toy))

    def measured(self, toy):
        return toy.module.weight.sum()
"""
    assert outcomes(suite.claims(test).run()) == {"passed": 1}


def test_functions_given_as_parameters_are_written_by_name_whether_judged_or_not(suite):
    body = "pytest.skip('not here') if skipped else evidence.value(1.0)"
    marks = "@pytest.mark.parametrize('chosen', [share_below])\n@pytest.mark.parametrize('skipped', [0, 1])"
    test = claim_test("chosen", "Value(above=0)", body, "toy, chosen, skipped, evidence", marks=marks)
    suite.claims(test).run()
    found = {claim["verdict"]: claim["params"]["chosen"] for claim in suite.document()["claims"]}
    assert found == {"supported": "share_below", "untested": "share_below"}


def test_a_parameter_has_the_name_in_the_tests_id_that_it_has_in_the_record(suite):
    marks = "@pytest.mark.parametrize('chosen', [Head(0, 3), share_below, 'text', 2.5])"
    test = claim_test("chosen", "Value(above=0)", "evidence.value(1.0)", "toy, chosen, evidence", marks=marks)
    plain = "@pytest.mark.parametrize('chosen', [Head(0, 3)])\ndef test_plain(chosen): pass"
    result = suite.claims(test, plain).run("--collect-only", "-q")
    ids = [line.partition("::")[2] for line in result.outlines if "::" in line]
    assert ids == [*(f"test_chosen[{name}]" for name in ("L0H3", "share_below", "text", "2.5")), "test_plain[chosen0]"]
    suite.run()
    assert {claim["params"]["chosen"] for claim in suite.document()["claims"]} == {"L0H3", "share_below", "text", "2.5"}


def test_a_parameter_without_a_name_is_numbered_in_the_tests_id(suite):
    marks = "@pytest.mark.parametrize('chosen', [object()])"
    test = claim_test("chosen", "Value(above=0)", "pass", "toy, chosen, evidence", marks=marks)
    assert "test_toy.py::test_chosen[chosen0]" in suite.claims(test).run("--collect-only", "-q").outlines
