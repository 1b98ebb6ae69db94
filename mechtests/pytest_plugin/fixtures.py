"""Systems as pytest fixtures."""

from pathlib import Path
from typing import Any

import pytest

from mechtests.checkpoints import CheckpointError
from mechtests.pytest_plugin.stash import MODELS
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
        models: SystemRegistry = request.config.stash[MODELS]
        try:
            return models.load(request.param)
        except CheckpointError as error:
            pytest.skip(str(error))

    return system
