"""Claims by checkpoints: what the HTML report shows of one or several results files, arranged for reading."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from mechtests.report.criteria import CRITERIA, TIERS, Card, card, finding_key
from mechtests.report.terminal import SYMBOLS
from mechtests.results.record import Record, results_document

_LATER: Record = {"criterion": None, "trail": [], "findings": []}
"""What the first results files did not have."""


@dataclass(frozen=True)
class Column:
    """What claims were judged on: one checkpoint, several together, or none (``record`` is ``None``)."""

    name: str
    record: Record | None

    @property
    def made(self) -> Record:
        """How it was made; ``None`` for what is not known."""
        return self.record or dict.fromkeys(("sha256", "recipe", "seed", "step", "commit"))

    @property
    def single(self) -> bool:
        return self.record is not None and not _are_several(self.record)


@dataclass(frozen=True)
class Cell:
    """One verdict: its record, where it stands, and the key that its card is linked by."""

    record: Record
    column: Column

    @property
    def key(self) -> str:
        params = ",".join(f"{name}={value}" for name, value in sorted(self.record["params"].items()))
        return f"{self.record['id']}{params and f'[{params}]'}@{self.column.name}"

    @property
    def verdict(self) -> str:
        return str(self.record["verdict"])

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

    record: Record
    cells: dict[str, Cell] = field(default_factory=dict)
    over: dict[str, Cell] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return str(self.record["id"]).rpartition("/")[2]

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
        return self.counts["supported"]

    @cached_property
    def counts(self) -> Counter[str]:
        return Counter(cell.verdict for cell in self.cells.values())

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
        beside: its claims that are shown beside findings they rest on, by id.
        cards: its report card on each checkpoint, by the column's name.
    """

    system: str
    name: str
    rows: tuple[Row, ...]
    beside: Mapping[str, list[Record]]
    cards: Mapping[str, Card]

    @property
    def id(self) -> str:
        return f"{self.system}/{self.name}"

    @property
    def _records(self) -> list[Record]:
        return [*(row.record for row in self.rows), *(records[0] for records in self.beside.values())]

    @property
    def question(self) -> str:
        """Its story, without its name before it."""
        told = re.sub(r"^[\w\s'-]{1,60}: ", "", self._records[0]["story"])
        return told[:1].upper() + told[1:]

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
        beside = (record["verdict"] for records in self.beside.values() for record in records)
        return sum((row.counts for row in self.rows), Counter(beside))

    @property
    def holding(self) -> int:
        """How many of its findings are supported on more than half of the checkpoints they were judged on."""
        return sum(row.holds_on_most for row in self.rows)

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
    def along_training(self) -> dict[str, list[tuple[Row, Cell, list[Record]]]]:
        """By training run, the findings judged at three steps of it or more, each with the claim that says so."""
        runs: dict[str, list[tuple[Row, Cell, list[Record]]]] = {}
        for row in self.rows:
            for cell in row.over.values():
                judged = [one for one in cell.record["findings"][0]["judged"] if one["checkpoint"]]
                made = {(one["checkpoint"]["recipe"], one["checkpoint"]["seed"]) for one in judged}
                if len(made) == 1 and len({one["checkpoint"]["step"] for one in judged}) > 2:
                    ((recipe, seed),) = made
                    runs.setdefault(f"{recipe}, seed {seed}", []).append((row, cell, judged))
        return runs


@dataclass(frozen=True)
class SystemGrid:
    """The claims of one system: rows by mechanism, columns by checkpoint, and what is said over checkpoints."""

    name: str
    columns: tuple[Column, ...]
    over: tuple[str, ...]
    mechanisms: tuple[Mechanism, ...]

    @property
    def rows(self) -> list[Row]:
        return [row for mechanism in self.mechanisms for row in mechanism.rows]

    def counts(self, column: Column) -> Counter[str]:
        return Counter(row.cells[column.name].verdict for row in self.rows if column.name in row.cells)


