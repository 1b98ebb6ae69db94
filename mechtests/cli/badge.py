"""``mechtests badge``: the badge of a results file."""

import argparse
from functools import cache
from pathlib import Path

from mechtests.cli.error import CommandError
from mechtests.cli.history import add_place, ledger_of
from mechtests.cli.pytest_config import Commands
from mechtests.files import write_text
from mechtests.monitor.verify import badge_of
from mechtests.results.comparison import compare
from mechtests.results.document import read_results
from mechtests.results.ledger import LedgerError
from mechtests.results.side import ComparisonError, side_named, side_of


def add_badge(commands: Commands) -> None:
    parser = commands.add_parser("badge", help="write a status badge (SVG) of a results file")
    parser.add_argument("results", type=Path, metavar="RESULTS.json", help="the results file of a run")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="where to write the image")
    parser.add_argument("--baseline", metavar="FILE", help="also show how many were lost since this baseline")
    add_place(parser)
    parser.set_defaults(run=write_badge)


def write_badge(given: argparse.Namespace) -> None:
    document = read_results(given.results)
    try:
        ledger = cache(lambda: ledger_of(given))
        side = side_named(given.baseline, ledger) if given.baseline else None
        comparison = compare(side, side_of(document, str(given.results))) if side else None
        write_text(given.output, badge_of(document, comparison))
    except (ComparisonError, LedgerError) as error:
        raise CommandError(str(error)) from error
    except OSError as error:
        raise CommandError(f"{given.output}: {error.strerror}. Name a file that can be written with -o.") from error
    print(given.output)
