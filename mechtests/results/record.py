"""Results as plain data: the contract for every reader, described by ``results.schema.json``."""

import hashlib
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from mechtests.claiming.claim import Claim
from mechtests.families.curve import Curve
from mechtests.inference import e_benjamini_hochberg
from mechtests.judging.counterexamples import Counterexample
from mechtests.judging.evidence import Estimate, more_units
from mechtests.judging.judge import Judgement
from mechtests.judging.verdict import ControlResult
from mechtests.systems.base import System

SCHEMA = "mechtests/1"
FDR = 0.05
"""The share of false ones that is tolerated, on average, among the claims marked as surviving."""

_TOLD = 4
"""So many interventions are told in words; the others are counted."""

MESSAGE = 200
"""Greatest length of what is quoted from a results file of the wrong form."""

Record = dict[str, Any]


class ResultsError(Exception):
    """A results file that cannot be read."""


_UNKNOWN = {"step": None, "seed": None, "recipe": None, "commit": None}


def schema() -> Record:
    """The JSON Schema of a results file."""
    loaded: Record = json.loads((files("mechtests.results") / "results.schema.json").read_text())
    return loaded


def claim_record(judgement: Judgement, checkpoint: Record | None, story: str, rerun: str) -> Record:
    """One claim of a results file.

    Args:
        judgement: the verdict and what it rests on.
        checkpoint: what it was judged on, from :func:`checkpoint_record`.
        story: the mechanism's story, the first line of its test file.
        rerun: the command that judges this claim on this checkpoint again.
    """
    estimate, search = judgement.estimate, judgement.search
    return {
        **_stated(judgement.claim, judgement.params, story, rerun),
        "checkpoint": checkpoint,
        "verdict": judgement.verdict.value,
        "estimate": estimate.value if estimate else None,
        "interval": _interval(estimate),
        "units": estimate.units if estimate else 0,
        "e_value": _finite(estimate.e_value) if estimate else None,
        "p_value": estimate.p_value if estimate else None,
        "controls": [_control(control) for control in judgement.controls],
        "counterexample": _counterexample(search.counterexample) if search and search.counterexample else None,
        "no_counterexample": search.reason if search else None,
        "interventions": list(judgement.interventions),
        "figures": [_curve(curve) for curve in judgement.curves],
        "trail": _trail(judgement.trail),
        "findings": _findings(judgement.rests_on),
        "seconds": round(judgement.seconds + (search.seconds if search else 0), 4),
        "reason": judgement.reason,
    }


def untested_record(
    claim: Claim, params: Mapping[str, str], checkpoint: Record | None, story: str, rerun: str, reason: str
) -> Record:
    """One claim that could not be judged, and why; ``checkpoint`` is ``None`` where none was loaded."""
    return {
        **_stated(claim, params, story, rerun),
        "checkpoint": checkpoint,
        "verdict": "untested",
        "estimate": None,
        "interval": None,
        "units": 0,
        "e_value": None,
        "p_value": None,
        "controls": [],
        "counterexample": None,
        "no_counterexample": None,
        "interventions": [],
        "figures": [],
        "trail": [],
        "findings": [],
        "seconds": 0.0,
        "reason": reason,
    }


def tested(document: Mapping[str, Any]) -> list[Record]:
    """The claims of a results file that have a verdict on a checkpoint, or on several."""
    return [claim for claim in document["claims"] if claim["checkpoint"] and claim["verdict"] != "untested"]


def checkpoint_record(systems: Sequence[System]) -> Record | None:
    """What a claim was judged on: one checkpoint and its provenance, or several under the sha256 of theirs.

    ``None`` where there is none: the claim's own test knows what it looked at.
    """
    if len(systems) != 1:
        identities = "".join(sorted(system.identity for system in systems))
        together = {
            "name": f"{len(systems)} checkpoints",
            "sha256": hashlib.sha256(identities.encode()).hexdigest(),
            "members": sorted(system.checkpoint.name if system.checkpoint else system.name for system in systems),
        }
        return {**together, **_UNKNOWN} if systems else None
    (system,) = systems
    if system.checkpoint is None:
        return {"name": system.name, "sha256": system.identity, **_UNKNOWN}
    made = system.checkpoint.provenance
    known = {"step": made.step, "seed": made.seed, "recipe": made.recipe, "commit": made.commit}
    return {"name": system.checkpoint.name, "sha256": system.checkpoint.sha256, **known}


def counterexample_text(record: Mapping[str, Any]) -> str | None:
    """The counterexample of a claim of a results file, or why it has none; ``None`` where none was searched for."""
    found, why_none = record["counterexample"], record["no_counterexample"]
    if found is None:
        return why_none and f"no counterexample: {why_none}"
    if found["raised"]:
        return f"simplest input that the claim's body cannot answer: {found['text']} ({found['raised']})"
    return f"simplest input on which it fails: {found['text']}"


