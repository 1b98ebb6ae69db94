"""The systems that are known, the checkpoints that a run judges, and one loaded model for each."""

import glob
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch

from mechtests.cache import Cache, Moment, side_files
from mechtests.cache.fingerprint import hashed
from mechtests.checkpoints import CheckpointError
from mechtests.systems.base import System

Loader = Callable[[Path, torch.device, Cache], System]


@dataclass(frozen=True)
class SystemSource:
    """Where the checkpoints of one kind are, and how they are loaded.

    Attributes:
        name: what the user calls it in ``--checkpoint NAME=PATH``; a system's own kind has the system's name.
        load: from a path, a device and the run's cache to the system; raises :class:`CheckpointError`.
        default: a glob of the checkpoints that are judged when the user names none.
        obtain: the command that gets the checkpoints, shown where they are missing.
        system: the system whose claims they are judged on, which is also its fixture's name.
    """

    name: str
    load: Loader
    default: str
    obtain: str
    system: str


NULL_SEEDS = 1_000_000
"""The first seed of the never-trained models of an audit: far from those of the twins that controls draw."""


class CheckpointRef(NamedTuple):
    """A checkpoint to judge: its kind, and its path, which is ``None`` where there is no checkpoint of that kind.

    With a ``null`` it is the never-trained model of that number, of the checkpoint's architecture.
    """

    kind: str
    path: Path | None
    null: int | None = None

    @property
    def label(self) -> str:
        """The checkpoint's name in the ids of its tests."""
        if self.path is None:
            return "no-checkpoint"
        if self.null is not None:
            return f"{self.kind}-null{self.null:03}"
        return self.path.resolve().name if self.path.is_dir() else self.path.stem


_SOURCES: dict[str, SystemSource] = {}


def register_system(name: str, load: Loader, default: str | Path, obtain: str) -> None:
    """Register the system ``name``, with the checkpoints that are judged when the user names none.

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
    """The checkpoints of one run; each is loaded once, when it is first needed.

    Attributes:
        device: where the models run.
        cache: what the models cache their activations in.
        nulls: how many never-trained models of each kind to judge in the place of its checkpoints; 0 judges these.
    """

    def __init__(self, named: Sequence[str], device: torch.device, cache: Cache, nulls: int = 0) -> None:
        """The checkpoints of a run on ``device``.

        Args:
            named: what the user gave as ``--checkpoint``, each ``KIND=PATH``, where the path may be a glob.
            device: where the models run.
            cache: what the models cache their activations in.
            nulls: see above.

        Raises:
            CheckpointError: one of ``named`` has another form.
        """
        self.device, self.cache, self.nulls = device, cache, nulls
        self._named: dict[str, list[str]] = {}
        for pair in named:
            kind, equals, path = pair.partition("=")
            if not kind or not equals or not path:
                raise CheckpointError(
                    f"--checkpoint {pair}: expected SYSTEM=PATH, as in subtraction=run/step-1000.safetensors."
                )
            self._named.setdefault(kind, []).append(path)
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
            all_known: whether every system is registered by now, so that another one is an error.

        Raises:
            CheckpointError: a named system is unknown, a path matches no file, or a file cannot be used.
        """
        for kind in self._named:
            if kind not in self.sources:
                if not all_known:
                    continue
                known = ", ".join(sorted(self.sources)) or "none"
                raise CheckpointError(f"--checkpoint {kind}=…: no such system. Known here: {known}.")
            for ref in self._refs_of_kind(kind):
                self.load(ref)

    def refs(self, system: str) -> list[CheckpointRef]:
        """The checkpoints to judge on the claims of ``system``; one without a path for a kind that has no file.

        Raises:
            CheckpointError: a path that the user named matches no file.
        """
        kinds = [source.name for source in self.sources.values() if source.system == system]
        kinds = [kind for kind in kinds if kind in self._named] or kinds
        refs = [ref for kind in kinds for ref in self._refs_of_kind(kind) or [CheckpointRef(kind, None)]]
        if not self.nulls:
            return refs
        firsts = {ref.kind: ref for ref in reversed(refs) if ref.path is not None}
        return [ref._replace(null=number) for ref in firsts.values() for number in range(self.nulls)]

    def is_named(self, system: str) -> bool:
        """Whether the user named checkpoints to judge on the claims of ``system``."""
        return any(self.sources[kind].system == system for kind in self._named if kind in self.sources)

    def load_all(self, system: str) -> list[System]:
        """Every usable checkpoint that this run judges on the claims of ``system``; none where it has no fixture."""
        systems = []
        for ref in self.refs(system) if system in self.systems else ():
            try:
                systems.append(self.load(ref))
            except CheckpointError:
                continue  # reported where the checkpoint itself is judged
        return systems

    def load(self, ref: CheckpointRef) -> System:
        """The model of ``ref``, on the run's device.

        Raises:
            CheckpointError: there is no file, or it cannot be used.
        """
        if ref not in self._loaded:
            self._loaded[ref] = self._load(ref)
        loaded = self._loaded[ref]
        if isinstance(loaded, CheckpointError):
            raise loaded
        return loaded

    def _refs_of_kind(self, kind: str) -> list[CheckpointRef]:
        patterns = self._named.get(kind) or [self.sources[kind].default]
        paths: list[Path] = []
        for pattern in patterns:
            matches = sorted(glob.glob(pattern))
            if not matches and kind in self._named:
                raise CheckpointError(f"--checkpoint {kind}={pattern}: no such file.")
            paths += [path for match in matches if (path := Path(match)) not in paths]
        return [CheckpointRef(kind, path) for path in paths]

    def _load(self, ref: CheckpointRef) -> System | CheckpointError:
        source = self.sources[ref.kind]
        if ref.null is not None:
            return self._never_trained(self.load(ref._replace(null=None)), ref)
        if ref.path is None:
            # A report is read on other machines: paths below the current folder are given relative to it.
            where = Path(source.default)
            where = where.relative_to(here) if where.is_relative_to(here := Path.cwd()) else where
            return CheckpointError(f"no checkpoint of {ref.kind} at {where}. Get one with: {source.obtain}")
        try:
            began = Moment.now()
            system = source.load(ref.path, self.device, self.cache)
        except CheckpointError as error:
            return error
        except Exception as error:
            return CheckpointError(f"{_failure(source, ref.path)} raised {_raised(error)}.")
        if not isinstance(system, System):
            return CheckpointError(f"{_failure(source, ref.path)} returned {type(system).__name__}, not a System.")
        self._identify(system, began)
        return system

    def _never_trained(self, trained: System, ref: CheckpointRef) -> System:
        twin = trained.untrained(NULL_SEEDS + (ref.null or 0))
        twin.name, twin.identity = ref.label, hashed(twin.identity)
        return twin

    def _identify(self, system: System, began: Moment) -> None:
        """Make what a loader read besides the checkpoint part of the identity: it may change the model."""
        checkpoint, disk = system.checkpoint, self.cache.disk
        covered = (checkpoint.files or (checkpoint.path,)) if checkpoint else ()
        if more := side_files(began, covered, disk.folder if disk else None):
            system.identity = hashed(system.identity, more)


def _failure(source: SystemSource, path: Path) -> str:
    return f"{path}: the loader of {source.name}, {getattr(source.load, '__qualname__', repr(source.load))},"


def _raised(error: Exception) -> str:
    """The error and the line that raised it."""
    *_, frame = traceback.extract_tb(error.__traceback__)
    return f"{type(error).__name__}: {error} ({Path(frame.filename).name}:{frame.lineno})"


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
