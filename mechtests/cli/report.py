"""``mechtests report``: the HTML report of results files."""

import argparse
from pathlib import Path

from mechtests.cli.error import CommandError
from mechtests.cli.pytest_config import Commands
from mechtests.report.html import write_html
from mechtests.results.document import read_results


def add_report(commands: Commands) -> None:
    """``mechtests report RESULTS.json… -o DIR``: the HTML report of one or several results files."""
    report = commands.add_parser("report", help="write the HTML report of results files")
    report.add_argument("results", nargs="+", type=Path, metavar="RESULTS.json", help="the results file of a run")
    report.add_argument(
        "-o", "--output", type=Path, default=Path(), metavar="DIR", help="where to write index.html (default: here)"
    )
    report.set_defaults(run=write_report)


def write_report(given: argparse.Namespace) -> None:
    page = given.output / "index.html"
    try:
        write_html(page, [read_results(path) for path in given.results])
    except OSError as error:
        raise CommandError(f"{page}: {error.strerror}. Name a folder that can be written to with -o.") from error
    print(page)
