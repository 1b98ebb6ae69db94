"""What ``mechtests compare`` finds between two runs or two checkpoints, and what it calls a regression."""

import copy
import json
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mechtests.cli import main
from mechtests.report.comparison import comparison_html, comparison_markdown, summary
from mechtests.report.markdown import escaped
from mechtests.results.baseline import Baseline
from mechtests.results.comparison import compare
from mechtests.results.document import write_results
from mechtests.results.ledger import Ledger
from mechtests.results.side import Judged, Side, side_of
from tests import documents
from tests.documents import HOSTILE
from tests.results.ledger.writing import run


def judged(
    verdict="supported", estimate=1.0, interval=None, finding="toy/weights/sum", checkpoint="a", weights="1" * 12
):
    return Judged(finding, checkpoint, weights, verdict, (), estimate, interval, "> 0")


def compared(before, after, **options):
    return compare(Side("A", tuple(before)), Side("B", tuple(after)), **options)


def of(document, name, **changes):
    """The claim of a results file whose id ends so, changed; the file itself is left as it is."""
    changed = copy.deepcopy(document)
    for claim in changed["claims"]:
        if claim["id"].endswith(name) and claim["verdict"] == changes.get("was", claim["verdict"]):
            claim.update({key: value for key, value in changes.items() if key != "was"})
    return changed


class TestRegression:
    VERDICTS = ("supported", "inconclusive", "vacuous", "refuted", "untested", None)

    @pytest.mark.parametrize("before", VERDICTS)
    @pytest.mark.parametrize("after", VERDICTS)
    def test_is_a_claim_that_was_supported_and_is_not(self, before, after):
        other = judged(finding="toy/weights/other")
        sides = [[other, *([judged(verdict)] if verdict else [])] for verdict in (before, after)]
        (change,) = [one for one in compared(*sides).changes if one.finding != other.finding] or [None]
        if before is None and after is None:
            assert change is None
            return
        assert change.regression == (before == "supported" and after != "supported")
        assert not (change.worse and change.better)
        judged_both = {before, after}.isdisjoint({None, "untested"})
        assert (change.worse or change.better) == (judged_both and before != after)

    @pytest.mark.parametrize("after", ["untested", None])
    def test_is_no_missing_claim_where_those_are_to_be_ignored(self, after):
        other = judged(finding="toy/weights/other")
        now = [other, *([judged(after)] if after else [])]
        comparison = compared([other, judged()], now, missing_counts=False)
        assert comparison.regressions == []
        assert [change.finding for change in comparison.missing] == ["toy/weights/sum"]

    def test_tells_why_a_claim_could_not_be_tested(self):
        untested = Judged("toy/weights/sum", None, None, "untested", reason="RuntimeError: boom")
        (change,) = compared([judged()], [judged(finding="toy/weights/other"), untested]).regressions
        assert change.note == "not tested: RuntimeError: boom"


class TestMoved:
    @pytest.mark.parametrize(
        ("before", "after", "moved"),
        [
            ((0.5, (0.4, 0.6)), (0.59, (0.5, 0.7)), False),
            ((0.5, (0.4, 0.6)), (0.7, (0.61, 0.8)), True),
            ((0.5, (0.4, 0.6)), (0.3, (0.2, 0.39)), True),
            ((0.5, (0.4, 0.6)), (0.6, (0.6, 0.6)), False),
            ((0.5, (0.4, 0.6)), (0.55, None), False),
            ((0.5, (0.4, 0.6)), (0.65, None), True),
            ((0.5, None), (0.5 + 1e-9, None), False),
            ((0.5, None), (0.501, None), True),
            ((0.0, None), (0.0, None), False),
            ((-5.0, None), (5.0, None), True),
            ((None, None), (5.0, None), False),
        ],
    )
    def test_is_an_estimate_whose_interval_does_not_touch(self, before, after, moved):
        one, other = (judged("supported", *values) for values in (before, after))
        assert compared([one], [other]).changes[0].moved is moved
        assert compared([other], [one]).changes[0].moved is moved


