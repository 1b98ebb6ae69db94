"""Recorded verdicts: what this repository already knows to hold, and not to hold."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SCHEMA = "mechtests-baseline/1"

_ORDER = ("refuted", "vacuous", "inconclusive", "supported")
"""Verdicts from worst to best."""


class BaselineError(Exception):
    """A baseline file that cannot be read."""


@dataclass
class Baseline:
    """Verdicts by claim, its parameters and the checkpoint's name and sha256.

    Attributes:
        path: the file.
        verdicts: by ``claim id[params]``, then by ``checkpoint@sha256``, the recorded verdict.
        seconds: by ``claim id[params]``, how long its recorded verdicts took together when nothing was kept.
    """

    path: Path
    verdicts: dict[str, dict[str, str]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    _noted: set[str] = field(default_factory=set, init=False, repr=False, compare=False)

    @classmethod
    def read(cls, path: Path) -> "Baseline":
        """The record at ``path``; an empty one where there is no file.

        Raises:
            BaselineError: the file is not of the form that :meth:`write` leaves.
        """
        if not path.exists():
            return cls(path)
        try:
            content = json.loads(path.read_text())
            if content["schema"] != SCHEMA:
                raise ValueError(f"schema {content['schema']!r}")
            recorded = {claim: dict(verdicts) for claim, verdicts in content["verdicts"].items()}
            if unknown := {verdict for verdicts in recorded.values() for verdict in verdicts.values()} - {*_ORDER}:
                raise ValueError(f"verdicts {unknown}")
            seconds = {claim: float(taken) for claim, taken in content.get("seconds", {}).items()}
            return cls(path, recorded, seconds)
        except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise BaselineError(
                f"{path}: not a record of verdicts ({error!r}). Expected the form {SCHEMA}: "
                "delete it and write it anew with --update-claims-baseline."
            ) from error

    def recorded(self, record: Mapping[str, Any]) -> str | None:
        """The verdict recorded for what ``record``, a claim of a results file, is about."""
        claim, checkpoint = place(record)
        return self.verdicts.get(claim, {}).get(checkpoint)

    def note(self, record: Mapping[str, Any]) -> None:
        """Take over the verdict of ``record``; an untested claim changes nothing."""
        if record["verdict"] != "untested":
            claim, checkpoint = place(record)
            self.verdicts.setdefault(claim, {})[checkpoint] = record["verdict"]
            before = self.seconds.get(claim, 0.0) if claim in self._noted else 0.0
            self.seconds[claim] = before + record["seconds"]
            self._noted.add(claim)

    def write(self) -> None:
        """Write the record, whole or not at all."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = self.path.with_suffix(f".{os.getpid()}.tmp")
        seconds = {claim: round(taken, 1) for claim, taken in self.seconds.items()}
        content = {"schema": SCHEMA, "seconds": seconds, "verdicts": self.verdicts}
        unfinished.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n")
        unfinished.replace(self.path)


def is_worse(verdict: str, recorded: str) -> bool:
    """Whether ``verdict`` is further from supported than ``recorded``."""
    return _ORDER.index(verdict) < _ORDER.index(recorded)


def place(record: Mapping[str, Any]) -> tuple[str, str]:
    """Where the verdict of ``record`` is kept: ``claim id[params]``, and ``checkpoint@sha256`` or ``none``."""
    params = ",".join(f"{name}={value}" for name, value in sorted(record["params"].items()))
    checkpoint = record["checkpoint"]
    where = f"{checkpoint['name']}@{checkpoint['sha256'][:12]}" if checkpoint else "none"
    return record["id"] + (f"[{params}]" if params else ""), where
