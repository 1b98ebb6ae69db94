"""The claim-status report: one HTML file that needs nothing else, made from results files.

The page's text and tables are written here. The claims' records go along as JSON, and ``templates/card.js`` draws a
claim's card from them when it is opened. Whatever comes from a results file is text: the template escapes it, the
script sets it as text only, and by the page's own policy no script runs but that one and plotly. One claim's card is
also a page of its own, for notebooks.
"""

import base64
import hashlib
import zlib
from collections import Counter
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from mechtests.files import write_text
from mechtests.report.criteria import CRITERIA, Status
from mechtests.report.grid import Grid
from mechtests.report.text import LABELS, SYMBOLS, number, word_of
from mechtests.results.record import CheckpointRecord, ResultsDocument

if TYPE_CHECKING:  # a report without a history needs no database
    from mechtests.results.ledger import Timeline

DIGITS = 5
"""Significant digits of the numbers that cards are drawn from; the results file has them all."""

STATUS_SYMBOLS = {Status.MET: "✓", Status.PART: "◐", Status.FAILED: "✗", Status.OPEN: "?", Status.NONE: "·"}

_OF_A_CLAIM = (
    "id", "system", "mechanism", "story", "statement", "source", "evidence_kind", "criterion", "params", "expect",
    "published", "registered", "amendments",
)  # fmt: skip
_OF_A_VERDICT = (
    "verdict", "estimate", "interval", "units", "e_value", "p_value", "survives_fdr", "support", "combined_e_value",
    "controls", "counterexample", "no_counterexample", "interventions", "figures", "trail", "findings", "seconds",
    "reason", "rerun",
)  # fmt: skip


def report_html(documents: Sequence[ResultsDocument], history: "Timeline | None" = None) -> str:
    """The report of one or several results files.

    Args:
        documents: results files as data, of the form that ``results.schema.json`` describes. Where two judged the same
            claim on the same weights, the later run's verdict is shown.
        history: what the ledger knows of the runs before; shown where there are several.

    Raises:
        ValueError: there is no document.
    """
    grid = Grid(documents)
    script = _script("card.js", "report.js")
    plotly, plotly_hash = _plotly()
    data, indices = _data(grid)
    template = environment().get_template("report.html")
    return template.render(
        grid=grid,
        history=history if history and len(history.runs) > 1 else None,
        claim_index=lambda row: indices[row.finding],
        symbols=SYMBOLS,
        statuses=STATUS_SYMBOLS,
        criteria=CRITERIA,
        number=_readable,
        counter=Counter,
        count_verdicts=lambda records: Counter(map(word_of, records)),
        labels=LABELS,
        policy=_policy(_hash(script), plotly_hash),
        style=asset("style.css"),
        script=script,
        plotly=plotly,
        data=_as_json(data),
    )


def card_html(document: ResultsDocument) -> str:
    """The card of the one claim of a results file, as a page of its own; its figures are drawn without plotly.

    Raises:
        ValueError: there are several claims, or none.
    """
    (claim,) = document["claims"]
    data, _ = _data(Grid([document]))
    script = _script("card.js", "alone.js")
    return (
        environment()
        .get_template("card.html")
        .render(
            title=claim["statement"],
            policy=_policy(_hash(script)),
            style=asset("style.css"),
            script=script,
            data=_as_json(data),
        )
    )


def write_html(path: Path, documents: Sequence[ResultsDocument], history: "Timeline | None" = None) -> None:
    """Write the report of ``documents`` atomically."""
    write_text(path, report_html(documents, history))


@cache
def environment() -> Environment:
    """The environment that renders templates, each compiled once per process; every value is escaped as text."""
    return Environment(
        loader=PackageLoader("mechtests.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def asset(name: str) -> Markup:
    """A file beside the templates, to be put into a page without escaping."""
    return Markup((files("mechtests.report") / "templates" / name).read_text(encoding="utf-8").strip())


def _script(*names: str) -> Markup:
    """Files beside the templates as one script."""
    return Markup("\n\n").join(map(asset, names))


def _policy(*scripts: str) -> str:
    """A page may run these scripts, by their hashes, and ask nothing of anyone. plotly makes its own styles."""
    return (
        f"default-src 'none'; script-src {' '.join(scripts)}; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _as_json(data: dict[str, Any]) -> Markup:
    """``data`` as JSON that no HTML parser takes for anything but text."""
    return htmlsafe_json_dumps(data, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _data(grid: Grid) -> tuple[dict[str, Any], dict[str, int]]:
    """What the page's script draws from, and the index in it of each finding, by name."""
    indices: dict[str, int] = {}
    claims: list[dict[str, Any]] = []
    for cell in grid.cells:
        if indices.setdefault(cell.finding, len(claims)) == len(claims):
            claims.append({name: value for name, value in cell.record.items() if name in _OF_A_CLAIM})
    columns = {column.name: index for index, column in enumerate(grid.columns)}
    checkpoints: list[dict[str, Any]] = [
        {**(column.record or {}), "name": column.name, "single": column.single} for column in grid.columns
    ]
    known = {str(column.record): index for index, column in enumerate(grid.columns)}
    cells = []
    for cell in grid.cells:
        about = grid.about(cell)
        shown: dict[str, Any] = {name: value for name, value in cell.record.items() if name in _OF_A_VERDICT}
        shown["verdict"] = cell.verdict
        shown |= {"key": cell.key, "claim": indices[cell.finding], "on": columns[cell.column.name]}
        shown |= {"about": None if about is None else indices[about]}
        shown["findings"] = [
            {
                **finding,
                "judged": [
                    {**judged, "checkpoint": _index(judged["checkpoint"], known, checkpoints)}
                    for judged in finding["judged"]
                ],
            }
            for finding in cell.record["findings"]
        ]
        cells.append({name: _short(value) for name, value in shown.items() if value not in (None, [], ())})
    alphas = {run["alpha"] for run in grid.runs}
    return {
        "symbols": SYMBOLS,
        "labels": LABELS,
        "alpha": alphas.pop() if len(alphas) == 1 else None,
        "fdr": grid.suite["fdr"],
        "checkpoints": checkpoints,
        "claims": claims,
        "cells": cells,
    }, indices


def _readable(value: float) -> str:
    """A number as the terminal shows it, with a minus sign and a power of ten in typographic characters."""
    front, _, power = number(value).replace("-", "−").partition("e")
    raised = str(int(power.replace("−", "-"))).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")) if power else ""
    return f"{front} × 10{raised}" if power else front


def _index(checkpoint: CheckpointRecord | None, known: dict[str, int], checkpoints: list[dict[str, Any]]) -> int:
    """The index of a checkpoint in ``checkpoints``; one that no claim of the grid was judged on alone is added."""
    if known.setdefault(str(checkpoint), len(checkpoints)) == len(checkpoints):
        checkpoints.append(dict(checkpoint or {"name": "a model"}))
    return known[str(checkpoint)]


def _short(value: Any) -> Any:
    """``value`` with its numbers to as many digits as a drawing shows."""
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    if isinstance(value, dict):
        return {name: _short(part) for name, part in value.items()}
    return [_short(part) for part in value] if isinstance(value, list | tuple) else value


@cache
def _plotly() -> tuple[str, str]:
    """plotly.js, compressed and as text, and its hash. The page unpacks and runs it when the first figure is drawn."""
    from plotly.offline import get_plotlyjs  # noqa: PLC0415 - only for a report, and slow to load

    code: str = get_plotlyjs()
    return base64.b64encode(zlib.compress(code.encode())).decode(), _hash(code)


def _hash(code: str) -> str:
    """A script's hash, as a content security policy has it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()}'"
