"""Claims by checkpoints: what the HTML report shows of one or several results files, arranged for reading."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from mechtests.report.cells import Cell, Column, Mechanism, Row, SystemGrid
from mechtests.report.criteria import card
from mechtests.report.text import claim_name
from mechtests.results.document import merged, started, weights_key
from mechtests.results.record import CheckpointRecord, ClaimRecord, ResultsDocument, finding_name, weights_name


class Grid:
    """All claims of one or several results files.

    Attributes:
        runs: the runs, the last one last.
        suite: how many sampled claims survive a false discovery rate, over all of them.
        columns: what was judged, in the order of its making.
        cells: every verdict.
        systems: the same, by system.
    """

    def __init__(self, documents: Sequence[ResultsDocument]) -> None:
        self.runs = [document["run"] for document in sorted(documents, key=started)]
        whole = merged(documents)
        self.suite = whole["suite"]
        self.columns = _columns(whole["claims"])
        columns = {weights_key(column.record): column for column in self.columns}
        self.cells = [Cell(record, columns[weights_key(record["checkpoint"])]) for record in whole["claims"]]
        rows: dict[str, Row] = {}
        for cell in self.cells:
            row = rows.setdefault(cell.finding, Row(cell.record))
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
        """How many findings hold on every checkpoint that they were judged on, on some, on none; and identities."""
        judged = [row for system in self.systems for row in system.rows if row.judged]
        rows = [row for row in judged if not row.is_identity]
        identities = len(judged) - len(rows)
        every = sum(row.supported == row.judged for row in rows)
        none = sum(row.supported == 0 for row in rows)
        return {
            "all": len(rows),
            "every": every,
            "some": len(rows) - every - none,
            "none": none,
            "identities": identities,
        }

    @property
    def strongest(self) -> list[Row]:
        """The findings that hold on most checkpoints, those that hold on all of theirs first."""
        most = [row for system in self.systems for row in system.rows if row.holds_on_most and not row.is_identity]
        return sorted(most, key=lambda row: -row.supported / row.judged)

    def about(self, cell: Cell) -> str | None:
        """The name of the finding that ``cell`` is shown beside; ``None`` where it has a row of its own."""
        return self._beside.get(cell.key)

    def _systems(self, rows: Sequence[Row]) -> list[SystemGrid]:
        by_mechanism: dict[str, dict[str, list[Row]]] = {}
        for record in (cell.record for cell in self.cells):
            by_mechanism.setdefault(record["system"], {}).setdefault(record["mechanism"], [])
        for row in rows:
            by_mechanism[row.record["system"]][row.record["mechanism"]].append(row)
        systems = []
        for name, mechanisms in sorted(by_mechanism.items()):
            of_system = [row for of_mechanism in mechanisms.values() for row in of_mechanism]
            systems.append(
                SystemGrid(
                    name,
                    tuple(column for column in self.columns if any(column.name in row.cells for row in of_system)),
                    tuple(sorted({title for row in of_system for title in row.over})),
                    tuple(self._mechanism(name, *mechanism) for mechanism in sorted(mechanisms.items())),
                )
            )
        return systems

    def _mechanism(self, system: str, name: str, rows: Sequence[Row]) -> Mechanism:
        beside: dict[str, list[ClaimRecord]] = {}
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


def _moved_beside_their_findings(rows: dict[str, Row]) -> dict[str, str]:
    """Move the cells of claims that rest on one other finding out of their ``rows``, to be shown beside that finding.

    The finding has to be in ``rows`` itself. Rows without cells are removed.

    Returns:
        By the key of each cell that was moved, the finding it is about.
    """
    beside: dict[str, str] = {}
    for name, row in list(rows.items()):
        for column, cell in list(row.cells.items()):
            findings = cell.record["findings"]
            about = finding_name(findings[0]) if len(findings) == 1 else name
            if about != name and about in rows:
                rows[about].over[_title(cell.record)] = row.cells.pop(column)
                beside[cell.key] = about
    for name in [name for name, row in rows.items() if not row.cells]:
        del rows[name]
    return beside


def _columns(records: Sequence[ClaimRecord]) -> list[Column]:
    """Checkpoints by recipe, seed and step, then those judged together, then none; a sha256 tells namesakes apart."""
    checkpoints = {weights_key(record["checkpoint"]): record["checkpoint"] for record in records}
    names = Counter(checkpoint["name"] for checkpoint in checkpoints.values() if checkpoint)

    def name(checkpoint: CheckpointRecord | None) -> str:
        if checkpoint is None:
            return "no checkpoint"
        return weights_name(checkpoint) if names[checkpoint["name"]] > 1 else checkpoint["name"]

    def order(column: Column) -> tuple[Any, ...]:
        made = column.provenance
        numbers = ((number is None, number or 0) for number in (made["seed"], made["step"]))
        parts = [(int(part) if part.isdecimal() else -1, part) for part in re.split(r"(\d+)", column.name)]
        return column.record is None, not column.single, made["recipe"] or "", *numbers, parts

    return sorted((Column(name(checkpoint), checkpoint) for checkpoint in checkpoints.values()), key=order)


def _rests_on(record: ClaimRecord, column: Column) -> bool:
    judged = [one for finding in record["findings"] for one in finding["judged"]]
    return weights_key(column.record) in {weights_key(one["checkpoint"]) for one in judged}


def _title(record: ClaimRecord) -> str:
    """The column of a claim about another one: its own name, and its parameters except the one that names the other."""
    about = record["findings"][0]["id"].partition("/")[2]
    values = [value for value in record["params"].values() if value.partition("[")[0] != about]
    name = claim_name(record["id"])
    return f"{name}: {', '.join(values)}" if values else name