def extent_text(record: Mapping[str, Any]) -> str | None:
    """By how much the claim fails on the counterexample of a claim of a results file, and how far around it."""
    if (found := record["counterexample"]) is None:
        return None
    by = "" if found["margin"] is None else f" by {-found['margin']:.4g}"
    ends = [
        f"with {name} " + (f"at {low:.4g} alone" if low == high else f"from {low:.4g} to {high:.4g}")
        for name, (low, high) in found["fails"].items()
    ]
    return f"it fails there{by}, and {', '.join(ends)}"


def interventions_text(record: Mapping[str, Any]) -> str | None:
    """What was changed in the model on the way, for a claim of a results file; ``None`` where nothing was."""
    edits = record["interventions"]
    if not edits:
        return None
    more = len(edits) - _TOLD
    return "; ".join(edits[:_TOLD]) + (f"; and {more} more" if more > 0 else "")


def results_document(run: Mapping[str, Any], records: Sequence[Record]) -> Record:
    """A whole results file: the run, and its claims in the order of their ids, with those marked that survive e-BH.

    A claim seen whole has no sampling error and no e-value; the false discovery rate is over the others.
    """
    ordered = sorted(records, key=lambda record: (record["id"], str(record["params"]), str(record["checkpoint"])))
    sampled = [index for index, record in enumerate(ordered) if record["e_value"] is not None]
    survives = e_benjamini_hochberg([ordered[index]["e_value"] for index in sampled], FDR)
    marks = dict(zip(sampled, survives, strict=True))
    claims = [{**record, "survives_fdr": marks.get(index)} for index, record in enumerate(ordered)]
    suite = {"fdr": FDR, "sampled": len(sampled), "surviving": sum(survives)}
    return {"schema": SCHEMA, "run": dict(run), "suite": suite, "claims": claims}


def read_results(path: Path) -> Record:
    """The results file at ``path``.

    Raises:
        ResultsError: the file cannot be read, or is not of the form that ``results.schema.json`` describes.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_number)
    except OSError as error:
        raise ResultsError(f"{path}: {error.strerror}. Expected a results file, as every run writes one.") from error
    except ValueError as error:
        raise ResultsError(f"{path}: not a results file: {error}.") from error
    wrong = best_match(Draft202012Validator(schema()).iter_errors(document))
    if wrong is not None:
        found = wrong.message if len(wrong.message) <= MESSAGE else f"{wrong.message[:MESSAGE]}…"
        raise ResultsError(f"{path}: not of the form {SCHEMA}: at {wrong.json_path}, {found}")
    return document


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def write_results(path: Path, document: Mapping[str, Any]) -> None:
    """Write a results file, whole or not at all."""
    write_text(path, json.dumps(document, indent=1, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(f".{os.getpid()}.tmp")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(path)


def _stated(claim: Claim, params: Mapping[str, str], story: str, rerun: str) -> Record:
    return {
        "id": claim.id,
        "system": claim.system,
        "mechanism": claim.mechanism,
        "story": story,
        "statement": claim.statement,
        "source": asdict(claim.source),
        "evidence_kind": claim.evidence_kind,
        "params": dict(params),
        "expect": _expected(claim),
        "published": claim.published,
        "criterion": claim.criterion,
        "rerun": rerun,
    }


def _expected(claim: Claim) -> Record:
    own = {} if claim.expect.alpha is None else {"alpha": claim.expect.alpha}
    return {"kind": claim.expect.kind, "region": str(claim.expect), **claim.expect.ends(), **own}


def _trail(estimates: Sequence[Estimate]) -> list[list[float]]:
    """Units, estimate and interval as units came in: as many of them as a drawing needs."""
    kept: list[Estimate] = []
    for estimate in estimates:
        if not kept or estimate.units >= more_units(kept[-1].units) or estimate is estimates[-1]:
            kept.append(estimate)
    return [
        [estimate.units, *(float(f"{end:.5g}") for end in (estimate.value, estimate.low, estimate.high))]
        for estimate in kept
    ]


def _findings(judgements: Sequence[Judgement]) -> list[Record]:
    """The judgements of other claims that a judgement rests on, by claim and parameters."""
    findings: dict[str, Record] = {}
    for judgement in judgements:
        claim, estimate = judgement.claim, judgement.estimate
        stated = {"id": claim.id, "params": dict(judgement.params), "expect": _expected(claim)}
        finding = findings.setdefault(f"{claim.id}{list(judgement.params.items())}", {**stated, "judged": []})
        finding["judged"].append(
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


def _control(control: ControlResult) -> Record:
    return {
        "name": control.name,
        "estimates": list(control.values),
        "reached": control.reached,
        "p_value": control.p_value,
        "clear": control.clear,
    }


def _counterexample(found: Counterexample) -> Record:
    return {
        "parameters": dict(found.point),
        "text": found.drawing.text,
        "margin": found.answer.margin,
        "raised": found.answer.raised,
        "fails": {name: list(ends) for name, ends in found.fails.items()},
        "figures": [_curve(curve) for curve in found.drawing.curves],
    }


def _curve(curve: Curve) -> Record:
    return {"kind": "curve", "label": curve.label, "x": curve.x, "y": curve.y}


def _finite(e_value: float | None) -> float | None:
    """JSON has no infinity: an overflowing e-value is written as the greatest number there is."""
    return None if e_value is None else min(e_value, math.nextafter(math.inf, 0))
