"""``mechtests verify``: judging checkpoints for scripts. The system is a user's own, of two weights."""

import json
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from types import SimpleNamespace

import pytest
import torch

from mechtests.checkpoints import Provenance, save
from mechtests.cli import main
from mechtests.monitor.verify import badge_of, summary_markdown
from mechtests.report.badge import badge_svg
from mechtests.report.junit import junit_xml
from mechtests.results.comparison import compare
from mechtests.results.document import read_results, results_document, write_results
from mechtests.results.ledger import Ledger
from mechtests.results.side import side_of
from tests import documents
from tests.documents import HOSTILE, RUN
from tests.suite import HEAD, TINY_CONFTEST, Suite, claim_test

CLAIMS = HEAD + "\n".join(
    claim_test(name, expect, f"evidence.value({value})", takes="tiny, evidence", of="tiny")
    for name, expect, value in [
        ("bias", "Value(above=0)", "tiny.module.bias.sum()"),
        ("outputs", "Value(above=0)", "tiny.module.bias.numel()"),
        ("negative", "Value(below=0)", "tiny.module.bias.sum()"),
    ]
)
OF_ANOTHER_SYSTEM = claim_test("other", "Value(above=0)", "evidence.value(1.0)", takes="evidence")


@pytest.fixture
def suite(pytester, monkeypatch):
    suite = Suite(pytester).claims(conftest=TINY_CONFTEST)
    (suite.path / "claims").mkdir()
    (suite.path / "claims" / "test_tiny.py").write_text(CLAIMS)
    (suite.path / "claims" / "test_other.py").write_text(HEAD + OF_ANOTHER_SYSTEM)
    monkeypatch.chdir(suite.path)
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:cacheprovider --no-claims-cache")
    return suite


@pytest.fixture
def in_this_process(suite, monkeypatch):
    """Runs of pytest are made in this process, which takes a tenth of the time."""

    def run(command, **_options):
        assert command[1:3] == ["-m", "pytest"]
        return subprocess.CompletedProcess(command, suite.pytester.runpytest_inprocess(*command[3:]).ret)

    monkeypatch.setattr("mechtests.monitor.verify.subprocess", SimpleNamespace(run=run))


@pytest.fixture
def command(capfd):
    def tell(*words):
        code = main(list(map(str, words)))
        said = capfd.readouterr()
        return code, said.out, said.err

    return tell


