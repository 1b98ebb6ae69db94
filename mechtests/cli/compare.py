"""``mechtests compare``: what changed between two runs or two checkpoints."""

import argparse
from functools import cache
from pathlib import Path

from mechtests.cli.error import CommandError
from mechtests.cli.history import add_place, ledger_of
from mechtests.cli.pytest_config import Commands
from mechtests.cli.table import print_table
from mechtests.files import write_text
from mechtests.report.comparison import COLUMNS, comparison_html, comparison_markdown, remarks, summary, tables
from mechtests.report.text import printable
from mechtests.results.comparison import Comparison, compare
from mechtests.results.ledger import LedgerError
from mechtests.results.side import ComparisonError, side_named


def add_compare(commands: Commands) -> None:
    parser = commands.add_parser(
        "compare",
        help="show what changed between two runs or two checkpoints",
        description="Exits with 1 if a claim was supported and is not now, otherwise with 0.",
    )
    parser.add_argument(
        "before",
        metavar="A",
        help="a results file, a baseline such as reports/baseline.json, or an entry of the ledger: the first "
        "digits of a run's id, a checkpoint's name, or the first digits of its sha256",
    )
    parser.add_argument("after", metavar="B", help="the later side, given in the same way")
    parser.add_argument(
        "--ignore-missing", action="store_true", help="do not count claims that B does not judge as regressions"
    )
    parser.add_argument("--markdown", action="store_true", help="print Markdown")
    parser.add_argument("--html", type=Path, metavar="FILE", help="also write a page")
    add_place(parser)
    parser.set_defaults(run=show_changes)


def show_changes(given: argparse.Namespace) -> int:
    ledger = cache(lambda: ledger_of(given))
    try:
        sides = [side_named(name, ledger) for name in (given.before, given.after)]
        comparison = compare(*sides, missing_counts=not given.ignore_missing)
    except (ComparisonError, LedgerError) as error:
        raise CommandError(str(error)) from error
    if given.html:
        try:
            write_text(given.html, comparison_html(comparison))
        except OSError as error:
            raise CommandError(f"{given.html}: {error.strerror}. Name a file that can be written.") from error
    if given.markdown:
        print(comparison_markdown(comparison), end="")
    else:
        print_comparison(comparison)
    return 1 if comparison.regressions else 0


def print_comparison(comparison: Comparison) -> None:
    """Print the changes as tables, and a sentence at the end."""
    for title, rows in tables(comparison):
        print_table(COLUMNS, rows, title=title)
    for line in (*remarks(comparison), f"{comparison.before} → {comparison.after}: {summary(comparison)}"):
        print(printable(line))
