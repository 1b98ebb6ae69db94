"""Records in words."""

import pytest

from mechtests.report.text import extent_text, printable
from tests.results.records import FOUND, NOT_FOUND, UNANSWERED, judged, untested


class TestExtent:
    def test_is_told_parameter_by_parameter(self):
        assert extent_text(judged(search=FOUND)) == (
            "it fails there by 0.25, and with steepness from 4.21 to 5, with n at 3 alone"
        )

    def test_has_no_margin_where_there_is_none(self):
        assert extent_text(judged(search=UNANSWERED)).startswith("it fails there, and with steepness")

    def test_is_not_told_where_there_is_no_counterexample(self):
        assert extent_text(judged(search=NOT_FOUND)) is None
        assert extent_text(untested()) is None


class TestPrintable:
    @pytest.mark.parametrize("text", ["\x1b[2J", "a\rb", "\x9b31m", "a\u202eb", "a\nb", "\x00"])
    def test_has_no_character_that_a_terminal_obeys(self, text):
        assert printable(text).isprintable()
        assert len(printable(text)) == len(text)

    @pytest.mark.parametrize("text", ["", "induction/heads/L2H7", "≥ 0.9 “é” 数"])
    def test_leaves_other_text_as_it_is(self, text):
        assert printable(text) == text

    def test_keeps_what_it_is_told_to_keep(self):
        assert printable("a\nb\x1b", keep="\n", replacement="") == "a\nb"
