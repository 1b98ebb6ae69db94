"""What the HTML report shows: columns of checkpoints, cells of verdicts, rows of findings, and mechanisms."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from mechtests.inference import partial_conjunction_e_value
from mechtests.report.criteria import CRITERIA, TIERS, Card
from mechtests.report.text import NO_CONTROL, SYMBOLS, claim_name, word_of
from mechtests.results.record import CheckpointRecord, ClaimRecord, JudgedRecord, finding_name


@dataclass(frozen=True)
class Column:
    """What claims were judged on: one checkpoint, several together, or none (``record`` is ``None``)."""

    name: str
    record: CheckpointRecord | None

    @property
    def provenance(self) -> CheckpointRecord:
        """How it was made; ``None`` for what is not known, and no sha256 where there is no checkpoint."""
        nothing: CheckpointRecord = {
            "name": self.name,
            "sha256": "",
            "step": None,
            "seed": None,
            "recipe": None,
            "commit": None,
        }
        return self.record or nothing

    @property
    def single(self) -> bool:
        return self.record is not None and "members" not in self.record


ALPHA = 0.05
"""Error rate of "it holds on at least so many of these checkpoints"."""


@dataclass(frozen=True)
class Cell:
    """One verdict: its record, where it stands, and the key that its card is linked by."""

    record: ClaimRecord
    column: Column

    @property
    def finding(self) -> str:
        return finding_name(self.record)

    @property
    def key(self) -> str:
        return f"{self.finding}@{self.column.name}"

    @property
    def verdict(self) -> str:
        """The verdict as tables count it."""
        return word_of(self.record)

    @property
    def symbol(self) -> str:
        return SYMBOLS[self.verdict]


@dataclass
class Row:
    """A claim with its parameters set: a finding.

    Attributes:
        record: any of its records, for what is the same in all of them.
        cells: its verdicts by the column's name.
        over: the verdicts of claims that rest on this one alone, by what they say of it.
    """

    record: ClaimRecord
    cells: dict[str, Cell] = field(default_factory=dict)
    over: dict[str, Cell] = field(default_factory=dict)

    @property
    def finding(self) -> str:
        return finding_name(self.record)

    @property
    def name(self) -> str:
        return claim_name(self.record["id"])

    @property
    def params(self) -> str:
        return ", ".join(self.record["params"].values())

    @property
    def text(self) -> str:
        """What a search looks through."""
        source = (str(part) for part in self.record["source"].values() if part)
        return " ".join(
            (self.record["id"], self.params, self.record["statement"], self.record["story"], *source, *self.cells)
        ).lower()

    @property
    def judged(self) -> int:
        return sum(cell.verdict != "untested" for cell in self.cells.values())

    @property
    def supported(self) -> int:
        return self.counts["supported"] + self.counts[NO_CONTROL]

    @cached_property
    def counts(self) -> Counter[str]:
        return Counter(cell.verdict for cell in self.cells.values())

    @property
    def holds_on_at_least(self) -> int:
        """On how many of its checkpoints it is shown to hold, whichever they are, at an error rate of :data:`ALPHA`.

        Region and controls together; claims in which there is no chance, and those not tested, do not count.
        """
        e_values = [e for cell in self.cells.values() if (e := cell.record["combined_e_value"]) is not None]
        shown = (
            many for many in range(len(e_values), 0, -1) if partial_conjunction_e_value(e_values, many) >= 1 / ALPHA
        )
        return next(shown, 0)

    @property
    def is_identity(self) -> bool:
        """Whether it is true of the architecture, and so no finding."""
        return self.record["evidence_kind"] == "identity"

    @property
    def holds_on_most(self) -> bool:
        return 2 * self.supported > self.judged

    @property
    def estimates(self) -> list[float]:
        values = (cell.record["estimate"] for cell in self.cells.values())
        return [value for value in values if value is not None]


@dataclass(frozen=True)
class Mechanism:
    """The claims of one mechanism.

    Attributes:
        rows: its findings.
        beside: by id, the records of its claims that are shown beside the findings they rest on.
        cards: its report card on each checkpoint, by the column's name.
    """

    system: str
    name: str
    rows: tuple[Row, ...]
    beside: Mapping[str, list[ClaimRecord]]
    cards: Mapping[str, Card]

    @property
    def id(self) -> str:
        return f"{self.system}/{self.name}"

    @property
    def _records(self) -> list[ClaimRecord]:
        return [*(row.record for row in self.rows), *(records[0] for records in self.beside.values())]

    @property
    def question(self) -> str:
        """Its story, without its name before it."""
        question = re.sub(r"^[\w\s'-]{1,60}: ", "", self._records[0]["story"])
        return question[:1].upper() + question[1:]

    @property
    def sources(self) -> dict[str, list[str]]:
        """Where the claims come from: by work, its sections."""
        sources: dict[str, list[str]] = {}
        for record in self._records:
            source = record["source"]
            by = ", ".join(str(part) for part in (source["authors"], source["year"]) if part)
            sections = sources.setdefault(f"{source['title']} ({by})" if by else source["title"], [])
            if source["at"] and source["at"] not in sections:
                sections.append(source["at"])
        return sources

    @property
    def claims(self) -> dict[str, list[Row]]:
        """Its rows by the claim whose parameter sets they are."""
        claims: dict[str, list[Row]] = {}
        for row in self.rows:
            claims.setdefault(row.record["id"], []).append(row)
        return claims

    @property
    def counts(self) -> Counter[str]:
        beside = (word_of(record) for records in self.beside.values() for record in records)
        return sum((row.counts for row in self.rows), Counter(beside))

    @property
    def holding(self) -> int:
        """How many of its findings are supported on more than half of the checkpoints they were judged on."""
        return sum(row.holds_on_most for row in self.findings)

    @property
    def findings(self) -> list[Row]:
        """Its rows without identities."""
        return [row for row in self.rows if not row.is_identity]

    @property
    def tiers(self) -> list[tuple[str | None, int]]:
        """The tiers reached, from high to low, each with the number of checkpoints."""
        counts = Counter(card.tier for card in self.cards.values())
        return [(tier, counts[tier]) for tier in (*reversed(TIERS), None) if counts[tier]]

    @property
    def deciding(self) -> dict[str, list[str]]:
        """For each criterion, the claims that decide it on any checkpoint."""
        deciding: dict[str, dict[str, None]] = {name: {} for name in CRITERIA}
        for on_one in self.cards.values():
            for criterion in on_one.criteria:
                deciding[criterion.name].update(dict.fromkeys(criterion.claims))
        return {name: list(claims) for name, claims in deciding.items()}

    @property
    def along_training(self) -> dict[str, list[tuple[Row, Cell, list[JudgedRecord]]]]:
        """By training run, the findings judged at three steps of it or more, each with the claim that rests on them."""
        runs: dict[str, list[tuple[Row, Cell, list[JudgedRecord]]]] = {}
        for row in self.rows:
            for cell in row.over.values():
                judged = [one for one in cell.record["findings"][0]["judged"] if one["checkpoint"]]
                checkpoints = [one["checkpoint"] for one in judged if one["checkpoint"]]
                origins = {(checkpoint["recipe"], checkpoint["seed"]) for checkpoint in checkpoints}
                if len(origins) == 1 and len({checkpoint["step"] for checkpoint in checkpoints}) > 2:
                    ((recipe, seed),) = origins
                    runs.setdefault(f"{recipe}, seed {seed}", []).append((row, cell, judged))
        return runs


@dataclass(frozen=True)
class SystemGrid:
    """The claims of one system: rows by mechanism, columns by checkpoint, and claims over several checkpoints."""

    name: str
    columns: tuple[Column, ...]
    over: tuple[str, ...]
    mechanisms: tuple[Mechanism, ...]

    @property
    def rows(self) -> list[Row]:
        return [row for mechanism in self.mechanisms for row in mechanism.rows]

    def counts(self, column: Column) -> Counter[str]:
        return Counter(row.cells[column.name].verdict for row in self.rows if column.name in row.cells)
