"""The audit: how often claims come out supported on models that never trained, where nothing is to be found."""

import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from scipy.stats import binomtest

from mechtests.report.markdown import table
from mechtests.results.document import read_results, tested
from mechtests.results.record import ClaimRecord

_TESTS_FAILED = (0, 1)
"""Codes with which pytest ends after it has judged: a claim that is refuted on a null model is what is expected."""

CONFIDENCE = 0.95


class AuditError(Exception):
    """Null models that could not be judged."""


@dataclass(frozen=True)
class Audited:
    """The verdicts of one claim, or of several together, on models that never trained.

    Attributes:
        name: the claim's id, or what is taken together.
        verdicts: how many there are of each.
        without_control: how many of the supported were compared with no control.
    """

    name: str
    verdicts: Counter[str]
    without_control: int

    @property
    def judged(self) -> int:
        return self.verdicts.total()

    @property
    def supported(self) -> int:
        return self.verdicts["supported"]

    @property
    def interval(self) -> tuple[float, float]:
        """Clopper and Pearson's interval for the share supported, as if verdicts were independent."""
        found = binomtest(self.supported, self.judged).proportion_ci(CONFIDENCE, "exact")
        return float(found.low), float(found.high)


def judge_nulls(places: Sequence[str], nulls: int) -> list[ClaimRecord]:
    """The claims that pytest finds in ``places``, judged on so many never-trained models of each kind.

    Args:
        places: files and folders, as pytest takes them.
        nulls: how many models of each kind.

    Raises:
        AuditError: pytest could not judge them; its output says why.
    """
    with TemporaryDirectory() as folder:
        results = Path(folder) / "results.json"
        command = [sys.executable, "-m", "pytest", "-q", "-rN", *places, f"--claims-nulls={nulls}"]
        command += [f"--claims-results={results}", f"--claims-html={folder}/index.html", "--no-claims-history"]
        code = subprocess.run(command, stdout=sys.stderr, check=False).returncode
        if code not in _TESTS_FAILED or not results.exists():
            raise AuditError(f"pytest ended with code {code}, and its output says why.")
        return [claim for claim, _ in tested(read_results(results))]


def audited(records: Iterable[ClaimRecord]) -> list[Audited]:
    """The verdicts by claim, those claims first that are supported most often; then all together.

    Identities hold on every model, and are left out.
    """
    verdicts: dict[str, Counter[str]] = {}
    without: Counter[str] = Counter()
    for record in records:
        if record["evidence_kind"] != "identity":
            verdicts.setdefault(record["id"], Counter())[record["verdict"]] += 1
            without[record["id"]] += record["support"] == "no control"
    each = [Audited(name, counts, without[name]) for name, counts in verdicts.items()]
    each.sort(key=lambda one: (-one.supported / one.judged, one.name))
    return [*each, Audited("all", sum(verdicts.values(), Counter()), without.total())] if each else []


def audit_markdown(each: Sequence[Audited]) -> str:
    """A table of the claims that were supported on any null model, and of all together."""
    rows = [
        (
            one.name,
            f"{one.judged:,}",
            f"{one.supported:,}",
            f"{one.without_control:,}",
            f"{one.verdicts['vacuous']:,}",
            "{:.2%} ({:.2%} to {:.2%})".format(one.supported / one.judged, *one.interval),
        )
        for one in each
        if one.supported or one is each[-1]
    ]
    heads = ("claim", "verdicts", "supported", "of these without a control", "vacuous", "share supported (95 %)")
    return "\n".join(table(heads, rows))
