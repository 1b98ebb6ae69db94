"""Runs that add to a ledger, what ``mechtests history`` tells of it, and what a report shows."""

import json

import pytest

from mechtests.cli import main
from mechtests.report.html import report_html
from mechtests.results.document import write_results
from mechtests.results.ledger import Ledger
from tests import documents
from tests.documents import HOSTILE
from tests.results.ledger.writing import run
from tests.suite import REFUTED, SUPPORTED, Suite, printed


@pytest.fixture
def suite(pytester):
    return Suite(pytester).claims(SUPPORTED, REFUTED)


@pytest.fixture
def told(capsys):
    def tell(*words):
        code = main(["history", *map(str, words)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return tell


class TestRuns:
    def test_are_added_each_once(self, suite):
        suite.run()
        suite.run("--claims-seed=1")
        runs = Ledger(suite.path / "reports" / "history.db").runs()
        assert [past.verdicts for past in runs] == [{"supported": 1, "refuted": 1}] * 2
        assert runs[0].id == suite.document()["run"]["id"]

    def test_can_be_added_elsewhere_or_nowhere(self, suite):
        suite.run("--no-claims-history")
        assert not (suite.path / "reports" / "history.db").exists()
        suite.run("--claims-history=deep/mine.db")
        assert len(Ledger(suite.path / "deep" / "mine.db").runs()) == 1

    def test_by_several_workers_are_one_run(self, suite):
        suite.run("-n2")
        assert len(Ledger(suite.path / "reports" / "history.db").runs()) == 1

    def test_that_cannot_be_added_lose_nothing_and_say_so(self, suite):
        (suite.path / "file").write_text("")
        result = suite.run("--claims-history=file/history.db")
        result.stdout.fnmatch_lines(
            ["warning: the run is not in the ledger: *file/history.db*mechtests history --add*"]
        )
        assert result.ret == 1  # as without a ledger: one claim is refuted
        assert len(suite.document()["claims"]) == 2
        assert "toy/weights/positive" in (suite.path / "reports" / "latest" / "index.html").read_text()

    def test_do_not_tell_passwords(self, suite):
        assert "secret" not in printed(suite.run("--claims-history=postgresql://me:secret@127.0.0.1:1/none"))

    def test_show_their_history_once_there_are_several(self, suite):
        page = suite.path / "reports" / "latest" / "index.html"
        suite.run()
        assert 'id="history"' not in page.read_text()
        suite.run()
        assert 'id="history"' in page.read_text()


class TestCommand:
    @pytest.fixture
    def ledger(self, tmp_path):
        ledger = Ledger(tmp_path / "history.db")
        ledger.add(run(0))
        ledger.add(run(1, "2025-03-02T12:00:00+00:00", commit=None))
        return ledger

    def test_tells_the_runs(self, ledger, told):
        code, out, _ = told("--claims-history", ledger)
        lines = [line for line in out.splitlines() if line.strip().startswith("2025")]
        assert code == 0
        assert [line.split()[2:4] for line in lines] == [["run-1", "–"], ["run-0", "c0ffeec0ff"]]
        assert all("4 checkpoints" in line and "✓ 3" in line and "✗ 3" in line for line in lines)

    def test_tells_verdicts_of_a_claim_or_a_checkpoint(self, ledger, told):
        _, out, _ = told("--claims-history", ledger, "--claim", "*/positive", "--checkpoint", "light-seed00")
        lines = [line.split() for line in out.splitlines() if "2025" in line]
        assert [line[2:] for line in lines] == [
            [f"run-{number}", "toy/weights/positive", "light-seed00", "✓", "supported", "1.5"] for number in (1, 0)
        ]

    def test_tells_so_many_at_most(self, ledger, told):
        assert told("--claims-history", ledger, "--limit", 1)[1].count("2025") == 1
        assert told("--claims-history", ledger, "--claim", "*", "--limit", 3)[1].count("2025") == 3

    @pytest.mark.parametrize("limit", ["0", "-1", "many", "1.5"])
    def test_takes_no_other_limit(self, limit, told, capsys):
        with pytest.raises(SystemExit):
            told("--limit", limit)
        assert "expected an integer, 1 or more" in capsys.readouterr().err

    def test_says_where_nothing_is_found(self, ledger, told):
        assert told("--claims-history", ledger, "--claim", "none/*")[:2] == (0, "the ledger has no such verdict\n")

    def test_says_where_there_is_no_ledger(self, tmp_path, monkeypatch, told):
        (tmp_path / "pytest.ini").write_text("[pytest]\n")
        monkeypatch.chdir(tmp_path)
        code, _, error = told()
        assert code == 2
        assert f"{tmp_path}/reports/history.db: no ledger here yet" in error
        assert error.count("\n") == 1

    def test_adds_a_run_that_could_not_be_added(self, ledger, tmp_path, told):
        write_results(tmp_path / "results.json", run(2, "2025-03-03T12:00:00+00:00"))
        place = ("--claims-history", ledger, "--add", tmp_path / "results.json")
        assert "results.json: added" in told(*place)[1]
        assert "results.json: already in the ledger" in told(*place)[1]
        assert len(ledger.runs()) == 3

    def test_adds_no_file_that_is_no_results_file(self, ledger, tmp_path, told):
        (tmp_path / "results.json").write_text("{}")
        code, _, error = told("--claims-history", ledger, "--add", tmp_path / "results.json")
        assert (code, len(ledger.runs())) == (2, 2)
        assert "not of the form mechtests/2" in error

    def test_shows_no_sign_that_a_terminal_obeys(self, tmp_path, told):
        made = documents.hostile()
        made["run"]["commit"] = "\x1b[2J"
        for claim in made["claims"]:
            if claim["checkpoint"]:
                claim["checkpoint"]["name"] = "\x1b]0;run\x07[red]x[/red]\nnext"
        ledger = Ledger(tmp_path / "history.db")
        ledger.add(json.loads(json.dumps(made)))
        for words in ((), ("--claim", "*")):
            out = told("--claims-history", ledger, *words)[1]
            assert "\x1b" not in out
            assert "\x07" not in out
        assert "[red]x[/red]" in out.replace("\n", "").replace(" ", "")


class TestReport:
    def history(self, tmp_path, before, after):
        """The report's history of two runs."""
        ledger = Ledger(tmp_path / "history.db")
        ledger.add(before)
        ledger.add(after)
        page = report_html([after], ledger.timeline(["toy"], 20))
        return page.split('id="history"')[1].split("</section>")[0]

    def test_shows_the_findings_whose_verdicts_changed(self, tmp_path):
        after = run(1, "2025-03-02T12:00:00+00:00")
        (claim,) = [claim for claim in after["claims"] if claim["id"].endswith("emergence")]
        claim["verdict"] = "refuted"
        shown = self.history(tmp_path, run(0), after)
        assert shown.count("<tr>") == 2  # the head, and the claim that changed
        assert 'aria-label="supported"' in shown
        assert 'aria-label="refuted"' in shown
        assert "3 findings have the same verdicts in every run that judged them" in shown

    def test_shows_names_as_text(self, tmp_path):
        runs = [run(number, f"2025-03-0{number + 1}T12:00:00+00:00", commit=HOSTILE[1]) for number in range(2)]
        for made, verdict in zip(runs, ("supported", "refuted"), strict=True):
            made["claims"] = [{**made["claims"][1], "params": {"head": HOSTILE[0]}, "verdict": verdict}]
            made["claims"][0]["checkpoint"] = {**documents.checkpoint(), "name": HOSTILE[2]}
        shown = self.history(tmp_path, *runs)
        assert "&lt;/script&gt;" in shown
        assert "<script" not in shown
        assert "<img" not in shown
        assert "<svg" not in shown