class TestCommand:
    def test_judges_writes_compares_and_tells_a_regression_by_1(self, suite, command):
        good, bad = suite.weights("good", bias=1.0), suite.weights("bad", bias=-1.0)
        code, out, error = command("verify", good)
        folder = suite.path / "reports" / "verify"
        assert code == 0, error
        assert "report: reports/verify/index.html" in out
        document = read_results(folder / "results.json")
        assert {claim["id"] for claim in document["claims"]} == {
            f"tiny/weights/{n}" for n in ("bias", "negative", "outputs")
        }
        assert sorted(path.name for path in folder.iterdir()) == [
            "badge.svg", "index.html", "junit.xml", "results.json", "summary.md",
        ]  # fmt: skip
        shutil.copy(folder / "results.json", suite.path / "baseline.json")

        code, out, error = command("verify", bad, "--baseline", "baseline.json", "-o", "deep/bad")
        assert code == 1, error
        assert "1 regression; 1 verdict better" in out
        assert re.search(r"regression +tiny/weights/bias +bad +✓ supported → ✗ refuted", out)
        failed = ET.parse("deep/bad/junit.xml").findall(".//testcase[failure]")
        assert [case.get("name").split(" on ")[0] for case in failed] == ["tiny/weights/bias"]
        assert "1 regression" in (suite.path / "deep/bad/summary.md").read_text()
        assert "2 of 3 supported, 1 lost" in (suite.path / "deep/bad/badge.svg").read_text()
        assert "tiny/weights/bias" in (suite.path / "deep/bad/changes.html").read_text()
        assert [sorted(past.checkpoints) for past in Ledger("reports/history.db").runs()] == [["bad"], ["good"]]

        code, out, _ = command("compare", "good", "bad")
        assert (code, "1 regression" in out) == (1, True)

    def test_compares_with_recorded_verdicts_of_the_checkpoint_that_is_named(self, suite, in_this_process, command):
        verdicts = {
            "tiny/weights/bias": {"good@111111111111": "supported", "another@999999999999": "refuted"},
            "tiny/weights/negative": {"good@111111111111": "refuted", "another@999999999999": "refuted"},
            "tiny/weights/outputs": {"good@111111111111": "supported"},
        }
        (suite.path / "record.json").write_text(json.dumps({"schema": "mechtests-baseline/1", "verdicts": verdicts}))
        bad, worse = suite.weights("bad", bias=-1.0), suite.weights("worse", bias=-2.0)
        words = ("--baseline", "record.json", "--against", "good", "--no-claims-history", "-k", "bias or negative")
        code, out, error = command("verify", bad, worse, *words)
        assert (code, "2 regressions; 2 verdicts better" in out) == (1, True), error
        assert "compared: bad with good, worse with good" in out
        assert not (suite.path / "reports" / "history.db").exists()
        code, _, error = command("compare", "record.json", "reports/verify/results.json")
        assert code == 2
        assert (
            "no checkpoint of reports/verify/results.json (bad, worse) has the weights or the name of one of" in error
        )

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (["none.safetensors"], "none.safetensors: no such checkpoint"),
            (["tiny=none.safetensors"], "tiny=none.safetensors: no such checkpoint"),
            (["conftest.py"], "not a complete safetensors file"),
            (["weights/good.safetensors", "--baseline", "none.json"], "none.json: no such file"),
            (["weights/good.safetensors", "--claims", "nowhere"], "nowhere: no such folder or file of claims"),
            (["weights/good.safetensors", "--against", "x"], "Add --baseline FILE"),
            (
                ["weights/good.safetensors", "--baseline", "some.json", "--against", "x"],
                "no verdict on x. It has: 3 checkpoints",
            ),
            (["weights/good.safetensors", "-o", "conftest.py/deep"], "Name a folder that can be written with -o"),
        ],
    )
    def test_says_what_is_wrong_before_it_judges(self, suite, command, words, said, monkeypatch):
        monkeypatch.setattr("subprocess.run", lambda *_, **__: pytest.fail("judged"))
        suite.weights("good")
        write_results(suite.path / "some.json", documents.of_every_verdict())
        code, out, error = command("verify", *words)
        assert (code, out, error.count("\n")) == (2, "", 1)
        assert said in error

    @pytest.mark.parametrize("system", ["../runs/evil", "..", "{path}/runs/evil", "-pevil"])
    @pytest.mark.parametrize("subcommand", ["verify", "watch"])
    def test_runs_no_code_that_a_header_names(self, suite, command, subcommand, system):
        evil = f"import pathlib\npathlib.Path({str(suite.path / 'proof')!r}).touch()"
        (suite.path / "runs" / "evil").mkdir(parents=True)
        for place in ("evil.py", "test_evil.py", "runs/evil/conftest.py", "runs/evil/test_evil.py"):
            (suite.path / place).write_text(evil)
        file = suite.path / "got" / "good.safetensors"
        save(file, torch.nn.Linear(2, 1), Provenance(system.format(path=suite.path), {"inputs": 2}))
        words = {"verify": ["verify", file], "watch": ["watch", file.parent, "--once"]}[subcommand]
        code, out, error = command(*words)
        assert (code, "its header names the system" in out + error) == (2 if subcommand == "verify" else 0, True)
        assert not (suite.path / "proof").exists()

    def test_runs_no_claims_from_outside_the_folder_of_claims(self, suite, command):
        suite.weights("good")
        (suite.path / "elsewhere").mkdir()
        (suite.path / "claims" / "tiny").symlink_to("../elsewhere")
        code, out, error = command("verify", "weights/good.safetensors")
        assert (code, out, error.count("\n")) == (2, "", 1)
        assert "claims/tiny: is outside claims, so its claims are not run" in error

    def test_says_where_no_claim_is_selected_or_the_system_is_unknown(self, suite, in_this_process, command):
        suite.weights("good")
        code, _, error = command("verify", "weights/good.safetensors", "-k", "nothing")
        assert code == 2
        assert "mechtests: no claim of tiny was selected" in error
        code, _, error = command("verify", "unknown=weights/good.safetensors")
        assert code == 2
        assert "no such system" in error
        assert "mechtests: pytest ended with code 4" in error

    def test_says_where_no_claim_could_be_judged(self, suite, in_this_process, command):
        suite.weights("good")
        (suite.path / "claims" / "test_tiny.py").write_text(CLAIMS.replace("evidence.value(", "evidence.nothing("))
        code, _, error = command("verify", "weights/good.safetensors")
        assert code == 2
        assert "no claim could be judged (AttributeError" in error.splitlines()[-1]


