"""Which checkpoints a run judges, and one loaded model for each."""

import glob
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch

from mechtests.cache import Cache
from mechtests.checkpoints import CheckpointError
from mechtests.systems.base import System

Loader = Callable[[Path, torch.device, Cache], System]


@dataclass(frozen=True)
class SystemSource:
    """How one kind of checkpoint is found and loaded.

    Attributes:
        name: what the user calls it in ``--checkpoint NAME=PATH``; a system's own kind has the system's name.
        load: from a path, a device and the run's cache to the system; raises :class:`CheckpointError`.
        default: a glob of the checkpoints that are judged when the user names none.
        obtain: the command that gets the checkpoints, told where they are missing.
        system: the system whose claims they are judged on, which is also its fixture's name.
    """

    name: str
    load: Loader
    default: str
    obtain: str
    system: str


class CheckpointRef(NamedTuple):
    """A checkpoint to judge: its kind, and where it is; no path where there is none of that kind."""

    kind: str
    path: Path | None

    @property
    def label(self) -> str:
        """What its tests are called."""
        if self.path is None:
            return "no-checkpoint"
        return self.path.resolve().name if self.path.is_dir() else self.path.stem


_SOURCES: dict[str, SystemSource] = {}


def register_system(name: str, load: Loader, default: str | Path, obtain: str) -> None:
    """Make the system ``name`` known, with the checkpoints that are judged when the user names none.

    Args:
        name: the first part of its claims' ids.
        load: from a path, a device and the run's cache to the system; raises :class:`CheckpointError`.
        default: a glob of the checkpoints that are judged when the user names none.
        obtain: the command that gets the checkpoints, shown where they are missing.
    """
    for kind in [kind for kind, source in _SOURCES.items() if source.system == name]:
        del _SOURCES[kind]  # of an earlier registration of this system, in another suite of this process
    _SOURCES[name] = SystemSource(name, load, str(default), obtain, name)


def register_checkpoints(name: str, of: str, load: Loader, default: str | Path, obtain: str) -> None:
    """Let models of another kind be judged on the claims of the system ``of`` as well.

    The user names them with ``--checkpoint NAME=PATH``. Where the user names checkpoints of any kind of a system, no
    others are judged on its claims. The other arguments are those of :func:`register_system`.
    """
    _SOURCES[name] = SystemSource(name, load, str(default), obtain, of)


class SystemRegistry:
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
        self._loaded: dict[CheckpointRef, System | CheckpointError] = {}

    @property
    def sources(self) -> Mapping[str, SystemSource]:
        """The kinds of checkpoint that can be named, by name."""
        return _SOURCES

    @property
    def systems(self) -> set[str]:
        """The systems that have a fixture."""
        return {source.system for source in self.sources.values() if source.name == source.system}

    def check_named(self, all_known: bool) -> None:
        """Load every checkpoint that the user named.

        Args:
            all_known: whether every system is known by now, so that another one is an error.

        Raises:
            CheckpointError: a named system is unknown, a path matches no file, or a file cannot be used.
        """
        for kind in self._named:
            if kind not in self.sources:
                if not all_known:
                    continue
                known = ", ".join(sorted(self.sources)) or "none"
                raise CheckpointError(f"--checkpoint {kind}=…: no such system. Known here: {known}.")
            for found in self._of_kind(kind):
                self.load(found)

    def found(self, system: str) -> list[CheckpointRef]:
        """The checkpoints to judge on the claims of ``system``; one without a path for a kind that has no file.

        Raises:
            CheckpointError: a path that the user named matches no file.
        """
        kinds = [source.name for source in self.sources.values() if source.system == system]
        kinds = [kind for kind in kinds if kind in self._named] or kinds
        return [found for kind in kinds for found in self._of_kind(kind) or [CheckpointRef(kind, None)]]

    def named(self, system: str) -> bool:
        """Whether the user named checkpoints to judge on the claims of ``system``."""
        return any(self.sources[kind].system == system for kind in self._named if kind in self.sources)

    def all(self, system: str) -> list[System]:
        """Every usable checkpoint that this run judges on the claims of ``system``; none where it has no fixture."""
        systems = []
        for found in self.found(system) if system in self.systems else ():
            try:
                systems.append(self.load(found))
            except CheckpointError:
                continue  # told where the checkpoint itself is judged
        return systems

    def load(self, found: CheckpointRef) -> System:
        """The model at ``found``, on the run's device.

        Raises:
            CheckpointError: there is no file, or it cannot be used.
        """
        if found not in self._loaded:
            self._loaded[found] = self._load(found)
        loaded = self._loaded[found]
        if isinstance(loaded, CheckpointError):
            raise loaded
        return loaded

    def _of_kind(self, kind: str) -> list[CheckpointRef]:
        patterns = self._named.get(kind) or [self.sources[kind].default]
        paths: list[Path] = []
        for pattern in patterns:
            matches = sorted(glob.glob(pattern))
            if not matches and kind in self._named:
                raise CheckpointError(f"--checkpoint {kind}={pattern}: no such file.")
            paths += [path for match in matches if (path := Path(match)) not in paths]
        return [CheckpointRef(kind, path) for path in paths]

    def _load(self, found: CheckpointRef) -> System | CheckpointError:
        source = self.sources[found.kind]
        if found.path is None:
            # A report is read on other machines: what lies below is named from here.
            where = Path(source.default)
            where = where.relative_to(here) if where.is_relative_to(here := Path.cwd()) else where
            return CheckpointError(f"no checkpoint of {found.kind} at {where}. Get one with: {source.obtain}")
        try:
            return source.load(found.path, self.device, self.cache)
        except CheckpointError as error:
            return error


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