FLOATS = st.floats(-1e6, 1e6)
VERDICTS = st.builds(
    judged,
    st.sampled_from(["supported", "refuted", "vacuous", "inconclusive", "untested"]),
    st.none() | FLOATS,
    st.none() | st.tuples(FLOATS, FLOATS).map(lambda ends: tuple(sorted(ends))),
    st.sampled_from([f"toy/weights/{name}" for name in "abcd"]),
    st.sampled_from(["one", "two"]),
    st.sampled_from(["1" * 12, "2" * 12]),
)
SIDES = st.lists(VERDICTS, min_size=1, max_size=12)


@given(SIDES)
def test_nothing_changes_against_oneself(verdicts):
    comparison = compared(verdicts, verdicts)
    assert (comparison.regressions, comparison.estimates, comparison.missing, comparison.new) == ([], [], [], [])
    assert (comparison.unmatched, comparison.left_out, comparison.renamed) == ((), (), ())


@given(SIDES, SIDES)
def test_what_got_better_got_worse_the_other_way_round(before, after):
    def on_one(verdicts):
        return [replace(one, checkpoint="one", weights="1" * 12) for one in verdicts]

    there, back = compared(on_one(before), on_one(after)), compared(on_one(after), on_one(before))
    for one, other in zip(there.changes, back.changes, strict=True):
        assert (one.finding, one.better, one.worse, one.moved) == (
            other.finding,
            other.worse,
            other.better,
            other.moved,
        )
        assert (one.new, one.missing) == (other.missing, other.new)


class TestPairs:
    def pairs(self, before, after):
        counterparts = {}
        for change in compared(before, after).changes:
            counterparts[change.after.checkpoint, change.after.weights] = (
                change.before.checkpoint,
                change.before.weights,
            )
        return counterparts

    def on(self, *places):
        return [judged(checkpoint=name, weights=weights) for name, weights in places]

    def test_are_of_the_same_weights_before_the_same_name(self):
        before = self.on(("a", "1"), ("b", "2"))
        assert self.pairs(before, self.on(("b", "1"))) == {("b", "1"): ("a", "1")}
        assert self.pairs(before, self.on(("b", "3"))) == {("b", "3"): ("b", "2")}

    def test_are_of_the_only_checkpoint_before_where_there_is_no_other(self):
        after = self.on(("new", "8"), ("newer", "9"))
        assert set(self.pairs(self.on(("a", "1")), after).values()) == {("a", "1")}

    def test_are_of_one_system(self):
        other = judged(finding="other/weights/sum", checkpoint="a", weights="7")
        comparison = compared([*self.on(("a", "1")), other], self.on(("a", "2")))
        assert [change.finding for change in comparison.changes] == ["toy/weights/sum"]
        assert comparison.left_out == ("a",)

    def test_tell_what_they_leave_out(self):
        comparison = compared(self.on(("a", "1"), ("b", "2")), self.on(("a", "1"), ("c", "3")))
        assert (comparison.unmatched, comparison.left_out) == (("c",), ("b",))

    def test_of_checkpoints_together_are_of_the_same_ones(self):
        def together(weights, *members):
            return Judged("toy/weights/sum", f"{len(members)} checkpoints", weights, "supported", members)

        assert self.pairs([together("1", "a", "b")], [together("2", "a", "b")])
        for after in (together("2", "a", "c"), together("2", "a", "b", "c")):
            with pytest.raises(Exception, match="nothing to compare"):
                compared([together("1", "a", "b")], [after])

    def test_that_do_not_exist_are_reported(self):
        with pytest.raises(Exception, match=r"nothing to compare: no checkpoint of B \(c\) .* of one of A \(a, b\)"):
            compared(self.on(("a", "1"), ("b", "2")), self.on(("c", "3")))
        with pytest.raises(Exception, match="nothing to compare"):
            compared([], [])


