"""One side of a comparison: verdicts from a results file, a record of verdicts or the ledger."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mechtests.results.baseline import SCHEMA as RECORD_OF_VERDICTS
from mechtests.results.baseline import Baseline, BaselineError, place
from mechtests.results.ledger import Ledger
from mechtests.results.record import read_results

LENGTH = 12
"""Digits of a sha256 that tell weights apart; a record of verdicts has no more."""


class ComparisonError(Exception):
    """Two sides that cannot be compared: what was expected, what was found, what to do."""


@dataclass(frozen=True)
class Judged:
    """A verdict, as far as every source of them knows it.

    Attributes:
        finding: the claim's id, with its parameters.
        checkpoint: the name of what it was judged on; ``None`` for no checkpoint.
        weights: the first digits of its sha256.
        members: the names of the checkpoints that were judged together, where they were and it is known.
        region: the decision region, where it is known.
    """

    finding: str
    checkpoint: str | None
    weights: str | None
    verdict: str
    members: tuple[str, ...] = ()
    estimate: float | None = None
    interval: tuple[float, float] | None = None
    region: str | None = None
    reason: str | None = None

    @property
    def system(self) -> str:
        return self.finding.partition("/")[0]

    @property
    def several(self) -> bool:
        """Whether it is about several checkpoints together."""
        return bool(self.members) or bool(re.fullmatch(r"\d+ checkpoints", self.checkpoint or ""))

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> "Judged":
        """The verdict of a claim of a results file, or of the ledger."""
        checkpoint = record["checkpoint"] or {}
        return cls(
            place(record)[0],
            checkpoint.get("name"),
            checkpoint["sha256"][:LENGTH] if checkpoint else None,
            record["verdict"],
            tuple(checkpoint.get("members", ())),
            record["estimate"],
            record["interval"] and tuple(record["interval"]),
            record["expect"]["region"],
            record["reason"],
        )


@dataclass(frozen=True)
class Side:
    """Verdicts, and what the user calls them."""

    name: str
    verdicts: tuple[Judged, ...]

    def on(self, checkpoint: str) -> "Side":
        """The verdicts on one of its checkpoints.

        Raises:
            ComparisonError: it has no such checkpoint.
        """
        found = tuple(one for one in self.verdicts if _is_called(one, checkpoint))
        if not found:
            known = sorted({one.checkpoint for one in self.verdicts if one.checkpoint})
            raise ComparisonError(f"{self.name}: no verdict on {checkpoint}. It has: {', '.join(known) or 'none'}.")
        return Side(self.name, found)


def side_of(document: Mapping[str, Any], name: str) -> Side:
    """A results file as one side."""
    return Side(name, tuple(Judged.of(record) for record in document["claims"]))


def side_named(name: str, ledger: Callable[[], Ledger]) -> Side:
    """What the user calls ``name``: a file of results or of recorded verdicts, or else what the ledger calls so.

    Args:
        name: a path, the first digits of a run's id, a checkpoint's name, or the first digits of its sha256.
        ledger: opens the ledger, where it is needed.

    Raises:
        ComparisonError: there is no such thing, or there are several.
        ResultsError, LedgerError: the file or the ledger cannot be read.
    """
    path = Path(name)
    if path.is_file():
        return _recorded(path) if _is_record(path) else side_of(read_results(path), name)
    if path.exists() or "/" in name or path.suffix == ".json":
        raise ComparisonError(f"{name}: no such file. Expected a results file, as every run writes one.")
    return _in_ledger(name, ledger())


def _is_record(path: Path) -> bool:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False  # what is wrong with it is told when it is read as results
    return isinstance(content, dict) and content.get("schema") == RECORD_OF_VERDICTS


def _recorded(path: Path) -> Side:
    try:
        recorded = Baseline.read(path).verdicts
    except BaselineError as error:
        raise ComparisonError(str(error)) from error
    verdicts = []
    for finding, places in recorded.items():
        for where, verdict in places.items():
            checkpoint, _, weights = where.rpartition("@")
            verdicts.append(Judged(finding, checkpoint or None, weights if checkpoint else None, verdict))
    return Side(str(path), tuple(verdicts))


def _in_ledger(name: str, ledger: Ledger) -> Side:
    runs = ledger.run_ids(name)
    if len(runs) > 1:
        raise ComparisonError(f"{name}: several runs in the ledger begin so. Give more digits.")
    if runs:
        return Side(f"run {runs[0][:10]}", _newest(ledger.verdicts(run=runs[0])))
    found = [one for one in _newest(ledger.verdicts(checkpoint=name)) if _is_called(one, name)]
    weights = {one.weights: None for one in found}
    if not found:
        raise ComparisonError(
            f"{name}: no such file, and no such run or checkpoint in the ledger ({ledger}). "
            "`mechtests history` lists what is there."
        )
    if len(weights) > 1:
        told = ", ".join(map(str, weights))
        raise ComparisonError(f"{name}: several weights in the ledger are called so. Give the sha256 of one: {told}.")
    return Side(name, tuple(found))


def _newest(records: Sequence[Mapping[str, Any]]) -> tuple[Judged, ...]:
    """Of the same finding on the same weights, the first verdict: that of the newest run."""
    found: dict[object, Judged] = {}
    for record in records:
        one = Judged.of(record)
        found.setdefault((one.finding, one.checkpoint, one.weights), one)
    return tuple(found.values())


def _is_called(one: Judged, name: str) -> bool:
    digits = name[:LENGTH]
    return one.checkpoint == name or (len(digits) >= 6 and (one.weights or "").startswith(digits))
