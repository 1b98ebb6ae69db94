"""Text for Markdown: names and statements are shown as they are, and change nothing around them."""

import html
import re
from collections.abc import Iterable, Sequence

from mechtests.report.text import printable


def escaped(text: str) -> str:
    """``text`` on one line, without a character that means anything to GitHub's Markdown."""
    line = html.escape(" ".join(printable(text, replacement=" ").split()), quote=False)
    line = re.sub(r"([\\`*_\[\]|~$@])", lambda match: f"&#{ord(match[0])};", line)
    # Addresses would become links without being asked.
    return line.replace("://", "&#58;//").replace("www.", "www&#46;")


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table; its cells are text."""
    head = ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    return head + ["| " + " | ".join(escaped(cell) for cell in row) + " |" for row in rows]