class TestShown:
    @pytest.fixture
    def comparison(self):
        before = documents.of_every_verdict()
        after = of(before, "positive", was="supported", verdict="refuted", estimate=-1.0)
        after = of(after, "often", was="refuted", verdict="supported", estimate=0.8, interval=[0.7, 0.9])
        after = of(after, "emergence", expect={"kind": "monotone", "region": "≥ 2"}, verdict="vacuous")
        return compare(side_of(before, "yesterday"), side_of(after, "today"))

    def test_in_a_sentence(self, comparison):
        assert summary(comparison) == (
            "2 regressions; 1 verdict better; 2 estimates moved by more than the intervals allow; 5 verdicts as before"
        )

    def test_in_markdown(self, comparison):
        lines = comparison_markdown(comparison).splitlines()
        assert lines[0] == "### yesterday → today"
        assert lines[2] == f"{summary(comparison)}."  # which begins with a number
        (line,) = [line for line in lines if line.startswith("| regression | toy/weights/positive | light-seed00 |")]
        assert "✓ supported → ✗ refuted" in line
        assert "1.5 → -1" in line
        assert any("the region was" in line and "and is ≥ 2" in line for line in lines)

    def test_on_a_page_that_runs_nothing(self, comparison):
        page = comparison_html(comparison)
        assert "default-src 'none'" in page
        assert "<script" not in page
        for text in ("2 regressions", "toy/weights/positive", "✓ supported → ✗ refuted", "light-seed00"):
            assert text in page

    def test_with_hostile_names_as_text(self):
        before = documents.hostile()
        for index, claim in enumerate(before["claims"]):
            claim["params"] = {"head|`\n|": f"{HOSTILE[index % len(HOSTILE)]}|\n| --- |"}
            claim["verdict"] = "supported"
        after = copy.deepcopy(before)
        for claim in after["claims"]:
            claim["verdict"] = "refuted"
        comparison = compare(side_of(before, "|a\n<b>"), side_of(after, "[x](https://example.org)"))
        assert len(comparison.regressions) == len(before["claims"])
        markdown = comparison_markdown(comparison)
        assert not re.search(r"<[a-zA-Z/!]", markdown)
        assert "](" not in markdown
        assert "://" not in markdown
        rows = [line for line in markdown.splitlines() if line.startswith("| regression")]
        assert len(rows) == len(before["claims"])
        assert {line.count("|") for line in rows} == {7}
        page = comparison_html(comparison)
        assert "<script" not in page
        assert "<img" not in page
        assert "<b>" not in page


@pytest.mark.parametrize(
    "text", [*HOSTILE, "a|b", "a\nb", "`code`", "*b*", "_b_", "\\", "\x1b[2J", "# a", "www.example.org"]
)
def test_text_in_markdown_has_no_sign_of_its_own(text):
    assert not re.search(r"[|`*_<>\\\[\]\n\x1b]|://|www\.", escaped(text))


