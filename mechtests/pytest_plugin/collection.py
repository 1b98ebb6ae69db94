"""From test functions to the claims of a run: checked, set on checkpoints, named, ordered and selected."""

import inspect
from collections.abc import Callable, Collection

import pytest

from mechtests.cache.fingerprint import value_fingerprint
from mechtests.checkpoints import CheckpointError
from mechtests.claiming.claim import Claim, claim_of, parameter_text
from mechtests.judging.findings import parameter_sets
from mechtests.pytest_plugin.session import ClaimSession
from mechtests.systems.registry import SystemRegistry


def claim_of_item(item: pytest.Item) -> Claim | None:
    """The claim that ``item`` tests, or ``None`` where it is no claim test."""
    return claim_of(item.function) if isinstance(item, pytest.Function) else None


def set_on_checkpoints(metafunc: pytest.Metafunc, registry: SystemRegistry) -> None:
    """Give a test that takes a system each of the checkpoints to judge."""
    for name in metafunc.fixturenames:
        if name in registry.systems:
            try:
                refs = registry.refs(name)
            except CheckpointError as error:
                pytest.fail(str(error), pytrace=False)
            metafunc.parametrize(name, refs, ids=[ref.label for ref in refs], indirect=True, scope="session")


def parameter_id(value: object) -> str | None:
    """What a claim's parameter is called in the test's id: as in its record; ``None`` where it has no name."""
    text = parameter_text(value)
    return None if " at 0x" in text else text


def check_claim_test(metafunc: pytest.Metafunc, claim: Claim, session: ClaimSession) -> None:
    """Refuse a claim test whose arguments, parameters or id do not fit: an error of its collection, for workers too."""
    test = metafunc.definition
    function: Callable[..., object] = metafunc.function
    first, where = session.test_of_claim.setdefault(claim.id, (function, test.nodeid))
    if first is not function:
        pytest.fail(
            f"{test.nodeid}: the claim id {claim.id} is taken by {where}. Give each claim an id of its own.",
            pytrace=False,
        )
    arguments = [name for name in inspect.signature(function).parameters if name != "self"]
    if "evidence" not in arguments:
        pytest.fail(
            f"{test.nodeid}: a claim test records what it observes. Add the argument `evidence`.", pytrace=False
        )
    for name in arguments:
        if name in session.registry.systems and name != claim.system:
            pytest.fail(
                f"{test.nodeid}: the claim {claim.id} is about the system {claim.system!r}, and its test takes "
                f"{name!r}. Begin the id with {name}/, or take the argument {claim.system}.",
                pytrace=False,
            )
    for control in claim.controls:
        if control.parameter is not None and control.parameter not in arguments:
            pytest.fail(
                f"{test.nodeid}: the control “{control.name}” replaces the argument {control.parameter!r}, "
                f"which the test does not take. It takes: {', '.join(arguments)}.",
                pytrace=False,
            )
    for mark in test.iter_markers("parametrize"):
        by_text: dict[tuple[str, str], object] = {}
        for name, value in (pair for case in parameter_sets(mark) for pair in case.items()):
            alike = by_text.setdefault((name, text := parameter_text(value)), value)
            if name not in session.registry.systems and value_fingerprint(alike) != value_fingerprint(value):
                pytest.fail(
                    f"{test.nodeid}: the parameter {name}={text} has two values that are written alike, and would "
                    "share a seed and a line of the baseline. Give each a name, or a __str__, of its own.",
                    pytrace=False,
                )


def put_in_order(items: list[pytest.Item], registry: SystemRegistry) -> None:
    """Judge a claim on all checkpoints before the next: its inputs and its untrained twins are the same on each.

    Claims that judge others come last, when most of what they ask for is cached, by another worker perhaps.
    """
    systems, place = registry.systems, dict[object, int]()
    items.sort(
        key=lambda item: (
            isinstance(item, pytest.Function) and "judge" in item.fixturenames,
            place.setdefault(_whatever_the_checkpoint(item, systems), len(place)),
        )
    )


def _whatever_the_checkpoint(item: pytest.Item, systems: Collection[str]) -> object:
    """Tells the claim of ``item``, with its parameters, from others; not the checkpoint that it is about."""
    if not isinstance(item, pytest.Function) or claim_of_item(item) is None:
        return item.nodeid
    params = item.callspec.params.items() if hasattr(item, "callspec") else ()
    return item.function, frozenset((name, parameter_text(value)) for name, value in params if name not in systems)


def select_systems(items: list[pytest.Item], names: Collection[str], registry: SystemRegistry) -> list[pytest.Item]:
    """Leave in ``items`` the claims of the systems, or of the kinds of checkpoint, called ``names``.

    Returns:
        the items that were removed.
    """
    wanted = {registry.sources[name].system if name in registry.sources else name for name in names}
    chosen: list[pytest.Item] = []
    others: list[pytest.Item] = []
    for item in items:
        claim = claim_of_item(item)
        (chosen if claim and claim.system in wanted else others).append(item)
    items[:] = chosen
    return others


def unknown_system(items: Collection[pytest.Item], names: Collection[str], registry: SystemRegistry) -> str | None:
    """What is wrong with ``--claims-of`` where it names a system that is not known; ``None`` where all are."""
    known = {*registry.sources, *(claim.system for item in items if (claim := claim_of_item(item)))}
    for name in names:
        if name not in known:
            return f"--claims-of {name}: no such system. Known here: {', '.join(sorted(known)) or 'none'}."
    return None
