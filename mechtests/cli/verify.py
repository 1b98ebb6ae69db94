"""``mechtests verify``: judge checkpoints, and check whether they lost a mechanism."""

import argparse
from functools import cache
from pathlib import Path

from mechtests.checkpoints import CheckpointError
from mechtests.cli.compare import print_comparison
from mechtests.cli.error import CommandError
from mechtests.cli.history import add_place, ledger_of
from mechtests.cli.pytest_config import Commands
from mechtests.monitor.verify import CHANGES, PAGE, RESULTS, Run, VerifyError, verify
from mechtests.results.ledger import LedgerError
from mechtests.results.side import ComparisonError, Side, side_named

FOLDER = Path("reports/verify")
WRONG = (CheckpointError, ComparisonError, LedgerError, VerifyError)
"""Errors that the user can correct, reported in one line."""


def add_verify(commands: Commands) -> None:
    parser = commands.add_parser(
        "verify",
        help="judge checkpoints, and check whether they lost a mechanism",
        description="Runs the claims of the checkpoints' system and writes a report. With --baseline, exits with 1 "
        "if a claim was supported and is not now. Pass further pytest options in the variable PYTEST_ADDOPTS.",
    )
    parser.add_argument(
        "checkpoints",
        nargs="+",
        metavar="CHECKPOINT",
        help="a .safetensors file with provenance, or KIND=PATH as pytest's --checkpoint takes it",
    )
    add_run(parser)
    parser.add_argument(
        "--against",
        metavar="NAME",
        help="compare with the baseline's checkpoint of this name or sha256, not its counterpart",
    )
    parser.add_argument(
        "-o", "--output", type=Path, default=FOLDER, metavar="DIR", help="where to write (default %(default)s)"
    )
    parser.set_defaults(run=verify_checkpoints)


def add_run(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that ``verify`` and ``watch`` share."""
    parser.add_argument(
        "--baseline",
        metavar="FILE",
        help="what to compare with: a results file, a baseline, or an entry of the ledger, as in compare",
    )
    parser.add_argument("-k", dest="select", metavar="EXPRESSION", help="select claims, as pytest does")
    parser.add_argument("--claims", type=Path, metavar="PATH", help="where the claims are (default: claims/SYSTEM)")
    add_place(parser)
    parser.add_argument("--no-claims-history", action="store_true", help="do not add the run to the ledger")


def run_of(given: argparse.Namespace) -> Run:
    history = ("--no-claims-history",) if given.no_claims_history else ()
    history += ("--claims-history", given.claims_history) if given.claims_history else ()
    if given.claims is not None and not given.claims.exists():
        raise CommandError(f"{given.claims}: no such folder or file of claims.")
    return Run(given.claims, given.select, history)


def baseline_of(given: argparse.Namespace) -> Side | None:
    return side_named(given.baseline, cache(lambda: ledger_of(given))) if given.baseline else None


def verify_checkpoints(given: argparse.Namespace) -> int:
    if given.against and not given.baseline:
        raise CommandError("--against names a checkpoint of the baseline. Add --baseline FILE.")
    try:
        # The baseline is read first, so that an error in it is found before the claims are judged.
        baseline = baseline_of(given)
        if baseline and given.against:
            baseline = baseline.on(given.against)
        verified = verify(given.checkpoints, given.output, run_of(given), baseline)
    except WRONG as error:
        raise CommandError(str(error)) from error
    except OSError as error:
        raise CommandError(f"{error.filename}: {error.strerror}. Name a folder that can be written with -o.") from error
    if verified.comparison:
        print_comparison(verified.comparison)
        print(f"changes: {given.output / CHANGES}")
    print(f"results: {given.output / RESULTS}")
    print(f"report: {given.output / PAGE}")
    return 1 if verified.regressed else 0