class TestJUnit:
    def test_counts_regressions_as_failures_and_other_verdicts_as_skipped(self):
        document = documents.of_every_verdict()
        suite = ET.fromstring(junit_xml(document, {("toy/weights/positive", "light-seed01@020013880000")})).find(
            "testsuite"
        )
        counts = {name: int(suite.get(name)) for name in ("tests", "failures", "skipped", "errors")}
        assert counts == {"tests": 9, "failures": 1, "skipped": 5, "errors": 0}
        assert [len(suite.findall(f".//{kind}")) for kind in ("testcase", "failure", "skipped")] == [9, 1, 5]

    def test_has_a_failure_for_what_is_not_judged_any_more(self):
        suite = ET.fromstring(junit_xml(results_document(RUN, []), {("toy/a/b", "x")})).find("testsuite")
        assert (suite.get("tests"), suite.get("failures")) == ("1", "1")
        assert suite.find(".//testcase").get("name") == "toy/a/b on x"

    def test_takes_text_of_any_kind(self):
        made = documents.hostile()
        made["claims"][0]["reason"] = "\x00\x1b]]>\ud800"
        cases = ET.fromstring(junit_xml(made, set())).findall(".//testcase")
        assert len(cases) == len(made["claims"])
        assert any(HOSTILE[0] in case.get("name") for case in cases)


class TestSummary:
    def test_counts_verdicts_by_mechanism(self):
        lines = summary_markdown(documents.of_every_verdict()).splitlines()
        assert lines[0] == "## Mechanistic claims"
        assert "| toy · weights | 1 | 1 | 0 | 1 | 0 |" in lines
        assert "| toy · habits | 1 | 1 | 1 | 0 | 1 |" in lines

    def test_of_nothing_says_so(self):
        assert "Nothing was judged." in summary_markdown(results_document(RUN, []))

    def test_shows_names_as_text(self):
        summary = summary_markdown(documents.hostile())
        assert not re.search(r"<[a-zA-Z/!]", summary)
        assert "://" not in summary


class TestBadge:
    def test_says_how_many_are_supported_and_lost(self):
        document = documents.of_every_verdict()
        assert "3 of 8 supported" in badge_of(document)
        before = json.loads(json.dumps(document))
        for claim in before["claims"]:
            if claim["verdict"] == "vacuous":
                claim["verdict"] = "supported"
        comparison = compare(side_of(before, "A"), side_of(document, "B"))
        assert "3 of 8 supported, 1 lost" in badge_of(document, comparison)
        assert "0 of 0 supported" in badge_of(results_document(RUN, []))

    @pytest.mark.parametrize("text", HOSTILE)
    def test_is_an_image_whatever_it_says(self, text):
        image = ET.fromstring(badge_svg(text, text, "good"))
        assert {element.tag.split("}")[1] for element in image.iter()} == {
            "svg",
            "title",
            "clipPath",
            "rect",
            "g",
            "text",
        }
        assert [element.text for element in image.iter("{http://www.w3.org/2000/svg}text")] == [text, text]

    def test_is_written_by_the_command(self, tmp_path, command):
        write_results(tmp_path / "results.json", documents.of_every_verdict())
        place = (tmp_path / "results.json", "-o", tmp_path / "deep" / "badge.svg")
        assert command("badge", *place, "--baseline", tmp_path / "results.json")[0] == 0
        assert ET.parse(tmp_path / "deep" / "badge.svg").getroot().get("aria-label") == "claims: 3 of 8 supported"
        assert command("badge", tmp_path / "none.json", "-o", tmp_path / "x.svg")[0] == 2
        code, _, error = command("badge", tmp_path / "results.json", "-o", tmp_path / "results.json" / "x.svg")
        assert (code, "Name a file that can be written" in error) == (2, True)
