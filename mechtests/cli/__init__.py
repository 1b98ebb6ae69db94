"""The command line: ``mechtests SUBCOMMAND``. Each module here adds the parser of one subcommand."""

import argparse
import sys
from collections.abc import Callable, Sequence

from mechtests.cache import CacheError
from mechtests.checkpoints import CheckpointError
from mechtests.cli.audit import add_audit
from mechtests.cli.badge import add_badge
from mechtests.cli.cache import add_cache
from mechtests.cli.card import add_card
from mechtests.cli.compare import add_compare
from mechtests.cli.error import CommandError
from mechtests.cli.history import add_history
from mechtests.cli.published import add_fetch, add_import
from mechtests.cli.pytest_config import Commands
from mechtests.cli.register import add_register
from mechtests.cli.report import add_report
from mechtests.cli.verify import add_verify
from mechtests.cli.watch import add_watch
from mechtests.report.text import printable
from mechtests.results.document import ResultsError

SUBCOMMANDS: list[Callable[[Commands], None]] = [
    add_cache,
    add_report,
    add_history,
    add_compare,
    add_verify,
    add_audit,
    add_watch,
    add_register,
    add_badge,
    add_card,
    add_import,
    add_fetch,
]


def parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    whole = argparse.ArgumentParser(prog="mechtests", description="Mechanistic claims about models as tests.")
    commands = whole.add_subparsers(required=True, metavar="SUBCOMMAND")
    for add in SUBCOMMANDS:
        add(commands)
    return whole


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line, and return 0, 1 after a regression, or 2 after an error, which is printed on one line."""
    given = parser().parse_args(arguments)
    try:
        code: int | None = given.run(given)
    except (CommandError, CacheError, CheckpointError, ResultsError) as error:
        print(printable(f"mechtests: {error}"), file=sys.stderr)
        return 2
    return code or 0
