"""The fixtures of claims, and systems as fixtures."""

from pathlib import Path
from typing import Any

import pytest

from mechtests.checkpoints import CheckpointError
from mechtests.claiming.claim import claim_of
from mechtests.judging.judge import Judge
from mechtests.pytest_plugin.session import SESSION
from mechtests.systems.base import System
from mechtests.systems.registry import Loader, SystemRegistry, register_system


def system_fixture(name: str, load: Loader, default: str | Path, obtain: str) -> Any:
    """A pytest fixture of the system ``name`` that gives each of its checkpoints in turn.

    The checkpoints are those that the user named with ``--checkpoint NAME=PATH``, else the files that match
    ``default``. The arguments are those of :func:`mechtests.systems.registry.register_system`.
    """
    register_system(name, load, default, obtain)

    @pytest.fixture(scope="session", name=name)
    def system(request: pytest.FixtureRequest) -> System:
        try:
            return request.config.stash[SESSION].registry.load(request.param)
        except CheckpointError as error:
            pytest.skip(str(error))

    return system


@pytest.fixture
def evidence(request: pytest.FixtureRequest) -> None:
    """Where a claim test records what it observes: a :class:`mechtests.judging.evidence.Evidence`."""
    if claim_of(request.function) is None:
        pytest.fail(
            f"{request.node.name} takes evidence and states no claim. Decorate it with @mechtests.claim(…).",
            pytrace=False,
        )
    # The judge gives the body its own record for the model and for every control.


@pytest.fixture(scope="session")
def judge(request: pytest.FixtureRequest) -> Judge:
    """Judges other claims: for claims about how often, and from which step on, they hold."""
    return request.config.stash[SESSION].judge


@pytest.fixture(scope="session")
def registry(request: pytest.FixtureRequest) -> SystemRegistry:
    """The checkpoints that this run judges, by system."""
    return request.config.stash[SESSION].registry
