"""Two runs, or two checkpoints, side by side: what changed verdict, and which estimates moved."""

from mechtests.comparison.compare import Change, Comparison, ComparisonError, compare
from mechtests.comparison.show import comparison_html, comparison_markdown, summary
from mechtests.comparison.side import Judged, Side, side_named, side_of

__all__ = [
    "Change",
    "Comparison",
    "ComparisonError",
    "Judged",
    "Side",
    "compare",
    "comparison_html",
    "comparison_markdown",
    "side_named",
    "side_of",
    "summary",
]
