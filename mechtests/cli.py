"""The command line: ``mechtests SUBCOMMAND``. Each subcommand is a function here that adds its parser."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mechtests.report import ResultsError, read_results, write_html

Commands = Any
"""What :func:`argparse.ArgumentParser.add_subparsers` returns: ``commands.add_parser(name, help=…)`` adds one."""


class CommandError(Exception):
    """What the user asked for cannot be done: what was expected, what was found, what to do."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0, or 2 after an error, told in one line."""
    parser = argparse.ArgumentParser(prog="mechtests", description="Mechanistic claims about models, put to the test.")
    commands = parser.add_subparsers(required=True, metavar="SUBCOMMAND")
    for add in SUBCOMMANDS:
        add(commands)
    given = parser.parse_args(arguments)
    try:
        given.run(given)
    except (CommandError, ResultsError) as error:
        print(f"mechtests: {error}", file=sys.stderr)
        return 2
    return 0


def add_report(commands: Commands) -> None:
    """``mechtests report RESULTS.json… -o DIR``: the page of one or several results files."""
    report = commands.add_parser("report", help="write the page to read of results files")
    report.add_argument("results", nargs="+", type=Path, metavar="RESULTS.json", help="a file that a run wrote")
    report.add_argument(
        "-o", "--output", type=Path, default=Path(), metavar="DIR", help="where index.html goes (default: here)"
    )
    report.set_defaults(run=write_report)


def write_report(given: argparse.Namespace) -> None:
    page = given.output / "index.html"
    try:
        write_html(page, [read_results(path) for path in given.results])
    except OSError as error:
        raise CommandError(f"{page}: {error.strerror}. Name a folder that can be written to with -o.") from error
    print(page)


SUBCOMMANDS: list[Callable[[Commands], None]] = [add_report]
