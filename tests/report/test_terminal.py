"""The table at the end of a run."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from mechtests import System, Verdict
from mechtests.checkpoints import Checkpoint, Provenance
from mechtests.judging.verdict import Support
from mechtests.report.terminal import print_claims
from mechtests.report.text import LABELS, NO_CONTROL, SYMBOLS
from tests.results.records import (
    CONTROL,
    FOUND,
    NOT_FOUND,
    UNANSWERED,
    judged,
    of_every_verdict,
    untested,
)


def printed(records, **changes):
    file = io.StringIO()
    print_claims(records, **{"file": file, "width": 160, "colour": False, "each": False, **changes})
    return file.getvalue()


class TestTerminal:
    @pytest.mark.parametrize("each", [False, True])
    @pytest.mark.parametrize("verdict", SYMBOLS)
    def test_tells_every_verdict_by_a_sign_and_a_word(self, verdict, each):
        if verdict == NO_CONTROL:
            record = judged("supported", support=Support.NO_CONTROL)
        else:
            record = untested() if verdict == "untested" else judged(verdict)
        assert f"{SYMBOLS[verdict]} {LABELS[verdict]}" in " ".join(printed([record], each=each).split())

    def test_has_a_sign_of_its_own_for_every_verdict(self):
        assert set(SYMBOLS) == {verdict.value for verdict in Verdict} | {NO_CONTROL}
        assert len(set(SYMBOLS.values())) == len(SYMBOLS)

    def test_is_plain_text_where_it_is_no_terminal(self):
        assert "\x1b" not in printed(of_every_verdict())
        assert "\x1b" in printed(of_every_verdict(), colour=True)

    @pytest.mark.parametrize("variable", ["FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE"])
    def test_is_plain_text_whatever_the_environment(self, variable, monkeypatch):
        monkeypatch.setenv(variable, "1")
        assert "\x1b" not in printed(of_every_verdict())

    @pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
    def test_can_be_written_where_not_every_sign_can(self, encoding):
        file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
        print_claims(of_every_verdict(), file, 120, colour=False, each=False)
        file.flush()
        text = file.buffer.getvalue().decode(encoding)
        assert all(verdict.value in text for verdict in Verdict)

    def test_shows_claims_regions_numbers_and_controls(self):
        text = printed([judged(name="special-sum", controls=(CONTROL,))])
        shown = ["toy", "weights", "special-sum", "≥ 0.9", "0.97", "0.93", "0.99", "256", "untrained"]
        assert all(word in text for word in shown)

    @pytest.mark.parametrize(
        ("search", "text"),
        [
            (FOUND, "simplest input on which it fails: a steep curve"),
            (UNANSWERED, "simplest input that the claim's body cannot answer: a steep curve (ValueError: no)"),
            (NOT_FOUND, "no counterexample: none of 99 inputs that were tried failed"),
        ],
        ids=["found", "unanswered", "not found"],
    )
    def test_tells_the_counterexample_in_a_row_for_each(self, search, text):
        records = [judged(search=search)]
        assert text in " ".join(printed(records, each=True, width=400).split())
        assert "counterexample" not in printed(records)
        assert "simplest" not in printed(records)

    def test_takes_words_in_brackets_for_words(self):
        assert "[red]L0H1" in printed([judged(params={"head": "[red]L0H1"})])

    def test_counts_the_verdicts(self):
        text = printed([judged(name="a"), judged(name="b"), judged("refuted", name="c"), untested()])
        assert "4 verdicts" in text
        assert all(count in text for count in ["2 supported", "1 refuted", "1 untested"])

    def test_shows_a_claim_once_over_its_checkpoints_or_once_for_each(self):
        made = Provenance("toy", {})
        systems = [
            System(torch.nn.Linear(2, 1), "toy", checkpoint=Checkpoint(Path(name), name, made))
            for name in ("seed0", "seed1")
        ]
        records = [
            judged(verdict, name="special-sum", system=system)
            for verdict, system in zip(["supported", "refuted"], systems, strict=True)
        ]
        together, apart = printed(records), printed(records, each=True)
        assert together.count("special-sum") == 1
        assert all(word in together for word in ["supported", "refuted"])
        assert apart.count("special-sum") == 2
        assert all(name in apart for name in ["seed0", "seed1"])

    @pytest.mark.parametrize("each", [False, True])
    @pytest.mark.parametrize("colour", [False, True])
    def test_shows_no_sequence_that_a_terminal_obeys(self, each, colour):
        escape = "\x1b]0;title\x07\x1b[2J"
        records = [
            judged(verdict, params={"head": escape}, controls=(replace(CONTROL, name=escape),), search=FOUND)
            for verdict in ("supported", "refuted")
        ]
        for record in records:
            record["mechanism"] = record["story"] = record["published"] = record["expect"]["region"] = escape
            record["checkpoint"] = {**record["checkpoint"], "name": escape}
            record["counterexample"] = {**record["counterexample"], "text": escape}
        text = printed(records, each=each, colour=colour)
        assert "\x1b]" not in text
        assert "\x1b[2J" not in text
        assert "\x07" not in text
        assert "\N{REPLACEMENT CHARACTER}" in text
