"""``mechtests history``: the runs and verdicts in the ledger."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from mechtests.cli.error import CommandError
from mechtests.cli.pytest_config import Commands, config_of_runs
from mechtests.cli.table import print_table
from mechtests.pytest_plugin.plugin import history_place
from mechtests.report.terminal import SYMBOLS, estimate_text
from mechtests.results.baseline import place
from mechtests.results.ledger import Ledger, LedgerError, PastRun
from mechtests.results.record import Record, read_results

SHOWN = 30
DIGITS = 10
"""So many digits of a run's id are shown; the first of them name it."""


def add_history(commands: Commands) -> None:
    history = commands.add_parser(
        "history",
        help="tell the runs in the ledger, or the verdicts of a claim or a checkpoint",
        description="Without --claim and --checkpoint: the runs, the newest first. With one of them: verdicts.",
    )
    history.add_argument("--claim", metavar="GLOB", help="verdicts of these claims, as in 'subtraction/default-plus/*'")
    history.add_argument(
        "--checkpoint", metavar="NAME", help="verdicts on this checkpoint: a name, a glob, or digits of its sha256"
    )
    history.add_argument(
        "--limit", type=_positive, default=SHOWN, metavar="N", help="so many at most (default %(default)s)"
    )
    history.add_argument("--add", nargs="+", type=Path, default=[], metavar="RESULTS.json", help="add these runs first")
    add_place(history)
    history.set_defaults(run=tell_history)


def add_place(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--claims-history", metavar="URL", help="the ledger: a file or a URL (default: that of pytest's runs here)"
    )


def ledger_of(given: argparse.Namespace) -> Ledger:
    """The ledger that the user named, or that of pytest's runs here.

    Raises:
        CommandError: what is named cannot be one.
    """
    try:
        return Ledger(given.claims_history or history_place(config_of_runs("--claims-history")))
    except LedgerError as error:
        raise CommandError(str(error)) from error


def tell_history(given: argparse.Namespace) -> None:
    documents = [read_results(path) for path in given.add]
    ledger = ledger_of(given)
    try:
        for path, document in zip(given.add, documents, strict=True):
            print(f"{path}: {'added' if ledger.add(document) else 'was in the ledger already'}")
        if given.claim is None and given.checkpoint is None:
            _print_runs(ledger.runs(given.limit))
        else:
            _print_verdicts(ledger.verdicts(given.claim, given.checkpoint, limit=given.limit))
    except LedgerError as error:
        raise CommandError(str(error)) from error


def _print_runs(runs: Sequence[PastRun]) -> None:
    if not runs:
        print("no run is in the ledger yet")
        return
    rows = []
    for run in runs:
        counts = " ".join(f"{symbol} {run.verdicts[word]}" for word, symbol in SYMBOLS.items() if word in run.verdicts)
        judged = run.checkpoints if len(run.checkpoints) < 3 else (f"{len(run.checkpoints)} checkpoints",)
        when = f"{run.started:%Y-%m-%d %H:%M}"
        rows.append((when, run.id[:DIGITS], (run.commit or "–")[:DIGITS], ", ".join(judged) or "–", counts))
    print_table(("started (UTC)", "run", "commit", "judged", "verdicts"), rows)
    print(", ".join(f"{symbol} {word}" for word, symbol in SYMBOLS.items()))


def _print_verdicts(records: Sequence[Record]) -> None:
    if not records:
        print("no such verdict is in the ledger")
        return
    rows = []
    for record in records:
        checkpoint = record["checkpoint"]
        verdict = f"{SYMBOLS[record['verdict']]} {record['verdict']}"
        where = checkpoint["name"] if checkpoint else "–"
        when = f"{record['started']:%Y-%m-%d %H:%M}"
        rows.append((when, record["run"][:DIGITS], place(record)[0], where, verdict, estimate_text(record)))
    print_table(("started (UTC)", "run", "claim", "checkpoint", "verdict", "estimate"), rows)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 on, found {text!r}")
    return int(text)
