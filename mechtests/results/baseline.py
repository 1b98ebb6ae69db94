"""Recorded verdicts: what this repository already knows to hold, and not to hold."""

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from mechtests.files import write_text
from mechtests.judging.verdict import Verdict
from mechtests.results.record import PlacedRecord, VerdictRecord, finding_name, weights_name

SCHEMA = "mechtests-baseline/1"

_VERDICTS = {verdict.value for verdict in Verdict} - {Verdict.UNTESTED.value}


class BaselineError(Exception):
    """A baseline file that cannot be read."""


@dataclass
class Baseline:
    """Verdicts by finding and by the checkpoint's name and sha256.

    Attributes:
        path: the file.
        verdicts: by ``claim id[params]``, then by ``checkpoint@sha256``, the recorded verdict.
        seconds: by ``claim id[params]``, how long its recorded verdicts took together when nothing was cached.
    """

    path: Path
    verdicts: dict[str, dict[str, str]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    _updated: set[str] = field(default_factory=set, init=False, repr=False, compare=False)

    @classmethod
    def read(cls, path: Path) -> "Baseline":
        """The baseline at ``path``; an empty one where there is no file.

        Raises:
            BaselineError: the file is not of the form that :meth:`write` leaves.
        """
        if not path.exists():
            return cls(path)
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content["schema"] != SCHEMA:
                raise ValueError(f"schema {content['schema']!r}")
            recorded = {finding: dict(verdicts) for finding, verdicts in content["verdicts"].items()}
            if unknown := {verdict for verdicts in recorded.values() for verdict in verdicts.values()} - _VERDICTS:
                raise ValueError(f"verdicts {unknown}")
            seconds = {finding: float(duration) for finding, duration in content.get("seconds", {}).items()}
            return cls(path, recorded, seconds)
        except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise BaselineError(
                f"{path}: not a record of verdicts ({error!r}). Expected the form {SCHEMA}: "
                "delete it and write it anew with --update-claims-baseline."
            ) from error

    def recorded(self, record: PlacedRecord) -> str | None:
        """The verdict recorded for the finding and the checkpoint that ``record`` is about."""
        return self.verdicts.get(finding_name(record), {}).get(weights_name(record["checkpoint"]))

    def counts(self, claim: str) -> dict[str, int]:
        """How many of the verdicts on a claim, with any parameters and on any checkpoint, are recorded as each."""
        verdicts = (found for finding, found in self.verdicts.items() if finding.partition("[")[0] == claim)
        return dict(sorted(Counter(verdict for found in verdicts for verdict in found.values()).items()))

    def update(self, record: VerdictRecord) -> None:
        """Record the verdict of ``record``; an untested claim changes nothing."""
        if record["verdict"] == "untested":
            return
        finding = finding_name(record)
        self.verdicts.setdefault(finding, {})[weights_name(record["checkpoint"])] = record["verdict"]
        # The first verdict of this run begins the sum anew; its other checkpoints add to it.
        before = self.seconds.get(finding, 0.0) if finding in self._updated else 0.0
        self.seconds[finding] = before + record["seconds"]
        self._updated.add(finding)

    def write(self) -> None:
        """Write the baseline atomically."""
        seconds = {finding: round(duration, 1) for finding, duration in self.seconds.items()}
        content = {"schema": SCHEMA, "seconds": seconds, "verdicts": self.verdicts}
        write_text(self.path, json.dumps(content, indent=1, sort_keys=True) + "\n")
