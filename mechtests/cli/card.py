"""``mechtests card``: the verdicts on a checkpoint in its model card."""

import argparse
import os
from pathlib import Path

from mechtests.cli.error import CommandError
from mechtests.cli.pytest_config import Commands
from mechtests.report.card import CardError, card_claims, updated_card
from mechtests.results.record import read_results


def add_card(commands: Commands) -> None:
    parser = commands.add_parser(
        "card",
        help="write the verdicts on a checkpoint into its model card",
        description="Updates the model-index of a README's front matter, and a section between two markers.",
    )
    parser.add_argument("results", type=Path, metavar="RESULTS.json", help="a file that a run wrote")
    parser.add_argument("card", type=Path, metavar="README.md", help="the model card; it is made where there is none")
    parser.add_argument("--checkpoint", metavar="NAME", help="which one, by name or sha256, where several were judged")
    parser.set_defaults(run=write_card)


def write_card(given: argparse.Namespace) -> None:
    document = read_results(given.results)
    try:
        claims = card_claims(document, given.checkpoint)
    except CardError as error:
        raise CommandError(f"{given.results}: {error}") from error
    try:
        before = given.card.read_bytes().decode("utf-8") if given.card.exists() else ""
        after = updated_card(before, document, claims)
        given.card.parent.mkdir(parents=True, exist_ok=True)
        unfinished = given.card.with_name(f".{given.card.name}.{os.getpid()}.tmp")
        unfinished.write_bytes(after.encode("utf-8"))
        unfinished.replace(given.card)
    except CardError as error:
        raise CommandError(f"{given.card}: {error}") from error
    except UnicodeDecodeError as error:
        raise CommandError(f"{given.card}: not text in UTF-8. Save it as such first.") from error
    except OSError as error:
        raise CommandError(f"{given.card}: {error.strerror}. Name a file that can be written.") from error
    print(given.card)
