"""``mechtests audit``: the claims on models that never trained."""

import argparse

from mechtests.cli.error import CommandError
from mechtests.cli.pytest_config import Commands
from mechtests.monitor.audit import AuditError, audit_markdown, audited, judge_nulls

NULLS = 5


def add_audit(commands: Commands) -> None:
    parser = commands.add_parser(
        "audit",
        help="judge the claims on models that never trained",
        description="Judges every claim on never-trained models of each kind of checkpoint, where nothing is to be "
        "found, and prints how often one comes out supported. pytest takes more options from the variable "
        "PYTEST_ADDOPTS, such as -n auto.",
    )
    parser.add_argument("places", nargs="+", metavar="PATH", help="claims, as pytest takes them: claims/subtraction")
    parser.add_argument("--nulls", type=int, default=NULLS, metavar="N", help="models of each kind (%(default)s)")
    parser.add_argument(
        "--at-most", type=float, metavar="SHARE", help="exit with 1 where more than this share is supported"
    )
    parser.set_defaults(run=audit)


def audit(given: argparse.Namespace) -> int:
    if given.nulls < 1:
        raise CommandError(f"--nulls {given.nulls}: expected 1 model or more.")
    try:
        each = audited(judge_nulls(given.places, given.nulls))
    except AuditError as error:
        raise CommandError(str(error)) from error
    if not each:
        raise CommandError("no claim could be judged on a never-trained model: is there a checkpoint of each kind?")
    print(audit_markdown(each))
    share = each[-1].supported / each[-1].judged
    return int(given.at_most is not None and share > given.at_most)
