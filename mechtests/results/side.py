"""One side of a comparison: verdicts from a results file, a baseline or the ledger."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mechtests.results.baseline import SCHEMA as BASELINE_SCHEMA
from mechtests.results.baseline import Baseline, BaselineError
from mechtests.results.document import read_results
from mechtests.results.ledger import Ledger
from mechtests.results.record import DIGITS, ResultsDocument, VerdictRecord, finding_name


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
    def of(cls, record: VerdictRecord) -> "Judged":
        """The verdict of a claim of a results file, or of the ledger."""
        checkpoint, interval = record["checkpoint"], record["interval"]
        return cls(
            finding=finding_name(record),
            checkpoint=checkpoint["name"] if checkpoint else None,
            weights=checkpoint["sha256"][:DIGITS] if checkpoint else None,
            verdict=record["verdict"],
            members=tuple(checkpoint.get("members", ())) if checkpoint else (),
            estimate=record["estimate"],
            interval=(interval[0], interval[1]) if interval else None,
            region=record["expect"]["region"],
            reason=record["reason"],
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
        verdicts = tuple(judged for judged in self.verdicts if _is_on(judged, checkpoint))
        if not verdicts:
            known = sorted({judged.checkpoint for judged in self.verdicts if judged.checkpoint})
            raise ComparisonError(f"{self.name}: no verdict on {checkpoint}. It has: {', '.join(known) or 'none'}.")
        return Side(self.name, verdicts)


def side_of(document: ResultsDocument, name: str) -> Side:
    """A results file as one side."""
    return Side(name, tuple(Judged.of(record) for record in document["claims"]))


def side_named(name: str, ledger: Callable[[], Ledger]) -> Side:
    """What the user calls ``name``: a results file or a baseline, or else a run or a checkpoint in the ledger.

    Args:
        name: a path, the first digits of a run's id, a checkpoint's name, or the first digits of its sha256.
        ledger: opens the ledger, where it is needed.

    Raises:
        ComparisonError: there is no such thing, or there are several.
        ResultsError, LedgerError: the file or the ledger cannot be read.
    """
    path = Path(name)
    if path.is_file():
        return _from_baseline(path) if _is_baseline(path) else side_of(read_results(path), name)
    if path.exists() or "/" in name or path.suffix == ".json":
        raise ComparisonError(f"{name}: no such file. Expected a results file, as every run writes one.")
    return _from_ledger(name, ledger())


def _is_baseline(path: Path) -> bool:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False  # what is wrong with it is said when it is read as results
    return isinstance(content, dict) and content.get("schema") == BASELINE_SCHEMA


def _from_baseline(path: Path) -> Side:
    try:
        recorded = Baseline.read(path).verdicts
    except BaselineError as error:
        raise ComparisonError(str(error)) from error
    verdicts = []
    for finding, by_weights in recorded.items():
        for name, verdict in by_weights.items():
            checkpoint, _, weights = name.rpartition("@")
            verdicts.append(Judged(finding, checkpoint or None, weights if checkpoint else None, verdict))
    return Side(str(path), tuple(verdicts))


def _from_ledger(name: str, ledger: Ledger) -> Side:
    runs = ledger.run_ids(name)
    if len(runs) > 1:
        raise ComparisonError(f"{name}: several runs in the ledger begin so. Give more digits.")
    if runs:
        return Side(f"run {runs[0][:10]}", _newest(ledger.verdicts(run=runs[0])))
    verdicts = [judged for judged in _newest(ledger.verdicts(checkpoint=name)) if _is_on(judged, name)]
    weights = {judged.weights: None for judged in verdicts}
    if not verdicts:
        raise ComparisonError(
            f"{name}: no such file, and no such run or checkpoint in the ledger ({ledger}). "
            "`mechtests history` lists what is there."
        )
    if len(weights) > 1:
        digits = ", ".join(map(str, weights))
        raise ComparisonError(f"{name}: several weights in the ledger are called so. Give the sha256 of one: {digits}.")
    return Side(name, tuple(verdicts))


def _newest(records: Sequence[VerdictRecord]) -> tuple[Judged, ...]:
    """Of the same finding on the same weights, the first verdict: that of the newest run."""
    newest: dict[object, Judged] = {}
    for record in records:
        judged = Judged.of(record)
        newest.setdefault((judged.finding, judged.checkpoint, judged.weights), judged)
    return tuple(newest.values())


def _is_on(judged: Judged, checkpoint: str) -> bool:
    """Whether a verdict is on the checkpoint of this name, or of this sha256."""
    digits = checkpoint[:DIGITS]
    return judged.checkpoint == checkpoint or (len(digits) >= 6 and (judged.weights or "").startswith(digits))
