"""A comparison in words: one line, rows for tables, Markdown, a page."""

from collections.abc import Sequence

from mechtests.report.html import asset, environment
from mechtests.report.markdown import escaped, table
from mechtests.report.text import count, estimate_text, verdict_text
from mechtests.results.comparison import Change, Comparison, listed
from mechtests.results.side import Judged

COLUMNS = ("", "claim", "checkpoint", "verdict", "estimate", "note")


def summary(comparison: Comparison) -> str:
    """The comparison in one sentence."""
    c = comparison
    worse = sum(change.worse and not change.regression for change in c.verdicts)
    better = sum(change.better for change in c.verdicts)
    missing = sum(not change.regression for change in c.missing)
    parts = [count(len(c.regressions), "regression") if c.regressions else "no regression"]
    parts += [f"{count(worse, 'other verdict')} worse"] if worse else []
    parts += [f"{count(better, 'verdict')} better"] if better else []
    parts += [f"{count(len(c.estimates), 'estimate')} moved by more than the intervals allow"] if c.estimates else []
    parts += [f"{count(c.same, 'verdict')} as before"] if c.same else []
    parts += [f"{count(len(c.new), 'claim')} new"] if c.new else []
    parts += [f"{count(missing, 'claim')} not judged"] if missing else []
    return "; ".join(parts)


def remarks(comparison: Comparison) -> list[str]:
    """Which checkpoints were compared that have different names, and which were not."""
    lines = []
    if comparison.renamed:
        lines.append(f"compared: {listed([f'{now} with {was}' for now, was in comparison.renamed])}")
    if comparison.unmatched:
        lines.append(f"without a counterpart in {comparison.before}: {listed(comparison.unmatched)}")
    if comparison.left_out:
        lines.append(f"not judged in {comparison.after}: {listed(comparison.left_out)}")
    return lines


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
    """The tables to show: a title, and rows; tables without rows are left out."""
    changes_by_title = {
        "Verdicts that changed": comparison.verdicts,
        "Other estimates that moved by more than their intervals allow": [
            change for change in comparison.estimates if change not in comparison.verdicts
        ],
    }
    return [(title, rows(changes)) for title, changes in changes_by_title.items() if changes]


def comparison_markdown(comparison: Comparison) -> str:
    sentence = summary(comparison)
    lines = [
        f"### {escaped(comparison.before)} → {escaped(comparison.after)}",
        "",
        f"{sentence[0].upper()}{sentence[1:]}.",
        "",
    ]
    for title, cells in tables(comparison):
        lines += [f"#### {title}", "", *table(COLUMNS, cells), ""]
    lines += [f"{escaped(remark)}  " for remark in remarks(comparison)]
    return "\n".join(lines).rstrip() + "\n"


def comparison_html(comparison: Comparison) -> str:
    """A page that needs no other file and runs no script."""
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


def _verdict(judged: Judged | None) -> str:
    return "none" if judged is None else verdict_text(judged.verdict)


def _estimate(judged: Judged | None) -> str:
    return "–" if judged is None else estimate_text(judged.estimate, judged.interval)


def _then(before: str, after: str) -> str:
    return before if before == after else f"{before} → {after}"
