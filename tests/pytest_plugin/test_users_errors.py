"""Claims, tests, bodies and fixtures that are written wrongly."""

import pytest

from tests.suite import CONFTEST, REFUTED, SUPPORTED, TINY_CONFTEST, USAGE_ERROR, claim_test, outcomes, printed

WRONG = {
    "id given twice": (
        [SUPPORTED, SUPPORTED.replace("def test_positive", "def test_again")],
        "the claim id toy/weights/positive is taken",
    ),
    "no evidence": ([claim_test("none", "Value(above=0)", "pass", takes="toy")], "Add the argument `evidence`"),
    "nothing to replace": (
        [claim_test("head", "Value(above=0)", "pass", controls="[other('head')]")],
        "“other heads” replaces the argument 'head', which the test does not take. It takes: toy, evidence.",
    ),
    "id of another system": (
        [claim_test("bias", "Value(above=0)", "pass", takes="tiny, evidence", of="toy")],
        "the claim toy/weights/bias is about the system 'toy', and its test takes 'tiny'. Begin the id with tiny/",
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_claim_with_a_wrong_test_stops_the_run_before_it_starts(suite, wrong):
    tests, message = WRONG[wrong]
    result = suite.claims(*tests, REFUTED, conftest=CONFTEST + TINY_CONFTEST).run()
    assert result.ret in (pytest.ExitCode.INTERRUPTED, USAGE_ERROR)
    assert message in printed(result)
    assert not suite.results.exists()


def test_a_claim_with_a_wrong_test_is_told_by_workers_too(suite):
    tests, message = WRONG["no evidence"]
    result = suite.claims(*tests).run("-n1")
    assert result.ret != 0
    assert message in printed(result)


def test_a_claim_stated_wrongly_is_an_error_of_its_file(suite):
    result = suite.claims(claim_test("none", "Rate()", "pass")).run()
    assert outcomes(result) == {"errors": 1}
    assert "Rate() has no region" in result.stdout.str()


OURS = "mechtests/"
"""In a traceback, the path of a file of the package."""


def line_of(suite, text):
    """``file:line`` of the first line of the suite's tests that holds ``text``."""
    lines = (suite.path / "test_toy.py").read_text().splitlines()
    return f"test_toy.py:{1 + next(number for number, line in enumerate(lines) if text in line)}"


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ("source=POST", "source='arXiv:2301.00001'", "claim toy/weights/positive: source='arXiv:2301.00001'. Expected"),
        ("Value(above=1)", "Rate()", "Rate() has no region"),
        ("Value(above=1)", "Rate(0.9)", "Rate(0.9): expected arguments by their names"),
        ("Value(above=1)", "Value(above=Real(1, 0).low)", "Real(1, 0): expected low ≤ high."),
    ],
)
def test_a_wrong_statement_is_shown_by_its_own_line_and_one_message(suite, right, wrong, message):
    output = printed(suite.claims(SUPPORTED.replace(right, wrong)).run())
    assert f"{line_of(suite, wrong)}: " in output
    assert output.partition("short test summary")[0].count(message) == 1
    assert OURS not in output
    assert "INTERNALERROR" not in output


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("toy.activations(torch.zeros(2, 2), ['nowhere'])", "SiteError: "),
        ("toy.activations(torch.zeros(2, 2), 'logits')", "SiteError: sites: expected a list, found the one site"),
        ("toy.activations('text', ['nowhere'])", "ValueError: expected tensors with a row for each input"),
        ("evidence.census([True])", "ClaimError: this claim expects Value"),
        ("evidence.value(torch.rand(3))", "ClaimError: expected one number, found 3"),
        ("[*evidence.batches([1, 2])]", "ClaimError: evidence.batches([1, 2]): expected a family of inputs"),
    ],
)
def test_a_wrong_call_in_a_body_is_shown_by_its_own_line_and_one_message(suite, body, message):
    output = printed(suite.claims(claim_test("broken", "Value(above=0)", body)).run())
    assert f"{line_of(suite, body)}: {message}" in output
    assert f"    {body}\n" in output
    assert OURS not in output
    assert line_of(suite, body) in suite.document()["claims"][0]["reason"]


def test_any_other_error_of_a_body_shows_the_users_lines_alone(suite):
    helper = "def measured(toy):\n    return toy.activations(torch.zeros(2, 3), [''])"
    suite.claims(helper, claim_test("broken", "Value(above=0)", "measured(toy)"))
    output = printed(suite.run())
    assert "RuntimeError: mat1 and mat2" in output
    assert f"{line_of(suite, '    return toy')}: " in output
    assert OURS not in output
    assert "torch/nn" not in output
    assert f"{OURS}judging/judge.py" in printed(suite.run("--full-trace"))


def test_an_error_of_a_fixture_is_shown_by_its_own_line_and_one_message(suite):
    fixture = """
@pytest.fixture
def logits(toy):
    return toy.activations(torch.zeros(2, 2), "logits")
"""
    suite.claims(fixture, claim_test("broken", "Value(above=0)", "pass", takes="logits, evidence"))
    result = suite.run()
    assert outcomes(result) == {"errors": 1}
    assert f"{line_of(suite, 'return toy')}: SiteError" in printed(result)
    assert OURS not in printed(result)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("pass", "observed nothing"),
        ("raise ZeroDivisionError('no neuron\\n\\nat all')", "ZeroDivisionError: no neuron"),
        ("assert toy.name == 'other'", "AssertionError: assert 'toy' == 'other'"),
        ("evidence.census([True])", "this claim expects Value"),
    ],
    ids=["observes nothing", "raises", "asserts", "records another kind"],
)
class TestBrokenBody:
    @pytest.mark.parametrize("option", ["--tb=auto", "--tb=native"])
    def test_fails_without_a_verdict_and_says_why(self, suite, body, message, option):
        suite.claims(claim_test("broken", "Value(above=0)", body))
        result = suite.run(option)
        assert (outcomes(result), result.ret) == ({"failed": 1}, 1)
        (record,) = suite.document()["claims"]
        assert (record["verdict"], record["estimate"]) == ("untested", None)
        assert message in record["reason"]


def test_a_fixture_that_fails_leaves_the_claim_untested(suite):
    result = suite.claims(SUPPORTED, conftest="import pytest\n@pytest.fixture\ndef toy(): raise OSError('disk')").run()
    assert (outcomes(result), result.ret) == ({"errors": 1}, 1)
    (record,) = suite.document()["claims"]
    assert record["verdict"] == "untested"
    assert "OSError: disk" in record["reason"]


def test_a_skipped_claim_is_untested_for_the_reason_given(suite):
    result = suite.claims(SUPPORTED.replace("\n\ndef", "\n@pytest.mark.skip('too slow here')\ndef")).run()
    assert outcomes(result) == {"untested": 1}
    assert "too slow here" in suite.document()["claims"][0]["reason"]


def test_evidence_is_for_claims(suite):
    result = suite.claims("def test_plain(evidence): pass").run()
    assert outcomes(result) == {"errors": 1}
    assert "test_plain takes evidence and states no claim" in result.stdout.str()
