"""``--claims-results``: where the results file goes."""

import json
import shutil

import pytest

from tests.suite import SUPPORTED, USAGE_ERROR, claim_test, outcomes, printed


def test_results_go_where_they_are_asked_to(suite):
    suite.claims(SUPPORTED).run("--claims-results=there/it.json")
    assert json.loads((suite.path / "there" / "it.json").read_text())["claims"]
    assert not suite.results.exists()


@pytest.mark.parametrize("option", ["--claims-results", "--claims-html"])
@pytest.mark.parametrize(("path", "reason"), [("weights", "it is a folder"), ("test_toy.py/it", "is a file")])
def test_a_path_at_which_nothing_can_be_written_stops_the_run_before_a_claim_is_judged(suite, option, path, reason):
    suite.claims(SUPPORTED).weights()
    result = suite.run(f"{option}={path}")
    assert result.ret == USAGE_ERROR
    assert f"{path}: nothing can be written there (" in printed(result)
    assert reason in printed(result)
    assert f"Name another file with {option} FILE" in printed(result)
    assert not suite.results.exists()


def test_the_default_path_is_tried_where_there_are_claims_and_leaves_nothing(suite):
    (suite.path / "reports").write_text("a file in the place of the folder")
    suite.pytester.makepyfile(test_plain="def test_plain(): pass")
    assert suite.run().ret == 0
    result = suite.claims(SUPPORTED).run()
    assert result.ret == USAGE_ERROR
    assert "results.json: nothing can be written there" in printed(result)


def test_results_that_cannot_be_written_at_the_end_are_printed_and_lie_elsewhere(suite):
    body = "Path('reports').write_text('in the way')\n    evidence.value(1.0)"
    result = suite.claims("from pathlib import Path", claim_test("way", "Value(above=0)", body)).run()
    output = printed(result)
    assert result.ret == pytest.ExitCode.INTERNAL_ERROR
    assert outcomes(result) == {"passed": 1}
    assert output.count("error: the results cannot be written to") == 1
    assert output.count("error: the report cannot be written to") == 1
    assert "Traceback" not in output
    (line,) = [line for line in result.outlines if line.startswith("results: ")]
    elsewhere = (suite.path / line.removeprefix("results: ")).resolve()
    assert json.loads(elsewhere.read_text())["claims"][0]["verdict"] == "supported"
    shutil.rmtree(elsewhere.parent)
