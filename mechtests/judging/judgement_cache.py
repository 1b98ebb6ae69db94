"""Judgements kept from run to run: what would come out the same is not measured again.

A judgement is kept with all that it depends on: the claim's region and controls, its parameters, the weights, the
run's settings, the code of the project as it ran, the packages' versions, and the contents of the files that were read
before its body began. It is not kept where the body loaded code or read files while it ran, or rests on other
judgements; nor once the project's code has asked another process or a data base, or a file was written after it was
read.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from cattrs.preconf.json import make_converter

from mechtests.cache import Key, Moment, since, surroundings
from mechtests.judging.judgement import Outcome
from mechtests.systems.base import System

_CONVERTER = make_converter()


@dataclass(frozen=True)
class CachedOutcome:
    """An outcome as the cache has it.

    Attributes:
        outcome: what judging the claim came to.
        searchable: whether a counterexample can be searched for.
    """

    outcome: Outcome
    searchable: bool


class JudgementCache:
    """Outcomes of earlier runs, in the cache of the system that they are about.

    Attributes:
        recalled: how many were found.
    """

    def __init__(self, cache_folder: Path) -> None:
        """Outcomes of a run whose cache is in ``cache_folder``, which says nothing of what a claim measures."""
        self.recalled = 0
        self._folder = cache_folder
        self._surroundings: str | None = None
        self._collected = Moment.now()

    def collected(self) -> None:
        """Call this when tests are collected: what is loaded and read by now is what every judgement depends on.

        Later would be too late. A system is loaded before the first claim on it, so the files read by then are those of
        a checkpoint: another one in each worker, which would find nothing of what the others kept.
        """
        self._surroundings = surroundings(self._folder)
        self._collected = Moment.now()

    def get(self, system: System, key: Key) -> CachedOutcome | None:
        """The outcome kept under ``key``."""
        whole = self._key(system, key)
        found = system.cache.get(whole) if whole else None
        if found is None:
            return None
        self.recalled += 1
        return _CONVERTER.structure(json.loads(bytes(found.numpy())), CachedOutcome)

    def put(self, system: System, key: Key, outcome: CachedOutcome) -> None:
        """Keep ``outcome`` under ``key``."""
        whole = self._key(system, key)
        if whole is None:
            return
        written = json.dumps(_CONVERTER.unstructure(outcome)).encode()
        system.cache.put(whole, torch.frombuffer(bytearray(written), dtype=torch.uint8))

    def may_keep(self, began: Moment) -> bool:
        """Whether all that a body which ``began`` then depended on was known by then."""
        return began.nothing_since(self._folder)

    def _key(self, system: System, key: Key) -> "Key | None":
        """What a judgement is kept under; ``None`` where something that it depends on is not known."""
        later = since(self._collected, self._folder)
        if self._surroundings is None or later is None:
            return None
        return ("judgement", self._surroundings, later, system.kind, key)
