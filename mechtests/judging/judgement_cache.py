"""Judgements kept from run to run: what would come out the same is not measured again.

A judgement is kept with all that it depends on: the claim's region and controls, its parameters, the weights, the
run's settings, the code of the project, the packages' versions and the files read while tests were collected. It is not
kept where the body loaded code or read files while it ran, or rests on other judgements.
"""

import json
from dataclasses import dataclass, fields
from pathlib import Path

import torch
from cattrs.preconf.json import make_converter

from mechtests.cache import Key, Moment, surroundings
from mechtests.families.curve import Curve
from mechtests.judging.counterexamples import Search
from mechtests.judging.evidence import Estimate
from mechtests.judging.verdict import ControlResult, Verdict
from mechtests.systems.base import System

_CONVERTER = make_converter()


@dataclass(frozen=True)
class Outcome:
    """What judging a claim on a model came to; the attributes are those of a judgement.

    Attributes:
        searchable: whether a counterexample can be searched for.
    """

    verdict: Verdict
    estimate: Estimate | None
    controls: tuple[ControlResult, ...]
    curves: tuple[Curve, ...]
    interventions: tuple[str, ...]
    reason: str | None
    seconds: float
    trail: tuple[Estimate, ...]
    searchable: bool
    search: Search | None


OUTCOME = tuple(field.name for field in fields(Outcome) if field.name != "searchable")
"""What a judgement and its outcome have in common."""


class JudgementCache:
    """Outcomes of earlier runs, in the cache of the system that they are about.

    Attributes:
        recalled: how many were found.
    """

    def __init__(self, cache_folder: Path) -> None:
        """Outcomes of a run whose cache is in ``cache_folder``, which says nothing of what a claim measures."""
        self.recalled = 0
        self._folder = cache_folder
        self._surroundings = ""

    def collected(self) -> None:
        """Call this when tests are collected: what is loaded and read by now is what every judgement depends on.

        Later would be too late. A system is loaded before the first claim on it, so the files read by then are those of
        a checkpoint: another one in each worker, which would find nothing of what the others kept.
        """
        self._surroundings = surroundings(self._folder)

    def get(self, system: System, key: Key) -> Outcome | None:
        """The outcome kept under ``key``."""
        found = system.cache.get(self._key(system, key))
        if found is None:
            return None
        self.recalled += 1
        return _CONVERTER.structure(json.loads(bytes(found.numpy())), Outcome)

    def put(self, system: System, key: Key, outcome: Outcome) -> None:
        """Keep ``outcome`` under ``key``."""
        written = json.dumps(_CONVERTER.unstructure(outcome)).encode()
        system.cache.put(self._key(system, key), torch.frombuffer(bytearray(written), dtype=torch.uint8))

    def may_keep(self, began: Moment) -> bool:
        """Whether all that a body which ``began`` then depended on was known by then."""
        return began.nothing_since(self._folder)

    def _key(self, system: System, key: Key) -> Key:
        return ("judgement", self._surroundings, system.kind, key)
