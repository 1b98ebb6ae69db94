"""A mechanism's report card: which criteria its claims meet on one checkpoint, and the tier that follows.

Everything here is worked out from the claims of a results file and says no more than they do. Which claims fill which
criterion, and why, is in ``docs/design/criteria.md``. The criteria are after the "Mechanistic Validity" framework and
Shi et al., "Hypothesis Testing the Circuit Hypothesis in LLMs" (2024).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from mechtests.report.text import count
from mechtests.results.record import ClaimRecord, finding_name

CRITERIA = (
    "falsifiable",
    "necessity",
    "sufficiency",
    "specificity",
    "baseline separation",
    "reliability",
    "graded response",
    "robustness",
    "convergence",
)

TIERS: dict[str, tuple[str, ...]] = {
    "proposed": (),
    "causally suggestive": (),  # one of CAUSAL, in part at least
    "mechanistically supported": ("necessity", "sufficiency", "specificity", "baseline separation"),
    "triangulated": ("graded response", "convergence"),
    "validated": ("reliability", "robustness"),
}
"""From low to high, the criteria that each tier asks for beyond those of the tiers below it."""

CAUSAL = ("necessity", "sufficiency")


class Status(Enum):
    """How far a criterion is met."""

    MET = "met"
    PART = "met in part"
    FAILED = "not met"
    OPEN = "undecided"
    NONE = "no evidence"


@dataclass(frozen=True)
class Criterion:
    """One cell of the matrix: the status of a criterion, the claims that decide it, and what they come to."""

    name: str
    status: Status
    claims: tuple[str, ...] = ()
    summary: str = ""


@dataclass(frozen=True)
class Card:
    """A mechanism on one checkpoint.

    Attributes:
        criteria: all of them, in the order of ``CRITERIA``.
        tier: the highest tier that the criteria carry; ``None`` where none of the mechanism's claims is supported.
        missing: the criteria that the next tier asks for and that are not met.
    """

    criteria: tuple[Criterion, ...]
    tier: str | None
    missing: tuple[str, ...]


def card(claims: Sequence[ClaimRecord], replications: Sequence[ClaimRecord] = ()) -> Card:
    """The report card of a mechanism on one checkpoint.

    Args:
        claims: the mechanism's claims on that checkpoint, as a results file has them.
        replications: claims over several checkpoints that rest on the mechanism's claims.
    """
    criteria = (
        _falsifiable(claims),
        _necessity(claims),
        _stated(claims, "sufficiency"),
        _specificity(claims),
        _baselines(claims),
        _reliability(claims, replications),
        _stated(claims, "graded response"),
        _stated(claims, "robustness"),
        _convergence(claims),
    )
    held = any(claim["verdict"] == "supported" for claim in claims)
    tier, missing = _tier({criterion.name: criterion.status for criterion in criteria})
    return Card(criteria, tier if held else None, missing)


def _tier(status: dict[str, Status]) -> tuple[str, tuple[str, ...]]:
    if not any(status[name] in (Status.MET, Status.PART) for name in CAUSAL):
        return "proposed", CAUSAL
    reached = "causally suggestive"
    for tier, asked in list(TIERS.items())[2:]:
        if missing := tuple(name for name in asked if status[name] is not Status.MET):
            return reached, missing
        reached = tier
    return reached, ()


def _falsifiable(claims: Sequence[ClaimRecord]) -> Criterion:
    """Every claim has a region that would refute it: none can be written without one."""
    if not claims:
        return Criterion("falsifiable", Status.NONE)
    return Criterion("falsifiable", Status.MET, _ids(claims), f"{count(len(claims), 'claim')} with a decision region")


def _necessity(claims: Sequence[ClaimRecord]) -> Criterion:
    """Two methods of ablation or more: the parameter ``ablation`` names the method, and without it there is one."""
    criterion = _stated(claims, "necessity")
    supported = [claim for claim in _that_test(claims, "necessity") if claim["verdict"] == "supported"]
    methods = {claim["params"].get("ablation") for claim in supported}
    if criterion.status is Status.MET and len(methods) < 2:
        return Criterion("necessity", Status.PART, criterion.claims, f"{criterion.summary}, by one method of ablation")
    return criterion


def _specificity(claims: Sequence[ClaimRecord]) -> Criterion:
    """Claims that say so, and supported causal claims that no other component, one by one, does as well as."""
    compared = [
        claim
        for claim in claims
        if claim["verdict"] == "supported"
        and claim["evidence_kind"] == "causal"
        and claim["criterion"] != "specificity"
        and any(not control["redrawn"] for control in claim["controls"])
    ]
    return _decided("specificity", [*_that_test(claims, "specificity"), *compared])


def _baselines(claims: Sequence[ClaimRecord]) -> Criterion:
    """Controls drawn again and again: the model stands clear of two kinds of them, on every claim compared with any."""
    compared, not_clear, clear_of = [], [], set()
    for claim in claims:
        drawn = [control for control in claim["controls"] if control["redrawn"] and control["clear"] is not None]
        if drawn:
            compared.append(claim)
            clear_of |= {control["name"] for control in drawn if control["clear"]}
            if not all(control["clear"] for control in drawn):
                not_clear.append(claim)
    if not compared:
        return Criterion("baseline separation", Status.NONE)
    many = f"{len(compared) - len(not_clear)} of {count(len(compared), 'claim')} clear"
    summary = f"{many} of {' and '.join(sorted(clear_of))}" if clear_of else many
    enough = len(clear_of) > 1 and not not_clear
    status = Status.MET if enough else Status.PART if clear_of else Status.FAILED
    return Criterion("baseline separation", status, _ids(compared), summary)


def _reliability(claims: Sequence[ClaimRecord], replications: Sequence[ClaimRecord]) -> Criterion:
    """Of the findings supported here, those that a claim on their rate over training seeds supports."""
    here = {finding_name(claim) for claim in claims if claim["verdict"] == "supported"}
    rates = [
        record
        for record in replications
        if record["expect"]["kind"] == "rate" and any(finding_name(finding) in here for finding in record["findings"])
    ]
    return _decided("reliability", rates)


def _convergence(claims: Sequence[ClaimRecord]) -> Criterion:
    """Two kinds of evidence agree: all their claims are supported. In part where each supports one at least."""
    kinds: dict[str, list[bool]] = {}
    for claim in claims:
        if claim["verdict"] != "untested":
            kinds.setdefault(claim["evidence_kind"], []).append(claim["verdict"] == "supported")
    if len(kinds) < 2:
        return Criterion("convergence", Status.NONE)
    summary = ", ".join(f"{kind} {sum(held)} of {len(held)}" for kind, held in sorted(kinds.items()))
    agreeing, some = (sum(test(held) for held in kinds.values()) for test in (all, any))
    status = Status.MET if agreeing > 1 else Status.PART if some > 1 else Status.FAILED
    return Criterion("convergence", status, _ids(claims), summary)


def _stated(claims: Sequence[ClaimRecord], name: str) -> Criterion:
    return _decided(name, _that_test(claims, name))


def _that_test(claims: Sequence[ClaimRecord], name: str) -> list[ClaimRecord]:
    return [claim for claim in claims if claim["criterion"] == name]


def _decided(name: str, claims: Sequence[ClaimRecord]) -> Criterion:
    """Met where all are supported, in part where some are, and not met where one was put to the test and failed."""
    if not claims:
        return Criterion(name, Status.NONE)
    verdicts = [claim["verdict"] for claim in claims]
    held = verdicts.count("supported")
    failed = "refuted" in verdicts or "vacuous" in verdicts
    none_held = Status.FAILED if failed else Status.OPEN
    status = Status.MET if held == len(claims) else Status.PART if held else none_held
    return Criterion(name, status, _ids(claims), f"{held} of {count(len(claims), 'claim')} supported")


def _ids(claims: Sequence[ClaimRecord]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(claim["id"] for claim in claims))
