"""Which checkpoints a run judges, and one loaded model for each."""

import glob
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from mechtests.cache import Cache
from mechtests.checkpoints import CheckpointError
from mechtests.systems.base import System

Loader = Callable[[Path, torch.device, Cache], System]


@dataclass(frozen=True)
class SystemSource:
    """How a system's checkpoints are found and loaded.

    Attributes:
        name: the system's name, which is also its fixture's and the first part of its claims' ids.
        load: from a path, a device and the run's cache to the system; raises :class:`CheckpointError`.
        default: a glob of the checkpoints that are judged when the user names none.
        obtain: the command that gets the checkpoints, told where they are missing.
    """

    name: str
    load: Loader
    default: str
    obtain: str


_SOURCES: dict[str, SystemSource] = {}


def system_fixture(name: str, load: Loader, default: str | Path, obtain: str) -> Any:
    """A pytest fixture of the system ``name`` that gives each of its checkpoints in turn.

    Arguments are those of :class:`SystemSource`. The checkpoints are those of ``--checkpoint NAME=PATH`` where the user
    gave some, else the files that match ``default``.
    """
    _SOURCES[name] = SystemSource(name, load, str(default), obtain)

    @pytest.fixture(scope="session", name=name)
    def system(request: pytest.FixtureRequest) -> System:
        models: Models = request.config.stash[MODELS]
        try:
            return models.load(name, request.param)
        except CheckpointError as error:
            pytest.skip(str(error))

    return system


class Models:
    """The checkpoints of one run; each is loaded when it is first asked for, and once."""

    def __init__(self, named: Sequence[str], device: torch.device, cache: Cache) -> None:
        self.device, self.cache = device, cache
        self._named: dict[str, list[str]] = {}
        for pair in named:
            system, equals, path = pair.partition("=")
            if not system or not equals or not path:
                raise CheckpointError(
                    f"--checkpoint {pair}: expected SYSTEM=PATH, as in subtraction=run/step-1000.safetensors."
                )
            self._named.setdefault(system, []).append(path)
        self._loaded: dict[tuple[str, Path | None], System | CheckpointError] = {}

    @property
    def sources(self) -> Mapping[str, SystemSource]:
        """The systems that have a fixture, by name."""
        return _SOURCES

    def check_named(self, all_known: bool) -> None:
        """Load every checkpoint that the user named.

        Args:
            all_known: whether every system is known by now, so that another one is an error.

        Raises:
            CheckpointError: a named system is unknown, a path matches no file, or a file cannot be used.
        """
        for system in self._named:
            if system not in self.sources:
                if not all_known:
                    continue
                known = ", ".join(sorted(self.sources)) or "none"
                raise CheckpointError(f"--checkpoint {system}=…: no such system. Known here: {known}.")
            for path in self.paths(system):
                self.load(system, path)

    def paths(self, system: str) -> list[Path | None]:
        """The checkpoints of ``system`` to judge; ``[None]`` where there is no file."""
        patterns = self._named.get(system) or [self.sources[system].default]
        found: list[Path | None] = []
        for pattern in patterns:
            matches = sorted(glob.glob(pattern))
            if not matches and system in self._named:
                raise CheckpointError(f"--checkpoint {system}={pattern}: no such file.")
            found += [path for match in matches if (path := Path(match)) not in found]
        return found or [None]

    def named(self, system: str) -> bool:
        """Whether the user named checkpoints of ``system``."""
        return system in self._named

    def all(self, system: str) -> list[System]:
        """Every usable checkpoint of ``system`` that this run judges; none of a system that has no fixture."""
        systems = []
        for path in self.paths(system) if system in self.sources else ():
            try:
                systems.append(self.load(system, path))
            except CheckpointError:
                continue  # told where the checkpoint itself is judged
        return systems

    def load(self, system: str, path: Path | None) -> System:
        """The model at ``path``, on the run's device.

        Raises:
            CheckpointError: there is no file, or it cannot be used.
        """
        if (system, path) not in self._loaded:
            self._loaded[system, path] = self._load(system, path)
        loaded = self._loaded[system, path]
        if isinstance(loaded, CheckpointError):
            raise loaded
        return loaded

    def _load(self, system: str, path: Path | None) -> System | CheckpointError:
        source = self.sources[system]
        if path is None:
            return CheckpointError(f"no checkpoint of {system} at {source.default}. Get one with: {source.obtain}")
        try:
            return source.load(path, self.device, self.cache)
        except CheckpointError as error:
            return error


MODELS = pytest.StashKey[Models]()


def device_named(name: str) -> torch.device:
    """The device called ``name``; ``auto`` is the GPU where there is one.

    Raises:
        ValueError: there is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, ImportError) as error:
        raise ValueError(
            f"--device {name}: not usable here ({str(error).splitlines()[0]}). Try auto or cpu."
        ) from error
    return device
