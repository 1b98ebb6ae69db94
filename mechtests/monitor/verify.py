"""Judging checkpoints from scripts: the claims of their system, a report, and the changes since a baseline."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from mechtests.checkpoints import CheckpointError, read
from mechtests.files import write_text
from mechtests.report.badge import badge_svg
from mechtests.report.comparison import comparison_html, comparison_markdown
from mechtests.report.junit import junit_xml
from mechtests.report.markdown import escaped, table
from mechtests.report.text import SYMBOLS, verdict_text
from mechtests.results.comparison import Change, Comparison, compare
from mechtests.results.document import read_results, tested
from mechtests.results.record import ResultsDocument
from mechtests.results.side import Side, side_of

RESULTS, PAGE, CHANGES = "results.json", "index.html", "changes.html"
SUMMARY, JUNIT, BADGE = "summary.md", "junit.xml", "badge.svg"

_JUDGED = (0, 1)
"""pytest's exit codes of a run in which claims were judged: all as recorded, or not."""

_NO_TESTS = 5


class VerifyError(Exception):
    """Checkpoints that could not be judged: what was expected, what was found, what to do."""


@dataclass(frozen=True)
class Verified:
    """Judged checkpoints.

    Attributes:
        folder: where the report, the results and the other files are.
        document: the results file.
        comparison: what changed since the baseline, where there was one.
    """

    folder: Path
    document: ResultsDocument
    comparison: Comparison | None

    @property
    def regressed(self) -> bool:
        return bool(self.comparison and self.comparison.regressions)


@dataclass(frozen=True)
class Run:
    """How claims are judged.

    Attributes:
        claims: their path; by default ``claims/KIND`` or ``claims``, otherwise pytest's default.
        select: an expression that selects some of them, as for pytest's ``-k``.
        history: the arguments that name the ledger to which the run is added.
    """

    claims: Path | None = None
    select: str | None = None
    history: tuple[str, ...] = ()


def verify(named: Sequence[str], folder: Path, run: Run, baseline: Side | None = None) -> Verified:
    """Judge checkpoints, and write to ``folder`` the report, the results, JUnit XML, a summary and a badge.

    pytest runs in a separate process and writes to standard error.

    Args:
        named: the checkpoints' paths, or ``KIND=PATH`` as for pytest's ``--checkpoint``, for files without provenance.
        folder: where to write.
        run: how claims are judged.
        baseline: what to compare with. If only some claims are selected, the others do not count as missing.

    Raises:
        CheckpointError: a checkpoint cannot be used.
        ComparisonError: the baseline has nothing in common with them.
        VerifyError: no claim could be judged, or a kind's claims would be outside of ``claims``.
    """
    checkpoints = [_named(one) for one in named]
    kinds = list(dict.fromkeys(one.kind for one in checkpoints))
    (folder / RESULTS).unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-q", "-rN", *map(str, _places(kinds, run.claims))]
    for kind in kinds:
        command += [f"--claims-of={kind}"]
    for one in checkpoints:
        command += [f"--checkpoint={one.kind}={_as_glob(one.path)}"]
    command += [
        "--claims-results",
        str((folder / RESULTS).absolute()),
        "--claims-html",
        str((folder / PAGE).absolute()),
    ]
    command += ["-k", run.select] if run.select else []
    code = subprocess.run([*command, *run.history], stdout=sys.stderr, check=False).returncode
    if code == _NO_TESTS:
        raise VerifyError(f"no claim of {', '.join(kinds)} was selected. Name the folder with --claims, or change -k.")
    if code not in _JUDGED or not (folder / RESULTS).exists():
        raise VerifyError(f"pytest ended with code {code}; its output says why.")
    document = read_results(folder / RESULTS)
    _check_judged(document, checkpoints)
    comparison = None
    if baseline is not None:
        comparison = compare(baseline, side_of(document, str(folder / RESULTS)), missing_counts=run.select is None)
    verified = Verified(folder, document, comparison)
    _write(verified)
    return verified


class _Named(NamedTuple):
    kind: str
    path: Path
    sha256: str | None  # known if the file names its own system