class Grid:
    """All claims of one or several results files.

    Attributes:
        runs: the runs, the last one last.
        suite: how many sampled claims survive a false discovery rate, over all of them.
        columns: what was judged, in the order of its making.
        cells: every verdict.
        systems: the same, a system each.
    """

    def __init__(self, documents: Sequence[Record]) -> None:
        self.runs = [document["run"] for document in sorted(documents, key=_started)]
        whole = merged(documents)
        self.suite = whole["suite"]
        self.columns = _columns(whole["claims"])
        columns = {_weights(column.record): column for column in self.columns}
        self.cells = [Cell(record, columns[_weights(record["checkpoint"])]) for record in whole["claims"]]
        rows: dict[object, Row] = {}
        for cell in self.cells:
            row = rows.setdefault(finding_key(cell.record), Row(cell.record))
            row.cells[cell.column.name] = cell
        self._beside = _moved_beside_their_findings(rows)
        self.systems = self._systems(list(rows.values()))

    @property
    def counts(self) -> Counter[str]:
        return Counter(cell.verdict for cell in self.cells)

    @property
    def mechanisms(self) -> list[Mechanism]:
        return [mechanism for system in self.systems for mechanism in system.mechanisms]

    @property
    def kinds(self) -> list[str]:
        return sorted({cell.record["evidence_kind"] for cell in self.cells})

    @property
    def holding(self) -> dict[str, int]:
        """How many findings hold on every checkpoint that they were judged on, on some, and on none."""
        rows = [row for system in self.systems for row in system.rows if row.judged]
        every = sum(row.supported == row.judged for row in rows)
        none = sum(row.supported == 0 for row in rows)
        return {"all": len(rows), "every": every, "some": len(rows) - every - none, "none": none}

    @property
    def strongest(self) -> list[Row]:
        """The findings that hold on most checkpoints, those that hold on all of theirs first."""
        most = [row for system in self.systems for row in system.rows if row.holds_on_most]
        return sorted(most, key=lambda row: -row.supported / row.judged)

    def about(self, cell: Cell) -> object | None:
        """The finding that ``cell`` is shown beside, by its key; ``None`` where it stands in a row of its own."""
        return self._beside.get(cell.key)

    def _systems(self, rows: Sequence[Row]) -> list[SystemGrid]:
        found: dict[str, dict[str, list[Row]]] = {}
        for record in (cell.record for cell in self.cells):
            found.setdefault(record["system"], {}).setdefault(record["mechanism"], [])
        for row in rows:
            found[row.record["system"]][row.record["mechanism"]].append(row)
        systems = []
        for name, mechanisms in sorted(found.items()):
            of_system = [row for of_one in mechanisms.values() for row in of_one]
            systems.append(
                SystemGrid(
                    name,
                    tuple(column for column in self.columns if any(column.name in row.cells for row in of_system)),
                    tuple(sorted({said for row in of_system for said in row.over})),
                    tuple(self._mechanism(name, *mechanism) for mechanism in sorted(mechanisms.items())),
                )
            )
        return systems

    def _mechanism(self, system: str, name: str, rows: Sequence[Row]) -> Mechanism:
        beside: dict[str, list[Record]] = {}
        for cell in self.cells:
            if cell.key in self._beside and (cell.record["system"], cell.record["mechanism"]) == (system, name):
                beside.setdefault(cell.record["id"], []).append(cell.record)
        cards = {}
        for column in self.columns:
            here = [row for row in rows if column.name in row.cells]
            if column.single and here:
                over = [cell.record for row in here for cell in row.over.values()]
                cards[column.name] = card(
                    [row.cells[column.name].record for row in here],
                    [record for record in over if _rests_on(record, column)],
                )
        return Mechanism(system, name, tuple(rows), beside, cards)


def merged(documents: Sequence[Record]) -> Record:
    """Several results files as one: of two judgements of the same claim on the same weights, the later run's.

    Raises:
        ValueError: there are none.
    """
    if not documents:
        raise ValueError("there are no results to report. Expected one results file or more.")
    ordered = sorted(documents, key=_started)
    records: dict[object, Record] = {}
    for record in (record for document in ordered for record in document["claims"]):
        key = finding_key(record), _weights(record["checkpoint"])
        if record["verdict"] != "untested" or key not in records:  # judged before is judged
            records[key] = {**_LATER, **record}
    return results_document(ordered[-1]["run"], list(records.values()))


def _moved_beside_their_findings(rows: dict[object, Row]) -> dict[str, object]:
    """Take claims that rest on one other claim out of ``rows``, to stand beside it: by key, the finding they are about.

    A claim's only finding has to be in ``rows`` itself. What has no verdict of its own left is no row any more.
    """
    beside: dict[str, object] = {}
    for key, row in list(rows.items()):
        for column, cell in list(row.cells.items()):
            findings = cell.record["findings"]
            finding = finding_key(findings[0]) if len(findings) == 1 else key
            if finding != key and finding in rows:
                rows[finding].over[_said(cell.record)] = row.cells.pop(column)
                beside[cell.key] = finding
    for key in [key for key, row in rows.items() if not row.cells]:
        del rows[key]
    return beside


def _columns(records: Sequence[Record]) -> list[Column]:
    """Checkpoints by recipe, seed and step, then those judged together, then none; two of one name told apart."""
    found = {_weights(record["checkpoint"]): record["checkpoint"] for record in records}
    names = Counter(checkpoint["name"] for checkpoint in found.values() if checkpoint)

    def name(checkpoint: Record | None) -> str:
        if checkpoint is None:
            return "no checkpoint"
        return checkpoint["name"] + (f"@{checkpoint['sha256'][:12]}" if names[checkpoint["name"]] > 1 else "")

    def order(column: Column) -> tuple[Any, ...]:
        made = column.made
        numbers = ((made[number] is None, made[number] or 0) for number in ("seed", "step"))
        parts = [(int(part) if part.isdecimal() else -1, part) for part in re.split(r"(\d+)", column.name)]
        return column.record is None, not column.single, made["recipe"] or "", *numbers, parts

    return sorted((Column(name(checkpoint), checkpoint) for checkpoint in found.values()), key=order)


def _are_several(checkpoint: Record) -> bool:
    """Whether a record is of several checkpoints together; the first results files say so in the name alone."""
    told = re.fullmatch(r"\d+ checkpoints", checkpoint["name"]) and checkpoint["recipe"] is None
    return "members" in checkpoint or bool(told)


def _rests_on(record: Record, column: Column) -> bool:
    judged = [one for finding in record["findings"] for one in finding["judged"]]
    return _weights(column.record) in {_weights(one["checkpoint"]) for one in judged}


def _said(record: Record) -> str:
    """What a claim says of the one it rests on: its own name, and its parameters but for that one's name."""
    about = record["findings"][0]["id"].partition("/")[2]
    values = [value for value in record["params"].values() if value.partition("[")[0] != about]
    name = str(record["id"].rpartition("/")[2])
    return f"{name}: {', '.join(values)}" if values else name


def _weights(checkpoint: Record | None) -> tuple[str, str] | None:
    return (checkpoint["sha256"], checkpoint["name"]) if checkpoint else None


def _started(document: Record) -> str:
    return str(document["run"]["started"])
