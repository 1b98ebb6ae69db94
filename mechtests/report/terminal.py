"""The table at the end of a run: one row a claim, over all the checkpoints it was judged on."""

from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from statistics import median
from typing import Any, TextIO

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

Record = dict[str, Any]

SYMBOLS = {"supported": "✓", "refuted": "✗", "inconclusive": "?", "vacuous": "○", "untested": "-"}
"""A mark for each verdict, so that none is told by colour alone."""

_STYLES = {"supported": "green", "refuted": "red", "inconclusive": "yellow", "vacuous": "magenta", "untested": "dim"}


def print_claims(records: Sequence[Record], file: TextIO, width: int, colour: bool, each: bool) -> None:
    """Print the table of ``records``.

    Args:
        records: claims of a results file.
        file: where to.
        width: columns of the terminal.
        colour: whether ``file`` shows colours and lines.
        each: a row for every checkpoint, not one for all.
    """
    console = Console(file=file, width=width, force_terminal=colour, no_color=not colour, highlight=False)
    table = Table(box=box.SIMPLE_HEAD if colour else box.ASCII2, padding=(0, 1), pad_edge=False)
    for title in ("verdict", "claim", "region"):
        table.add_column(title, overflow="fold")
    for title in ("estimate", "published", "units"):
        table.add_column(title, justify="right", overflow="fold")
    table.add_column("controls", overflow="fold")
    ordered = sorted(records, key=lambda record: (_claim(record), _checkpoint(record)))
    for _, group in groupby(ordered, key=lambda record: (_claim(record), _checkpoint(record) if each else "")):
        table.add_row(*_row(list(group), each))
    console.print(table)
    counts = Counter(record["verdict"] for record in records)
    words = [f"{counts[verdict]} {verdict}" for verdict in SYMBOLS if counts[verdict]]
    console.print(f"{len(records)} verdicts: {', '.join(words)}", markup=False)


def _row(group: Sequence[Record], each: bool) -> tuple[Text, Text, Text, Text, Text, Text, Text]:
    first = group[0]
    claim = Text(_claim(first))
    if each and first["checkpoint"]:
        claim.append(f"\n{_checkpoint(first)}", style="dim")
    return (
        _verdicts(group),
        claim,
        Text(first["expect"]["region"]),
        Text(_estimate(group)),
        Text(_published(first["published"])),
        Text(_units(group)),
        _controls(group),
    )


def _verdicts(group: Sequence[Record]) -> Text:
    counts = Counter(record["verdict"] for record in group)
    text = Text()
    for verdict, symbol in SYMBOLS.items():
        if counts[verdict]:
            many = f" {counts[verdict]}/{len(group)}" if len(group) > 1 else ""
            text.append(("\n" if text else "") + f"{symbol} {verdict}{many}", style=_STYLES[verdict])
    return text


def _estimate(group: Sequence[Record]) -> str:
    """The estimate with its interval; over several checkpoints the median, the least and the greatest."""
    values = [record["estimate"] for record in group if record["estimate"] is not None]
    if not values:
        return "–"
    if len(values) > 1:
        return f"{_number(median(values))} ({_number(min(values))} … {_number(max(values))})"
    (interval,) = [record["interval"] for record in group if record["estimate"] is not None]
    return _number(values[0]) + (f" [{_number(interval[0])}, {_number(interval[1])}]" if interval else "")


def _units(group: Sequence[Record]) -> str:
    units = sorted({record["units"] for record in group if record["units"]})
    return "–" if not units else str(units[0]) if len(units) == 1 else f"{units[0]} … {units[-1]}"


def _controls(group: Sequence[Record]) -> Text:
    """For each control, on how many of the checkpoints the claim stands clear of it."""
    clear, seen = Counter[str](), Counter[str]()
    for record in group:
        for control in record["controls"]:
            seen[control["name"]] += 1
            clear[control["name"]] += control["clear"]
    text = Text()
    for name, many in seen.items():
        told = "clear" if clear[name] == many else "not clear" if not clear[name] else f"clear {clear[name]}/{many}"
        text.append(("\n" if text else "") + f"{name}: {told}", style="" if clear[name] == many else _STYLES["vacuous"])
    return text if text else Text("–")


def _claim(record: Record) -> str:
    params = ", ".join(str(value) for value in record["params"].values())
    return record["id"] + (f" [{params}]" if params else "")


def _checkpoint(record: Record) -> str:
    return record["checkpoint"]["name"] if record["checkpoint"] else ""


def _published(value: float | str | None) -> str:
    return "–" if value is None else value if isinstance(value, str) else _number(value)


def _number(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.4g}"
