"""Tables and lines for the terminal."""

import shutil
import sys
from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mechtests.report.text import printable


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, title: str = "") -> None:
    """Print a table as wide as the terminal, or 120 columns wide elsewhere; empty columns are left out."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 120
    console = Console(width=width, highlight=False, no_color=not sys.stdout.isatty())
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=title or None, title_justify="left", title_style="bold")
    shown = list(rows)
    filled = [index for index in range(len(columns)) if any(row[index] for row in shown)]
    for index in filled:
        table.add_column(columns[index], overflow="fold")
    for row in shown:
        table.add_row(*(Text(printable(row[index])) for index in filled))
    console.print(table)