def _named(named: str) -> _Named:
    kind, equals, path = ("", "", named) if Path(named).exists() else named.partition("=")
    if not equals:
        checkpoint, _ = read(Path(named))
        return _Named(checkpoint.provenance.system, checkpoint.path, checkpoint.sha256)
    if not Path(path).exists():
        raise CheckpointError(f"{named}: no such checkpoint. Expected a file, or KIND=PATH.")
    return _Named(kind, Path(path), None)


def _as_glob(path: Path) -> str:
    """A pattern that ``path`` alone matches."""
    return "".join(f"[{one}]" if one in "*?[" else one for one in os.path.abspath(path))


def _places(kinds: Sequence[str], given: Path | None) -> list[Path]:
    if given is not None:
        return [given]
    claims = Path("claims")
    own = [claims / kind for kind in kinds]
    for folder in own:
        # Pytest runs the conftest.py that it finds in a folder.
        if claims.resolve() not in folder.resolve().parents:
            raise VerifyError(f"{folder}: is outside {claims}, so its claims are not run. Name it with --claims.")
    if all(folder.is_dir() for folder in own):
        return own
    return [claims] if claims.is_dir() else []


def _check_judged(document: ResultsDocument, checkpoints: Sequence[_Named]) -> None:
    seen = {checkpoint["sha256"] for _, checkpoint in tested(document)}
    for one in checkpoints:
        if one.sha256 not in seen and (one.sha256 or not seen):
            reasons = (claim["reason"] for claim in document["claims"] if claim["verdict"] == "untested")
            raise VerifyError(f"{one.path}: no claim could be judged ({next(reasons, None) or 'none says why'}).")


def _write(verified: Verified) -> None:
    folder, document, comparison = verified.folder, verified.document, verified.comparison
    lost = {(change.finding, _weights_name(change)) for change in comparison.regressions} if comparison else set()
    write_text(folder / JUNIT, junit_xml(document, lost))
    write_text(folder / SUMMARY, summary_markdown(document, comparison))
    write_text(folder / BADGE, badge_of(document, comparison))
    if comparison:
        write_text(folder / CHANGES, comparison_html(comparison))


def _weights_name(change: Change) -> str:
    """The weights of a regression, as :func:`mechtests.results.record.weights_name` names them."""
    now = change.after
    if now is None:
        return change.checkpoint
    return f"{now.checkpoint}@{now.weights}" if now.checkpoint else "none"


def badge_of(document: ResultsDocument, comparison: Comparison | None = None) -> str:
    """The badge of a results file: how many verdicts are supported, and how many were lost since a baseline."""
    counts = Counter[str](claim["verdict"] for claim in document["claims"])
    supported = f"{counts['supported']} of {counts.total() - counts['untested']} supported"
    if comparison is None:
        return badge_svg("claims", supported, "open")
    lost = len(comparison.regressions)
    return badge_svg("claims", f"{supported}, {lost} lost" if lost else supported, "bad" if lost else "good")


def summary_markdown(document: ResultsDocument, comparison: Comparison | None = None) -> str:
    """A results file in a few lines of Markdown: what was judged, verdicts by mechanism, and what changed."""
    by_mechanism: dict[tuple[str, str], Counter[str]] = {}
    for claim in document["claims"]:
        by_mechanism.setdefault((claim["system"], claim["mechanism"]), Counter())[claim["verdict"]] += 1
    names = sorted({checkpoint["name"] for _, checkpoint in tested(document)})
    lines = [
        "## Mechanistic claims",
        "",
        f"Judged on {escaped(', '.join(names))}." if names else "Nothing was judged.",
        "",
    ]
    if comparison:
        lines += [comparison_markdown(comparison)]
    verdicts = [verdict for verdict in SYMBOLS if any(counts[verdict] for counts in by_mechanism.values())]
    rows = [
        (f"{system} · {name}", *(str(counts[verdict]) for verdict in verdicts))
        for (system, name), counts in by_mechanism.items()
    ]
    if rows:
        lines += ["### Verdicts", "", *table(("mechanism", *map(verdict_text, verdicts)), rows)]
    return "\n".join(lines).rstrip() + "\n"
