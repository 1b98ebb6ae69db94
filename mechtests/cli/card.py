"""``mechtests card``: the verdicts on a checkpoint in its model card."""

import argparse
from pathlib import Path

from mechtests.cli.error import CommandError
from mechtests.cli.pytest_config import Commands
from mechtests.files import write_text
from mechtests.report.card import CardError, card_claims, updated_card
from mechtests.results.document import read_results


def add_card(commands: Commands) -> None:
    parser = commands.add_parser(
        "card",
        help="write the verdicts on a checkpoint into its model card",
        description="Updates the model-index of a README's front matter, and a section between two markers.",
    )
    parser.add_argument("results", type=Path, metavar="RESULTS.json", help="the results file of a run")
    parser.add_argument("card", type=Path, metavar="README.md", help="the model card; created if it does not exist")
    parser.add_argument("--checkpoint", metavar="NAME", help="if several were judged: which one, by name or sha256")
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
        write_text(given.card, after)
    except CardError as error:
        raise CommandError(f"{given.card}: {error}") from error
    except UnicodeDecodeError as error:
        raise CommandError(f"{given.card}: not UTF-8 text. Convert it first.") from error
    except OSError as error:
        raise CommandError(f"{given.card}: {error.strerror}. Name a file that can be written.") from error
    print(given.card)
