"""Records made of judgements."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import cast

from mechtests.claiming.claim import Claim
from mechtests.claiming.estimate import Estimate, more_units
from mechtests.families.curve import Curve
from mechtests.judging.control_result import ControlResult
from mechtests.judging.counterexamples import Counterexample
from mechtests.judging.judgement import Judgement
from mechtests.results.record import (
    CheckpointRecord,
    ClaimRecord,
    ClosestRecord,
    ControlRecord,
    CounterexampleRecord,
    ExpectRecord,
    FigureRecord,
    FindingRecord,
    finding_name,
)
from mechtests.systems.base import System


def claim_record(judgement: Judgement, checkpoint: CheckpointRecord | None, story: str, rerun: str) -> ClaimRecord:
    """One claim of a results file.

    Args:
        judgement: the verdict and what it rests on.
        checkpoint: what it was judged on, from :func:`checkpoint_record`.
        story: the mechanism's story, the first line of its test file.
        rerun: the command that judges this claim on this checkpoint again.
    """
    estimate, search = judgement.estimate, judgement.search
    return {
        **_unjudged(judgement.claim, judgement.params, checkpoint, story, rerun, judgement.reason),
        "verdict": judgement.verdict.value,
        "estimate": estimate.value if estimate else None,
        "interval": _interval(estimate),
        "units": estimate.units if estimate else 0,
        "e_value": _finite(estimate.e_value if estimate else None),
        "p_value": estimate.p_value if estimate else None,
        "controls": [_control(control) for control in judgement.controls],
        "support": judgement.support.value if judgement.support else None,
        "combined_e_value": _finite(judgement.combined_e_value),
        "counterexample": _counterexample(search.counterexample) if search and search.counterexample else None,
        "no_counterexample": search.reason if search else None,
        "interventions": list(judgement.interventions),
        "figures": [_figure(curve) for curve in judgement.curves],
        "trail": _trail(judgement.trail),
        "findings": _findings(judgement.rests_on),
        "seconds": round(judgement.seconds + (search.seconds if search else 0), 4),
    }


def untested_record(
    claim: Claim, params: Mapping[str, str], checkpoint: CheckpointRecord | None, story: str, rerun: str, reason: str
) -> ClaimRecord:
    """One claim that could not be judged, and why; ``checkpoint`` is ``None`` where none was loaded."""
    return _unjudged(claim, params, checkpoint, story, rerun, reason)


def checkpoint_record(systems: Sequence[System]) -> CheckpointRecord | None:
    """What a claim was judged on: one checkpoint and its provenance, or several under the sha256 of theirs.

    ``None`` where there is none: the claim's own test knows what it looked at.
    """
    if not systems:
        return None
    if len(systems) > 1:
        identities = "".join(sorted(system.identity for system in systems))
        return {
            "name": f"{len(systems)} checkpoints",
            "sha256": hashlib.sha256(identities.encode()).hexdigest(),
            "members": sorted(system.checkpoint.name if system.checkpoint else system.name for system in systems),
            "step": None,
            "seed": None,
            "recipe": None,
            "commit": None,
        }
    (system,) = systems
    if system.checkpoint is None:
        unknown: CheckpointRecord = {
            "name": system.name,
            "sha256": system.identity,
            "step": None,
            "seed": None,
            "recipe": None,
            "commit": None,
        }
        return unknown
    provenance = system.checkpoint.provenance
    return {
        "name": system.checkpoint.name,
        "sha256": system.checkpoint.sha256,
        "step": provenance.step,
        "seed": provenance.seed,
        "recipe": provenance.recipe,
        "commit": provenance.commit,
    }


def _unjudged(
    claim: Claim,
    params: Mapping[str, str],
    checkpoint: CheckpointRecord | None,
    story: str,
    rerun: str,
    reason: str | None,
) -> ClaimRecord:
    """What a claim states, and no verdict on it."""
    source = claim.source
    return {
        "id": claim.id,
        "system": claim.system,
        "mechanism": claim.mechanism,
        "story": story,
        "statement": claim.statement,
        "source": {"title": source.title, "authors": source.authors, "year": source.year, "at": source.at},
        "evidence_kind": claim.evidence_kind,
        "params": dict(params),
        "expect": _expect(claim),
        "published": claim.published,
        "criterion": claim.criterion,
        "rerun": rerun,
        "checkpoint": checkpoint,
        "verdict": "untested",
        "estimate": None,
        "interval": None,
        "units": 0,
        "e_value": None,
        "p_value": None,
        "controls": [],
        "support": None,
        "combined_e_value": None,
        "counterexample": None,
        "no_counterexample": None,
        "interventions": [],
        "figures": [],
        "trail": [],
        "findings": [],
        "seconds": 0.0,
        "reason": reason,
        "survives_fdr": None,
    }


def _expect(claim: Claim) -> ExpectRecord:
    expect = cast("ExpectRecord", {"kind": claim.expect.kind, "region": str(claim.expect), **claim.expect.ends()})
    if claim.expect.alpha is not None:
        expect["alpha"] = claim.expect.alpha
    return expect


def _trail(estimates: Sequence[Estimate]) -> list[list[float]]:
    """Units, estimate and interval as units came in: as many of them as a drawing needs."""
    drawn: list[Estimate] = []
    for estimate in estimates:
        if not drawn or estimate.units >= more_units(drawn[-1].units) or estimate is estimates[-1]:
            drawn.append(estimate)
    return [
        [estimate.units, *(float(f"{end:.5g}") for end in (estimate.value, estimate.low, estimate.high))]
        for estimate in drawn
    ]


def _findings(judgements: Sequence[Judgement]) -> list[FindingRecord]:
    """The judgements of other claims that a judgement rests on, by claim and parameters."""
    findings: dict[str, FindingRecord] = {}
    for judgement in judgements:
        claim, estimate = judgement.claim, judgement.estimate
        unseen: FindingRecord = {
            "id": claim.id,
            "params": dict(judgement.params),
            "expect": _expect(claim),
            "judged": [],
        }
        findings.setdefault(finding_name(unseen), unseen)["judged"].append(
            {
                "checkpoint": checkpoint_record([judgement.system] if judgement.system else []),
                "verdict": judgement.verdict.value,
                "estimate": estimate.value if estimate else None,
                "interval": _interval(estimate),
            }
        )
    return list(findings.values())


def _interval(estimate: Estimate | None) -> list[float] | None:
    return [estimate.low, estimate.high] if estimate and estimate.interval else None


def _control(control: ControlResult) -> ControlRecord:
    return {
        "name": control.name,
        "redrawn": control.redrawn,
        "draws": control.planned,
        "estimates": list(control.values),
        "reached": control.reached,
        "clear": control.clear,
        "margin": control.margin,
        "error": control.error,
        "e_value": None if math.isinf(control.e_value) else control.e_value,
        "closest": _closest(control),
    }


def _closest(control: ControlResult) -> ClosestRecord | None:
    if control.closest is None or control.ahead is None:
        return None
    ends = control.interval
    return {
        "draw": control.closest,
        "ahead": control.ahead,
        "interval": None if ends is None else [ends.lower, ends.upper],
    }


def _counterexample(counterexample: Counterexample) -> CounterexampleRecord:
    return {
        "parameters": dict(counterexample.point),
        "text": counterexample.drawing.text,
        "margin": counterexample.answer.margin,
        "raised": counterexample.answer.raised,
        "fails": {name: list(ends) for name, ends in counterexample.fails.items()},
        "figures": [_figure(curve) for curve in counterexample.drawing.curves],
    }


def _figure(curve: Curve) -> FigureRecord:
    return {"kind": "curve", "label": curve.label, "x": list(curve.x), "y": list(curve.y)}


def _finite(e_value: float | None) -> float | None:
    """JSON has no infinity: an overflowing e-value is written as the greatest number there is."""
    return None if e_value is None else min(e_value, math.nextafter(math.inf, 0))
