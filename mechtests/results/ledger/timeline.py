"""The last runs and their verdicts, arranged for reading: what the ledger adds to a report."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class PastRun:
    """A run in the ledger.

    Attributes:
        id: the run's id.
        started: when, in UTC.
        commit: the git commit it was made at.
        checkpoints: names of what was judged.
        verdicts: by verdict, how many.
    """

    id: str
    started: datetime
    commit: str | None
    checkpoints: tuple[str, ...]
    verdicts: Mapping[str, int]


@dataclass(frozen=True)
class Timeline:
    """Findings by runs.

    Attributes:
        runs: the oldest first.
        verdicts: by finding and by run's id, how many of each verdict.
    """

    runs: Sequence[PastRun]
    verdicts: Mapping[str, Mapping[str, Mapping[str, int]]]

    @property
    def rows(self) -> list[tuple[str, list[Counter[str]]]]:
        """The findings that runs did not all judge alike, each with its verdicts in every run."""
        told = []
        for finding, by_run in sorted(self.verdicts.items()):
            shares = {tuple(sorted(_share(verdicts).items())) for verdicts in by_run.values() if _share(verdicts)}
            if len(shares) > 1:
                told.append((finding, [Counter(by_run.get(run.id, {})) for run in self.runs]))
        return told

    @property
    def steady(self) -> int:
        """How many findings every run judged alike."""
        return len(self.verdicts) - len(self.rows)


def _share(verdicts: Mapping[str, int]) -> dict[str, float]:
    """By verdict, on which share of the checkpoints that were judged; nothing where none was."""
    judged = {verdict: many for verdict, many in verdicts.items() if verdict != "untested"}
    return {verdict: many / sum(judged.values()) for verdict, many in judged.items()}
