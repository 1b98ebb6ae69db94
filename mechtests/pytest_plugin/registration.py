"""Claims and their registration: compared when tests are collected, and collected for ``mechtests register``."""

import io
import os
import shlex
from collections.abc import Iterable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest

from mechtests.cache import unheard
from mechtests.claiming.claim import claim_of
from mechtests.claiming.registry import Registry, RegistryError, change_text, registry_file
from mechtests.claiming.stated import Stated, stated_claim
from mechtests.pytest_plugin.session import SESSION, ClaimSession
from mechtests.results.baseline import Baseline

_RECORDING = pytest.StashKey[bool]()
"""Whether this run of pytest collects claims to register them."""

_SHOWN = 10
"""At most so many claims are named in a message; the others are counted."""


class CollectionError(Exception):
    """Claims that pytest could not collect; the message is its output."""


@dataclass(frozen=True)
class CollectedClaim:
    """A claim as it is stated now.

    Attributes:
        id: its id.
        states: what it states.
        file: the file of its test.
        registry: the registry that holds for it, or ``None`` where its suite has none.
    """

    id: str
    states: Stated
    file: Path
    registry: Path | None


def check(config: pytest.Config, items: list[pytest.Item], session: ClaimSession) -> None:
    """Refuse a run with a claim that is not as registered, and note in ``session`` the registrations of the others."""
    if config.stash.get(_RECORDING, False):
        return
    try:
        message = _differences(collected_claims(items, config.rootpath), session, config.invocation_params.dir)
    except RegistryError as error:
        message = str(error)
    if message:
        session.refuse(message)
        items.clear()


def collected_claims(items: Iterable[pytest.Item], root: Path) -> list[CollectedClaim]:
    """The claims that ``items`` test, each once."""
    claims: dict[str, CollectedClaim] = {}
    for item in items:
        if not isinstance(item, pytest.Function):
            continue
        claim = claim_of(item.function)
        if claim and claim.id not in claims:
            with unheard():  # that a claim was registered changes no judgement
                registry = registry_file(item.path.parent, root)
            claims[claim.id] = CollectedClaim(claim.id, stated_claim(item.function), item.path, registry)
    return list(claims.values())


def _differences(claims: Iterable[CollectedClaim], session: ClaimSession, here: Path) -> str | None:
    """What is not as registered, and the command that records it; ``None`` where all is."""
    registries: dict[Path, Registry] = {}
    differing: dict[str, list[str]] = {}
    files: dict[str, None] = {}
    changed = False
    for claim in claims:
        if claim.registry is None:
            continue
        if claim.registry not in registries:
            with unheard():
                registries[claim.registry] = Registry.read(claim.registry)
        registry, file = registries[claim.registry], os.path.relpath(claim.file, here)
        if claim.id not in registry.entries:
            differing[f"{claim.id} ({file})"] = ["not registered"]
        elif changes := registry.changes(claim.id, claim.states):
            changed = True
            differing[f"{claim.id} ({file})"] = [change_text(change) for change in changes]
        else:
            session.registered[claim.id] = registry.entries[claim.id]
            continue
        files[file] = None
    if not differing:
        return None
    lines = [f"{len(differing)} {'claim is' if len(differing) == 1 else 'claims are'} not as registered."]
    for name, differences in list(differing.items())[:_SHOWN]:
        lines += [f"  {name}", *(f"    {difference}" for difference in differences)]
    if len(differing) > _SHOWN:
        lines.append(f"  and {len(differing) - _SHOWN} more")
    command = f"mechtests register {' '.join(map(shlex.quote, files))}"
    if changed:
        lines.append(f'Put back what was registered, or record the change and why: {command} --reason "…"')
    else:
        lines.append(f"Register a claim before it is judged: {command}")
    return "\n".join(lines)


# ---------------------------------------------------------------------------------------------------------------------
# For the command line


class _Recorder:
    """A plugin of pytest that collects claims without judging them or comparing them with their registration."""

    def __init__(self) -> None:
        self.claims: list[CollectedClaim] = []
        self.baseline = Baseline(Path())

    def pytest_configure(self, config: pytest.Config) -> None:
        config.stash[_RECORDING] = True

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.claims = collected_claims(session.items, session.config.rootpath)
        self.baseline = session.config.stash[SESSION].baseline


def collect(places: Sequence[str]) -> tuple[list[CollectedClaim], Baseline]:
    """The claims in ``places``, as pytest takes them on its command line, and the verdicts on record.

    Raises:
        CollectionError: pytest could not collect them.
    """
    recorder, output = _Recorder(), io.StringIO()
    # The package is imported by now, so that pytest could not rewrite its assertions, and would warn of that.
    options = ["--collect-only", "-q", "--assert=plain", "-p", "no:cacheprovider", "--no-claims-cache"]
    with redirect_stdout(output), redirect_stderr(output):
        code = pytest.main([*options, *places], plugins=[recorder])
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        raise CollectionError(output.getvalue().strip())
    return recorder.claims, recorder.baseline
