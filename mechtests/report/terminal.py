"""The table at the end of a run: one row per claim, over all the checkpoints it was judged on."""

import io
from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from statistics import median
from typing import TextIO

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mechtests.report.text import (
    LABELS,
    NO_CONTROL,
    SYMBOLS,
    checkpoint_text,
    claim_name,
    counterexample_text,
    estimate_text,
    number,
    printable,
    published_text,
    verdict_text,
    word_of,
)
from mechtests.results.record import ClaimRecord

_COLUMNS = {"verdict": 19, "claim": 35, "estimate": 28, "published": 15, "controls": 18}
"""The columns and their share of the width; one without content is left out."""

MANY = 8
"""A claim with more parameter sets than this has one row, unless every row is asked for."""

_PLAIN = box.Box("    \n    \n -- \n    \n    \n    \n    \n    \n", ascii=True)

_STYLES = {
    "supported": "green",
    NO_CONTROL: "cyan",
    "refuted": "red",
    "inconclusive": "yellow",
    "vacuous": "magenta",
    "untested": "dim",
}


def print_claims(records: Sequence[ClaimRecord], file: TextIO, width: int, colour: bool, each: bool) -> None:
    """Print a table of ``records`` for each mechanism, and the count of verdicts.

    Args:
        records: claims of a results file.
        file: where to print.
        width: columns of the terminal.
        colour: whether ``file`` shows colours and lines.
        each: one row per checkpoint and parameter set, in place of one per claim.
    """
    # A character that the terminal has no code for is shown as ?, as pytest does, and never ends the run.
    if isinstance(file, io.TextIOWrapper):
        file.flush()
        file.reconfigure(errors="replace")
    console = Console(file=file, width=width, force_terminal=colour, no_color=not colour, highlight=False)
    sets: dict[str, set[str]] = {}
    for record in records:
        sets.setdefault(record["id"], set()).add(str(record["params"]))

    def row(record: ClaimRecord) -> tuple[str, str]:
        if each:
            return _claim(record), checkpoint_text(record)
        many = len(sets[record["id"]])
        one_row = f"{claim_name(record['id'])} [{many} parameter sets: -v shows each]"
        return (_claim(record) if many <= MANY else one_row), ""

    ordered = sorted(records, key=lambda record: (_mechanism(record), row(record)))
    for mechanism, rows in groupby(ordered, key=_mechanism):
        console.print(Text("\n" + printable(" · ".join(mechanism)), style="bold"))
        cells = [_cells(list(group), *which) for which, group in groupby(rows, key=row)]
        table = Table(box=box.SIMPLE_HEAD if colour else _PLAIN, padding=(0, 1), pad_edge=False, expand=True)
        titles = [title for title in _COLUMNS if any(cell[title] for cell in cells)]
        for title in titles:
            table.add_column(title, ratio=_COLUMNS[title], min_width=len(title), overflow="fold")
        for cell in cells:
            table.add_row(*(cell[title] for title in titles))
        console.print(table)
    counts = Counter(map(word_of, records))
    words = [f"{counts[word]} {LABELS[word]}" for word in SYMBOLS if counts[word]]
    console.print(f"\n{len(records)} verdicts: {', '.join(words)}", markup=False)


def _cells(group: Sequence[ClaimRecord], claim: str, checkpoint: str) -> dict[str, Text]:
    named = Text(printable(claim))
    if checkpoint:
        for line in filter(None, (checkpoint, *map(counterexample_text, group))):
            named.append(f"\n{printable(line)}", style="dim")
    units = _units(group)
    estimate = Text(_estimate(group))
    estimate.append(f"\n{printable(group[0]['expect']['region'])}" + (f"; {units} units" if units else ""), style="dim")
    published = Text(printable(published_text(group[0]["published"])))
    cells = (_verdicts(group), named, estimate, published, _controls(group))
    return dict(zip(_COLUMNS, cells, strict=True))


def _verdicts(group: Sequence[ClaimRecord]) -> Text:
    counts = Counter(map(word_of, group))
    text = Text()
    for word in SYMBOLS:
        if counts[word]:
            many = f" {counts[word]}/{len(group)}" if len(group) > 1 else ""
            text.append(("\n" if text else "") + f"{verdict_text(word)}{many}", style=_STYLES[word])
    return text


def _estimate(group: Sequence[ClaimRecord]) -> str:
    """The estimate with its interval; over several checkpoints the median (min … max)."""
    values = [record["estimate"] for record in group if record["estimate"] is not None]
    if not values:
        return "–"
    if len(values) > 1:
        return f"{number(median(values))} ({number(min(values))} … {number(max(values))})"
    (only,) = [record for record in group if record["estimate"] is not None]
    return estimate_text(only["estimate"], only["interval"])


def _units(group: Sequence[ClaimRecord]) -> str:
    units = sorted({record["units"] for record in group if record["units"]})
    return "" if not units else f"{units[0]:,}" if len(units) == 1 else f"{units[0]:,} … {units[-1]:,}"


def _controls(group: Sequence[ClaimRecord]) -> Text:
    """For each control, on how many of the checkpoints the claim stands clear of it."""
    clear, compared, seen = Counter[str](), Counter[str](), Counter[str]()
    for record in group:
        for control in record["controls"]:
            seen[control["name"]] += 1
            compared[control["name"]] += control["clear"] is not None
            clear[control["name"]] += control["clear"] is True
    text = Text()
    for name, many in seen.items():
        status = "clear" if clear[name] == many else "not clear" if not clear[name] else f"clear {clear[name]}/{many}"
        if not compared[name]:
            status = "undefined"
        line = f"{printable(name)}: {status}"
        text.append(("\n" if text else "") + line, style="" if clear[name] == many else _STYLES["vacuous"])
    return text


def _mechanism(record: ClaimRecord) -> tuple[str, str, str]:
    return record["system"], record["mechanism"], record["story"]


def _claim(record: ClaimRecord) -> str:
    params = ", ".join(str(value) for value in record["params"].values())
    return claim_name(record["id"]) + (f" [{params}]" if params else "")
