"""A comparison in words: one line, rows for tables, Markdown, a page."""

from collections.abc import Sequence

from mechtests.report.html import asset, environment
from mechtests.report.markdown import escaped, table
from mechtests.report.terminal import SYMBOLS, estimate_text
from mechtests.results.comparison import Change, Comparison, listed
from mechtests.results.side import Judged

COLUMNS = ("", "claim", "checkpoint", "verdict", "estimate", "note")


def summary(comparison: Comparison) -> str:
    """What there is to say, in a sentence."""
    c = comparison
    worse = sum(change.worse and not change.regression for change in c.verdicts)
    better = sum(change.better for change in c.verdicts)
    missing = sum(not change.regression for change in c.missing)
    told = [_many(len(c.regressions), "regression") if c.regressions else "no regression"]
    told += [f"{_many(worse, 'other verdict')} worse"] if worse else []
    told += [f"{_many(better, 'verdict')} better"] if better else []
    told += [f"{_many(len(c.estimates), 'estimate')} moved by more than the intervals allow"] if c.estimates else []
    told += [f"{_many(c.same, 'verdict')} as before"] if c.same else []
    told += [f"{_many(len(c.new), 'claim')} new"] if c.new else []
    told += [f"{_many(missing, 'claim')} not judged"] if missing else []
    return "; ".join(told)


def remarks(comparison: Comparison) -> list[str]:
    """Which checkpoints were compared that have different names, and which were not."""
    told = []
    if comparison.renamed:
        told.append(f"compared: {listed([f'{now} with {was}' for now, was in comparison.renamed])}")
    if comparison.unmatched:
        told.append(f"without a counterpart in {comparison.before}: {listed(comparison.unmatched)}")
    if comparison.left_out:
        told.append(f"not judged in {comparison.after}: {listed(comparison.left_out)}")
    return told


def rows(changes: Sequence[Change]) -> list[tuple[str, ...]]:
    """A row of ``COLUMNS`` for each change."""
    return [
        (
            _direction(change),
            change.finding,
            change.checkpoint,
            _then(_verdict(change.before), _verdict(change.after)),
            _then(_estimate(change.before), _estimate(change.after)),
            change.note,
        )
        for change in changes
    ]


def tables(comparison: Comparison) -> list[tuple[str, list[tuple[str, ...]]]]:
    """The tables to show: a title, and rows; those without rows are left out."""
    told = {
        "Verdicts that changed": comparison.verdicts,
        "Other estimates that moved by more than their intervals allow": [
            change for change in comparison.estimates if change not in comparison.verdicts
        ],
    }
    return [(title, rows(changes)) for title, changes in told.items() if changes]


def comparison_markdown(comparison: Comparison) -> str:
    told = summary(comparison)
    lines = [f"### {escaped(comparison.before)} → {escaped(comparison.after)}", "", f"{told[0].upper()}{told[1:]}.", ""]
    for title, shown in tables(comparison):
        lines += [f"#### {title}", "", *table(COLUMNS, shown), ""]
    lines += [f"{escaped(remark)}  " for remark in remarks(comparison)]
    return "\n".join(lines).rstrip() + "\n"


def comparison_html(comparison: Comparison) -> str:
    """A page that needs nothing else and runs nothing."""
    return (
        environment()
        .get_template("comparison.html")
        .render(
            comparison=comparison,
            summary=summary(comparison),
            remarks=remarks(comparison),
            tables=tables(comparison),
            columns=COLUMNS,
            style=asset("style.css"),
        )
    )


def _direction(change: Change) -> str:
    if change.regression:
        return "regression"
    return "worse" if change.worse else "better" if change.better else "moved" if change.moved else ""


def _verdict(one: Judged | None) -> str:
    return "none" if one is None else f"{SYMBOLS[one.verdict]} {one.verdict}"


def _estimate(one: Judged | None) -> str:
    return "–" if one is None else estimate_text({"estimate": one.estimate, "interval": one.interval})


def _then(before: str, after: str) -> str:
    return before if before == after else f"{before} → {after}"


def _many(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"
