"""``mechtests compare``: what changed between two runs or two checkpoints."""

import argparse
from functools import cache
from pathlib import Path

from mechtests.cli.error import CommandError
from mechtests.cli.history import add_place, ledger_of
from mechtests.cli.pytest_config import Commands
from mechtests.cli.table import harmless, print_table
from mechtests.report.comparison import COLUMNS, comparison_html, comparison_markdown, remarks, summary, tables
from mechtests.results.comparison import Comparison, compare
from mechtests.results.ledger import LedgerError
from mechtests.results.record import write_text
from mechtests.results.side import ComparisonError, side_named


def add_compare(commands: Commands) -> None:
    parser = commands.add_parser(
        "compare",
        help="tell what changed between two runs or two checkpoints",
        description="Exits with 1 where a claim was supported and is not now, with 0 where none was.",
    )
    parser.add_argument(
        "before",
        metavar="A",
        help="a results file, a record of verdicts such as reports/baseline.json, or what the ledger has: "
        "the first digits of a run, a checkpoint's name, or the first digits of its sha256",
    )
    parser.add_argument("after", metavar="B", help="the same, of later")
    parser.add_argument("--ignore-missing", action="store_true", help="a claim that B does not judge is no regression")
    parser.add_argument("--markdown", action="store_true", help="print Markdown")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page, too")
    add_place(parser)
    parser.set_defaults(run=tell_changes)


def tell_changes(given: argparse.Namespace) -> int:
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
        print(harmless(line))
