"""The table at the end of a run: one row a claim, over all the checkpoints it was judged on."""

import io
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby
from statistics import median
from typing import Any, TextIO

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mechtests.results.record import counterexample_text

Record = dict[str, Any]

SYMBOLS = {"supported": "✓", "refuted": "✗", "inconclusive": "?", "vacuous": "○", "untested": "-"}
"""A mark for each verdict, so that none is told by colour alone."""

_COLUMNS = {"verdict": 19, "claim": 35, "estimate": 28, "published": 15, "controls": 18}
"""The columns and their share of the width; one without content is left out."""

MANY = 8
"""A claim with more parameter sets than this is told in one row, unless every row is asked for."""

_PLAIN = box.Box("    \n    \n -- \n    \n    \n    \n    \n    \n", ascii=True)

_STYLES = {"supported": "green", "refuted": "red", "inconclusive": "yellow", "vacuous": "magenta", "untested": "dim"}


def print_claims(records: Sequence[Record], file: TextIO, width: int, colour: bool, each: bool) -> None:
    """Print a table of ``records`` for each mechanism, and the count of verdicts.

    Args:
        records: claims of a results file.
        file: where to.
        width: columns of the terminal.
        colour: whether ``file`` shows colours and lines.
        each: a row for every checkpoint and parameter, not one for all.
    """
    # A sign that the terminal has no code for is shown as ?, as pytest does, and never ends the run.
    if isinstance(file, io.TextIOWrapper):
        file.flush()
        file.reconfigure(errors="replace")
    console = Console(file=file, width=width, force_terminal=colour, no_color=not colour, highlight=False)
    sets: dict[str, set[str]] = {}
    for record in records:
        sets.setdefault(record["id"], set()).add(str(record["params"]))

    def row(record: Record) -> tuple[str, str]:
        if each:
            return _claim(record), _checkpoint(record)
        many = len(sets[record["id"]])
        return (_claim(record) if many <= MANY else f"{_name(record)} [{many} parameter sets: -v shows each]"), ""

    ordered = sorted(records, key=lambda record: (_mechanism(record), row(record)))
    for mechanism, rows in groupby(ordered, key=_mechanism):
        console.print(Text("\n" + " · ".join(mechanism), style="bold"))
        cells = [_cells(list(group), *which) for which, group in groupby(rows, key=row)]
        table = Table(box=box.SIMPLE_HEAD if colour else _PLAIN, padding=(0, 1), pad_edge=False, expand=True)
        told = [title for title in _COLUMNS if any(cell[title] for cell in cells)]
        for title in told:
            table.add_column(title, ratio=_COLUMNS[title], min_width=len(title), overflow="fold")
        for cell in cells:
            table.add_row(*(cell[title] for title in told))
        console.print(table)
    counts = Counter(record["verdict"] for record in records)
    words = [f"{counts[verdict]} {verdict}" for verdict in SYMBOLS if counts[verdict]]
    console.print(f"\n{len(records)} verdicts: {', '.join(words)}", markup=False)


def _cells(group: Sequence[Record], claim: str, checkpoint: str) -> dict[str, Text]:
    named = Text(claim)
    if checkpoint:
        named.append(f"\n{checkpoint}", style="dim")
        named.append("".join(f"\n{told}" for told in filter(None, map(counterexample_text, group))), style="dim")
    units = _units(group)
    estimate = Text(_estimate(group))
    estimate.append(f"\n{group[0]['expect']['region']}" + (f"; {units} units" if units else ""), style="dim")
    published = Text(_published(group[0]["published"]))
    cells = (_verdicts(group), named, estimate, published, _controls(group))
    return dict(zip(_COLUMNS, cells, strict=True))


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
        return f"{number(median(values))} ({number(min(values))} … {number(max(values))})"
    (only,) = [record for record in group if record["estimate"] is not None]
    return estimate_text(only)


def _units(group: Sequence[Record]) -> str:
    units = sorted({record["units"] for record in group if record["units"]})
    return "" if not units else f"{units[0]:,}" if len(units) == 1 else f"{units[0]:,} … {units[-1]:,}"


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
    return text


def _mechanism(record: Record) -> tuple[str, str, str]:
    return record["system"], record["mechanism"], record["story"]


def _name(record: Record) -> str:
    name: str = record["id"].rpartition("/")[2]
    return name


def _claim(record: Record) -> str:
    params = ", ".join(str(value) for value in record["params"].values())
    return _name(record) + (f" [{params}]" if params else "")


def _checkpoint(record: Record) -> str:
    return record["checkpoint"]["name"] if record["checkpoint"] else ""


def _published(value: float | str | None) -> str:
    return "" if value is None else value if isinstance(value, str) else number(value)


def estimate_text(record: Mapping[str, Any]) -> str:
    """The estimate of a claim of a results file with its interval; a dash where there is none."""
    if record["estimate"] is None:
        return "–"
    interval = record["interval"]
    return number(record["estimate"]) + (f" [{number(interval[0])}, {number(interval[1])}]" if interval else "")


def number(value: float) -> str:
    """``value`` to three digits, as tables show it."""
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.4g}"
