"""Records in words."""

from mechtests.report.text import extent_text
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
