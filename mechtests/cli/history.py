"""``mechtests history``: the runs and verdicts in the ledger."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from mechtests.cli.error import CommandError
from mechtests.cli.pytest_config import Commands, default_paths
from mechtests.cli.table import print_table
from mechtests.report.text import SYMBOLS, checkpoint_text, estimate_text, verdict_text
from mechtests.results.document import read_results
from mechtests.results.ledger import Ledger, LedgerError, PastRun, PastVerdict
from mechtests.results.record import finding_name

SHOWN = 30
DIGITS = 10
"""Digits of a run's id that are shown; the first few identify it."""


def add_history(commands: Commands) -> None:
    history = commands.add_parser(
        "history",
        help="list the runs in the ledger, or the verdicts of a claim or a checkpoint",
        description="Lists runs, the newest first; with --claim or --checkpoint, verdicts.",
    )
    history.add_argument("--claim", metavar="GLOB", help="verdicts of these claims, as in 'subtraction/default-plus/*'")
    history.add_argument(
        "--checkpoint", metavar="NAME", help="verdicts on this checkpoint: a name, a glob, or digits of its sha256"
    )
    history.add_argument(
        "--limit", type=_positive, default=SHOWN, metavar="N", help="list at most N (default %(default)s)"
    )
    history.add_argument("--add", nargs="+", type=Path, default=[], metavar="RESULTS.json", help="add these runs first")
    add_place(history)
    history.set_defaults(run=show_history)


def add_place(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--claims-history", metavar="URL", help="the ledger: a file or a URL (default: that of pytest's runs here)"
    )


def ledger_of(given: argparse.Namespace) -> Ledger:
    """The ledger that the user named, or that of pytest's runs here.

    Raises:
        CommandError: the name is not that of a ledger.
    """
    try:
        return Ledger(given.claims_history or default_paths("--claims-history").history)
    except LedgerError as error:
        raise CommandError(str(error)) from error


def show_history(given: argparse.Namespace) -> None:
    documents = [read_results(path) for path in given.add]
    ledger = ledger_of(given)
    try:
        for path, document in zip(given.add, documents, strict=True):
            print(f"{path}: {'added' if ledger.add(document) else 'already in the ledger'}")
        if given.claim is None and given.checkpoint is None:
            _print_runs(ledger.runs(given.limit))
        else:
            _print_verdicts(ledger.verdicts(given.claim, given.checkpoint, limit=given.limit))
    except LedgerError as error:
        raise CommandError(str(error)) from error


def _print_runs(runs: Sequence[PastRun]) -> None:
    if not runs:
        print("the ledger has no runs yet")
        return
    rows = []
    for run in runs:
        counts = " ".join(f"{SYMBOLS[name]} {run.verdicts[name]}" for name in SYMBOLS if name in run.verdicts)
        judged = run.checkpoints if len(run.checkpoints) < 3 else (f"{len(run.checkpoints)} checkpoints",)
        when = f"{run.started:%Y-%m-%d %H:%M}"
        rows.append((when, run.id[:DIGITS], (run.commit or "–")[:DIGITS], ", ".join(judged) or "–", counts))
    print_table(("started (UTC)", "run", "commit", "judged", "verdicts"), rows)
    print(", ".join(map(verdict_text, SYMBOLS)))


def _print_verdicts(records: Sequence[PastVerdict]) -> None:
    if not records:
        print("the ledger has no such verdict")
        return
    rows = []
    for record in records:
        when, run = f"{record['started']:%Y-%m-%d %H:%M}", record["run"][:DIGITS]
        estimate = estimate_text(record["estimate"], record["interval"])
        checkpoint = checkpoint_text(record) or "–"
        rows.append((when, run, finding_name(record), checkpoint, verdict_text(record["verdict"]), estimate))
    print_table(("started (UTC)", "run", "claim", "checkpoint", "verdict", "estimate"), rows)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"expected an integer, 1 or more, found {text!r}")
    return int(text)
