"""Text for Markdown: what names and statements hold is shown, and changes nothing around it."""

import html
import re
from collections.abc import Iterable, Sequence


def escaped(text: str) -> str:
    """``text``, to stand within a line, where no sign of it means anything to GitHub's Markdown."""
    line = html.escape(" ".join("".join(sign if sign.isprintable() else " " for sign in text).split()), quote=False)
    line = re.sub(r"([\\`*_\[\]|~$@])", lambda sign: f"&#{ord(sign[0])};", line)
    # Addresses would become links without being asked.
    return line.replace("://", "&#58;//").replace("www.", "www&#46;")


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table; its cells are text."""
    told = ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    return told + ["| " + " | ".join(escaped(cell) for cell in row) + " |" for row in rows]
