"""``mechtests register``: record what claims state, and the reasons for which they were changed."""

import argparse
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from mechtests.claiming.registry import FILE, Registry, RegistryError, change_text
from mechtests.cli.error import CommandError
from mechtests.cli.pytest_config import Commands
from mechtests.pytest_plugin.registration import CollectedClaim, CollectionError, collect
from mechtests.report.text import count
from mechtests.results.baseline import Baseline


def add_register(commands: Commands) -> None:
    parser = commands.add_parser(
        "register",
        help="record what claims state, and why they were changed",
        description=f"Writes {FILE}, in the first folder named where the suite has none. From then on pytest refuses a "
        "claim that is not as registered.",
    )
    parser.add_argument("places", nargs="+", metavar="PATH", help="folders and files of claims, as pytest takes them")
    parser.add_argument("--reason", default="", metavar="TEXT", help="why the claims that differ were changed")
    parser.set_defaults(run=register)


def register(given: argparse.Namespace) -> None:
    try:
        claims, baseline = collect(given.places)
    except CollectionError as error:
        print(error, file=sys.stderr)
        raise CommandError("pytest could not collect the claims, and its output says why.") from error
    if not claims:
        raise CommandError(f"no claim in {' '.join(given.places)}. Name the folder or the file with the claims.")
    try:
        registries = {path: Registry.read(path) for path in {_place(claim, given.places) for claim in claims}}
        for path, registry in registries.items():
            own = [claim for claim in claims if _place(claim, given.places) == path]
            changed = _record(registry, own, given.reason.strip(), baseline)
            if changed:
                registry.write()
            _report(registry, own, changed, given.places)
    except RegistryError as error:
        raise CommandError(str(error)) from error
    except OSError as error:
        raise CommandError(f"{error.filename}: {error.strerror}. Name a folder that can be written.") from error


def _place(claim: CollectedClaim, places: Sequence[str]) -> Path:
    """The registry of a claim; where its suite has none, one in the first folder named that holds its test."""
    folders = [path if path.is_dir() else path.parent for path in map(_path, places) if claim.file.is_relative_to(path)]
    return claim.registry or folders[0] / FILE


def _path(place: str) -> Path:
    """The folder or file of an argument of pytest, which may name a test in it."""
    return Path(place.partition("::")[0]).resolve()


def _record(registry: Registry, claims: Sequence[CollectedClaim], reason: str, baseline: Baseline) -> list[str]:
    """Register the claims that are new, amend those that differ, and say in a line for each what was done.

    Raises:
        CommandError: claims differ, and there is no reason.
    """
    day = datetime.now(UTC).date().isoformat()
    registered, amended = [], []
    for claim in claims:
        if claim.id not in registry.entries:
            registry.register(claim.id, claim.states, day)
            registered.append(f"registered {claim.id}")
        elif changes := registry.changes(claim.id, claim.states):
            registry.amend(claim.id, claim.states, day, reason, baseline.counts(claim.id))
            amended.append(f"{claim.id}: {'; '.join(map(change_text, changes))}")
    if amended and not reason:
        print("\n".join(amended))
        raise CommandError(
            f"{count(len(amended), 'registered claim')} changed, as listed above, and nothing was recorded. "
            "Say why with --reason TEXT, or put back what was registered."
        )
    return registered + [f"amended {line}" for line in amended]


def _report(registry: Registry, claims: Sequence[CollectedClaim], changed: list[str], places: Sequence[str]) -> None:
    for line in changed:
        print(line)
    if any(registry.path.is_relative_to(_path(place)) for place in places):
        for lost in sorted(registry.entries.keys() - {claim.id for claim in claims}):
            print(f"no test states {lost} any more; its registration stays")
    print(f"{os.path.relpath(registry.path)}: {count(len(claims), 'claim')}, {len(changed)} of them recorded now")
