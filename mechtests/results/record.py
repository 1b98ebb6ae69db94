"""What a results file holds, typed as ``results.schema.json`` describes it, and the names of findings and weights."""

from typing import Literal, NotRequired, TypedDict

from mechtests.claiming.claim import Criterion, EvidenceKind
from mechtests.claiming.registry import Amendment

VerdictName = Literal["supported", "refuted", "inconclusive", "vacuous", "untested"]
"""The values of :class:`mechtests.judging.verdict.Verdict`, as they are written."""

SupportName = Literal["e-value and controls", "rank among controls", "exact", "training runs", "identity", "no control"]
"""The values of :class:`mechtests.judging.verdict.Support`, as they are written."""

DIGITS = 12
"""Digits of a sha256 that tell weights apart in names."""

# ---------------------------------------------------------------------------------------------------------------------
# The types


class RunRecord(TypedDict):
    """One run of pytest: when, where and with what settings."""

    id: str
    started: str  # ISO 8601, with a time zone
    seconds: float
    commit: str | None
    device: str
    versions: dict[str, str]
    seed: int
    alpha: float
    budget: int


class SuiteRecord(TypedDict):
    """How many of the findings with a combined e-value survive a false discovery rate.

    ``vacuity`` is the greatest chance, over the supported claims, that a model passes which is one more draw of the
    claim's controls.
    """

    fdr: float
    sampled: int
    surviving: int
    vacuity: float | None


class SourceRecord(TypedDict):
    """Where a claim comes from."""

    title: str
    authors: str
    year: int | None
    at: str


class ExpectRecord(TypedDict):
    """What is measured, and its decision region; ``alpha`` where the claim has an error rate of its own."""

    kind: str
    region: str
    at_least: NotRequired[float]
    above: NotRequired[float]
    at_most: NotRequired[float]
    below: NotRequired[float]
    alpha: NotRequired[float]


class CheckpointRecord(TypedDict):
    """What was judged: one checkpoint and its provenance, or several together, with the names of its ``members``."""

    name: str
    sha256: str
    step: int | None
    seed: int | None
    recipe: str | None
    commit: str | None
    members: NotRequired[list[str]]


class ClosestRecord(TypedDict):
    """The draw of a control that comes closest to the model, and by how much the model does more than it."""

    draw: int
    ahead: float
    interval: list[float] | None


class ControlRecord(TypedDict):
    """One control: the estimate of each draw, and whether the model does more; see ``ControlResult``.

    ``clear`` is null where no draw has a value. ``draws`` are those planned: drawing ends with the first that is
    reached.
    """

    name: str
    redrawn: bool
    draws: int
    estimates: list[float | None]
    reached: int
    clear: bool | None
    margin: float
    error: float
    e_value: float | None
    closest: ClosestRecord | None


class FigureRecord(TypedDict):
    """A curve to draw."""

    kind: Literal["curve"]
    label: str
    x: list[float]
    y: list[float]


class CounterexampleRecord(TypedDict):
    """The simplest input on which a claim fails, and how far around it the claim fails as well."""

    parameters: dict[str, float]
    text: str
    margin: float | None
    raised: str | None
    fails: dict[str, list[float]]
    figures: list[FigureRecord]


class JudgedRecord(TypedDict):
    """One judgement that another claim rests on."""

    checkpoint: CheckpointRecord | None
    verdict: VerdictName
    estimate: float | None
    interval: list[float] | None


class NamedRecord(TypedDict):
    """What names a finding: a claim and its parameters."""

    id: str
    params: dict[str, str]


class FindingRecord(NamedRecord):
    """A finding that another claim rests on, and its judgements."""

    expect: ExpectRecord
    judged: list[JudgedRecord]


class PlacedRecord(NamedRecord):
    """A finding on a checkpoint; on none where the claim's own test knows what it looked at."""

    checkpoint: CheckpointRecord | None


class VerdictRecord(PlacedRecord):
    """A verdict and its figures: what results files and the ledger both have."""

    system: str
    expect: ExpectRecord
    verdict: VerdictName
    estimate: float | None
    interval: list[float] | None
    units: int
    e_value: float | None
    p_value: float | None
    seconds: float
    reason: str | None


class ClaimRecord(VerdictRecord):
    """One claim of a results file: what it states, its verdict, and all that the verdict rests on.

    ``e_value`` is that of the region; ``combined_e_value`` that of the region and the controls together.
    ``registered`` is the day of its registration, and ``amendments`` what was changed since, where its suite has a
    registry.
    """

    mechanism: str
    story: str
    statement: str
    source: SourceRecord
    evidence_kind: EvidenceKind
    published: float | str | None
    criterion: Criterion | None
    registered: NotRequired[str]
    amendments: NotRequired[list[Amendment]]
    rerun: str
    controls: list[ControlRecord]
    support: SupportName | None
    combined_e_value: float | None
    counterexample: CounterexampleRecord | None
    no_counterexample: str | None
    interventions: list[str]
    figures: list[FigureRecord]
    trail: list[list[float]]
    findings: list[FindingRecord]
    survives_fdr: bool | None


class ResultsDocument(TypedDict):
    """A whole results file."""

    schema: str
    run: RunRecord
    suite: SuiteRecord
    claims: list[ClaimRecord]


# ---------------------------------------------------------------------------------------------------------------------
# The names of findings and checkpoints


def finding_name(record: NamedRecord) -> str:
    """``claim id[parameter=value,…]``: the same for all records of one finding, and for no other's."""
    params = ",".join(f"{name}={value}" for name, value in sorted(record["params"].items()))
    return record["id"] + (f"[{params}]" if params else "")


def weights_name(checkpoint: CheckpointRecord | None) -> str:
    """``checkpoint@sha256``, the sha256 in :data:`DIGITS` digits; ``none`` where there is no checkpoint."""
    return f"{checkpoint['name']}@{checkpoint['sha256'][:DIGITS]}" if checkpoint else "none"
