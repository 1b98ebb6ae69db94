"""Counterexamples in messages, results and the next run."""

import shutil

import pytest

from tests.suite import REFUTED, SAMPLED, claim_test, without_seconds

STEEP = """
CURVES = Parameters(steepness=Real(0.5, 5), n=Integer(0, 9))

@claim("toy/weights/works", "It works.", source=POST, expect=Rate(at_least={at_least}))
def test_works(toy, evidence):
    for curves in evidence.batches(CURVES):
        margin = 4.21 - curves["steepness"]
        evidence.observe(margin > 0, margin=margin)
"""
BREAKS, HOLDS = STEEP.format(at_least=0.99), STEEP.format(at_least=0.5)


class TestCounterexample:
    def test_of_a_refuted_claim_stands_in_its_message(self, suite):
        output = suite.claims(BREAKS).run().stdout.str()
        assert "simplest input on which it fails: steepness = 5, n = 0" in output
        assert "it fails there by 0.79, and with steepness from 4.21 to 5, with n from 0 to 9" in output

    def test_of_a_supported_claim_is_in_the_results_and_told_where_every_row_is(self, suite):
        record = suite.claims(HOLDS).records()["works"]
        assert record["verdict"] == "supported"
        assert record["counterexample"]["parameters"] == {"steepness": 5.0, "n": 0}
        assert record["counterexample"]["fails"]["steepness"] == pytest.approx([4.21, 5], rel=1e-3)
        assert "simplest input" not in suite.run().stdout.str()
        assert "simplest input on which" in suite.run("-v").stdout.str()

    @pytest.mark.parametrize("workers", [[], ["-n1"]], ids=["one process", "a worker"])
    def test_is_the_same_in_every_run_whether_searched_for_or_replayed(self, suite, workers):
        suite.claims(HOLDS, SAMPLED, REFUTED)
        first = without_seconds(suite.records())
        again = without_seconds(suite.records(*workers))
        shutil.rmtree(suite.path / ".hypothesis")
        anew = without_seconds(suite.records(*workers))
        assert first == again == anew
        assert first["works"]["counterexample"]
        assert (first["negative"]["counterexample"], first["negative"]["no_counterexample"]) == (None, None)

    def test_is_kept_in_the_root_whatever_folder_the_run_starts_from(self, suite, monkeypatch):
        suite.pytester.makeini("[pytest]")
        suite.claims(HOLDS)
        elsewhere = suite.path / "elsewhere"
        elsewhere.mkdir()
        monkeypatch.chdir(elsewhere)
        suite.run("..")
        assert any((suite.path / ".hypothesis" / "examples").iterdir())
        assert not (elsewhere / ".hypothesis").exists()

    def test_goes_on_where_nothing_can_be_kept(self, suite):
        (suite.path / ".hypothesis").write_text("a file in the place of the folder")
        assert suite.claims(HOLDS).records()["works"]["counterexample"]["parameters"]["steepness"] == 5

    def test_is_searched_for_where_the_claim_is_judged_not_where_others_speak_of_it(self, suite):
        others = """
@claim("toy/weights/often-works", "It often works.", source=POST, expect=Rate(at_least=0.5))
def test_often_works(toy, judge, evidence):
    (finding,) = (one for one in findings(sys.modules[__name__]) if one.claim.id.endswith("/works"))
    evidence.observe([finding.judge(judge, toy).verdict is Verdict.SUPPORTED])
"""
        record = suite.claims("import sys", BREAKS, others).records("-k", "often")["often-works"]
        assert (record["counterexample"], record["no_counterexample"]) == (None, None)
        assert not (suite.path / ".hypothesis").exists()

    def test_of_no_input_does_not_take_the_verdict(self, suite):
        moody = """
import itertools
TIMES = itertools.count()
""" + claim_test(
            "moody",
            "Rate(at_least=0.1)",
            "\n    ".join(
                [
                    "for points in evidence.batches(POINTS):",
                    "    evidence.observe([next(TIMES) % 7 > 0 for _ in points['x']])",
                ]
            ),
        )
        record = suite.claims(moody).records()["moody"]
        assert (record["verdict"], record["counterexample"]) == ("supported", None)
        assert "put to the body" in record["no_counterexample"]
        assert "no counterexample: " in " ".join(suite.run("-v").stdout.str().split())