class TestCommand:
    @pytest.fixture(autouse=True)
    def here(self, tmp_path, monkeypatch):
        (tmp_path / "pytest.ini").write_text("[pytest]\n")
        monkeypatch.chdir(tmp_path)
        before = documents.of_every_verdict()
        write_results(tmp_path / "before.json", before)
        write_results(tmp_path / "worse.json", of(before, "positive", was="supported", verdict="vacuous"))
        write_results(tmp_path / "fewer.json", {**before, "claims": before["claims"][:3]})
        return tmp_path

    @pytest.fixture
    def command(self, capsys):
        def tell(*words):
            code = main(["compare", *map(str, words)])
            said = capsys.readouterr()
            return code, said.out, said.err

        return tell

    def test_exits_with_1_on_a_regression_and_with_0_otherwise(self, command):
        code, out, _ = command("before.json", "worse.json")
        assert code == 1
        assert "1 regression" in out
        assert re.search(r"regression +toy/weights/positive +light-seed00 +✓ supported → ○", out)
        code, out, _ = command("worse.json", "before.json")
        assert code == 0
        assert "no regression; 1 verdict better" in out
        assert command("before.json", "before.json")[0] == 0

    def test_counts_claims_that_are_not_judged_any_more_unless_told_otherwise(self, command):
        code, out, _ = command("before.json", "fewer.json")
        assert code == 1
        assert "not judged any more" in " ".join(out.split())
        code, out, _ = command("before.json", "fewer.json", "--ignore-missing")
        assert code == 0

    def test_prints_markdown_and_writes_a_page(self, command, here):
        code, out, _ = command("before.json", "worse.json", "--markdown", "--html", "deep/page.html")
        assert code == 1
        assert out.startswith("### before.json → worse.json\n")
        assert "toy/weights/positive" in (here / "deep" / "page.html").read_text()

    def test_takes_a_record_of_verdicts(self, command, here):
        baseline = Baseline(here / "baseline.json")
        for claim in documents.of_every_verdict()["claims"]:
            baseline.update(claim)
        baseline.write()
        assert command("baseline.json", "before.json")[0] == 0
        code, out, _ = command("baseline.json", "worse.json")
        assert (code, "1 regression" in out) == (1, True)

    def test_takes_runs_and_checkpoints_of_the_ledger(self, command, here):
        ledger = Ledger(here / "reports" / "history.db")
        ledger.add(run(0))
        ledger.add(of(run(1, "2025-03-02T12:00:00+00:00"), "positive", was="supported", verdict="refuted"))
        assert command("run-0", "run-1")[0] == 1
        assert command("run-1", "run-0")[0] == 0
        code, out, _ = command("light-seed00", "light-seed01")  # the newest verdicts of both: refuted, refuted
        assert code == 0
        assert "light-seed00 → light-seed01" in out
        assert command("before.json", "01001388")[0] == 1
        assert "several runs in the ledger begin so" in command("run-", "run-0")[2]

    def test_says_where_a_name_means_several_weights(self, command, here):
        ledger = Ledger(here / "reports" / "history.db")
        ledger.add(run(0))
        other = run(1)
        for claim in other["claims"]:
            if claim["checkpoint"] and claim["checkpoint"]["name"] == "light-seed00":
                claim["checkpoint"]["sha256"] = "9" * 64
        ledger.add(other)
        code, _, error = command("light-seed00", "before.json")
        assert code == 2
        assert "several weights" in error
        assert "999999999999" in error

    @pytest.mark.parametrize(
        ("before", "said"),
        [
            ("none.json", "none.json: no such file"),
            ("deep/none", "deep/none: no such file"),
            ("deep", "no ledger here yet"),
            ("empty.json", "not a results file"),
            ("other.json", "not of the form mechtests/2"),
            ("record.json", "not a record of verdicts"),
            ("nothing.json", "nothing to compare"),
        ],
    )
    def test_says_what_is_wrong_in_one_line_with_2(self, before, said, command, here):
        (here / "empty.json").write_text("")
        (here / "other.json").write_text(json.dumps({"schema": "mechtests/7", "claims": []}))
        (here / "record.json").write_text(
            json.dumps({"schema": "mechtests-baseline/1", "verdicts": {"a": {"b": "true"}}})
        )
        write_results(here / "nothing.json", {**documents.of_every_verdict(), "claims": []})
        for words in ((before, "before.json"), ("before.json", before)):
            code, out, error = command(*words)
            assert (code, out, error.count("\n")) == (2, "", 1)
            assert error.startswith("mechtests: ")
            assert said in error

    def test_says_what_the_ledger_does_not_have(self, command, here):
        Ledger(here / "reports" / "history.db").add(run(0))
        code, _, error = command("nowhere", "before.json")
        assert code == 2
        assert "no such run or checkpoint in the ledger" in error

    def test_says_where_it_cannot_write(self, command):
        code, _, error = command("before.json", "worse.json", "--html", "before.json/page.html")
        assert code == 2
        assert "Name a file that can be written" in error
