"""From a verdict to the outcome of a test."""

import xml.etree.ElementTree as ET

import pytest

from tests.suite import BY_VERDICT, INCONCLUSIVE, REFUTED, SAMPLED, SUPPORTED, outcomes


@pytest.mark.parametrize(
    ("verdict", "outcome", "exit_code"),
    [
        ("supported", "passed", 0),
        ("refuted", "failed", 1),
        ("inconclusive", "inconclusive", 0),
        ("vacuous", "failed", 1),
        ("untested", "untested", 0),
    ],
)
class TestEveryVerdict:
    def test_has_an_outcome(self, suite, verdict, outcome, exit_code):
        result = suite.claims(BY_VERDICT[verdict]).run()
        assert outcomes(result) == {outcome: 1}
        assert result.ret == exit_code

    def test_is_told_and_written(self, suite, verdict, outcome, exit_code):
        (record,) = suite.claims(BY_VERDICT[verdict]).records().values()
        assert record["verdict"] == verdict
        assert record["story"] == "Are the weights what they are said to be?"
        assert (record["statement"], record["source"]["title"]) == ("It is so.", "A post")
        assert (record["evidence_kind"], record["published"]) == ("correlational", None)


def test_the_end_of_a_run_tells_every_verdict_by_a_word(suite):
    result = suite.claims(*BY_VERDICT.values()).run()
    assert all(verdict in result.stdout.str() for verdict in BY_VERDICT)
    assert "\x1b" not in result.stdout.str()
    assert "reports/latest/results.json" in result.stdout.str()


def test_a_failed_claim_says_what_was_observed_what_was_claimed_and_how_to_see_it_again(suite):
    output = suite.claims(REFUTED).run().stdout.str()
    told = ["REFUTED toy/weights/negative: It is so.", "observed 5 over 2 units; region < 0", "again: pytest"]
    assert all(line in output for line in told)


def test_an_inconclusive_claim_is_a_question_mark(suite):
    assert "test_toy.py ?" in suite.claims(INCONCLUSIVE).run().stdout.str()


def test_an_inconclusive_claim_fails_where_claims_are_strict(suite):
    result = suite.claims(INCONCLUSIVE).run("--strict-claims")
    assert (outcomes(result), result.ret) == ({"failed": 1}, 1)
    assert suite.document()["claims"][0]["verdict"] == "inconclusive"


def test_results_hold_the_numbers(suite):
    records = suite.claims(*BY_VERDICT.values(), SAMPLED).records()
    positive = records["positive"]
    assert (positive["estimate"], positive["interval"], positive["units"]) == (5.0, None, 2)
    assert positive["expect"] == {"kind": "value", "region": "> 1", "above": 1}
    (control,) = positive["controls"]
    assert (control["name"], len(control["estimates"]), control["reached"], control["clear"]) == (
        "untrained",
        19,
        0,
        True,
    )
    often = records["often"]
    assert often["verdict"] == "supported"
    assert 0.7 <= often["interval"][0] < often["estimate"] < often["interval"][1]
    assert (often["units"] % 32, often["support"], often["survives_fdr"]) == (0, "no control", False)
    assert (positive["support"], positive["combined_e_value"]) == ("rank among controls", pytest.approx(20))
    assert often["e_value"] > 1_000
    assert records["half"]["units"] == 256
    assert records["two"]["reason"] == "draw 1 of 19 of the control “untrained” does as much"
    assert "the data is not here" in records["elsewhere"]["reason"]
    run = suite.document()["run"]
    assert (run["seed"], run["alpha"], run["budget"]) == (0, 0.001, 256)


def test_a_run_without_claims_leaves_and_says_nothing(suite):
    suite.pytester.makepyfile("def test_plain(): pass")
    result = suite.run()
    assert outcomes(result) == {"passed": 1}
    assert not suite.results.parent.exists()
    assert "claims" not in [line.strip(" =") for line in result.outlines]
    assert "results:" not in result.stdout.str()


def test_claims_and_plain_tests_live_side_by_side(suite):
    result = suite.claims(SUPPORTED, "def test_plain(toy): assert toy.name == 'toy'").run()
    assert outcomes(result) == {"passed": 2}
    assert len(suite.document()["claims"]) == 1


def test_results_are_written_where_there_is_no_git(suite, monkeypatch):
    monkeypatch.setenv("PATH", "")
    result = suite.claims(SUPPORTED).run()
    assert result.ret == 0
    assert suite.document()["run"]["commit"] is None


def test_junit_xml_holds_the_verdict(suite):
    suite.claims(*BY_VERDICT.values()).run("--junit-xml=junit.xml")
    found = {
        case.get("name"): {entry.get("name"): entry.get("value") for entry in case.iter("property")}
        for case in ET.parse(suite.path / "junit.xml").iter("testcase")
    }
    assert found["test_positive"]["claim_id"] == "toy/weights/positive"
    assert found["test_positive"]["claim_estimate"] == "5.0"
    verdicts = {name: properties.get("claim_verdict") for name, properties in found.items()}
    assert verdicts == {
        "test_positive": "supported",
        "test_negative": "refuted",
        "test_half": "inconclusive",
        "test_two": "vacuous",
        "test_elsewhere": "untested",
    }
