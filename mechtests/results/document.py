"""Whole results files: made of records, merged, read and written."""

import json
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from mechtests.files import write_text
from mechtests.inference import closed_e_benjamini_hochberg
from mechtests.results.record import (
    CheckpointRecord,
    ClaimRecord,
    ResultsDocument,
    RunRecord,
    SuiteRecord,
    finding_name,
)

SCHEMA = "mechtests/2"
FDR = 0.05
"""The share of false ones that is tolerated, on average, among the claims marked as surviving."""

MESSAGE = 200
"""Greatest length of what is quoted from a results file of the wrong form."""


class ResultsError(Exception):
    """A results file that cannot be read."""


def schema() -> dict[str, Any]:
    """The JSON Schema of a results file."""
    loaded: dict[str, Any] = json.loads((files("mechtests.results") / "results.schema.json").read_text())
    return loaded


def results_document(run: RunRecord, records: Sequence[ClaimRecord]) -> ResultsDocument:
    """A whole results file: the run, and its claims in the order of their ids, with those marked that survive.

    The false discovery rate is over the findings in which there is chance: those that are sampled, or compared with
    controls that are. Identities and claims over training runs are no such findings.
    """
    ordered = sorted(records, key=lambda record: (record["id"], str(record["params"]), str(record["checkpoint"])))
    e_values = {index: e for index, record in enumerate(ordered) if (e := record["combined_e_value"]) is not None}
    survives = dict(zip(e_values, closed_e_benjamini_hochberg(list(e_values.values()), FDR), strict=True))
    claims: list[ClaimRecord] = [
        {**record, "survives_fdr": survives.get(index)} for index, record in enumerate(ordered)
    ]
    errors = [max(found) for record in claims if record["verdict"] == "supported" and (found := _errors(record))]
    suite: SuiteRecord = {
        "fdr": FDR,
        "sampled": len(survives),
        "surviving": sum(survives.values()),
        "vacuity": max(errors, default=None),
    }
    return {"schema": SCHEMA, "run": run.copy(), "suite": suite, "claims": claims}


def _errors(record: ClaimRecord) -> list[float]:
    return [control["error"] for control in record["controls"] if control["redrawn"] and control["clear"]]


def merged(documents: Sequence[ResultsDocument]) -> ResultsDocument:
    """Several results files as one: of two judgements of the same claim on the same weights, the later run's.

    Raises:
        ValueError: there are none.
    """
    if not documents:
        raise ValueError("there are no results to report. Expected one results file or more.")
    ordered = sorted(documents, key=started)
    records: dict[object, ClaimRecord] = {}
    for record in (record for document in ordered for record in document["claims"]):
        key = finding_name(record), weights_key(record["checkpoint"])
        if record["verdict"] != "untested" or key not in records:  # a verdict outlasts a run that could reach none
            records[key] = record
    return results_document(ordered[-1]["run"], list(records.values()))


def started(document: ResultsDocument) -> str:
    """When the run of a results file began."""
    return document["run"]["started"]


def weights_key(checkpoint: CheckpointRecord | None) -> tuple[str, str] | None:
    """What makes two records speak of the same weights: the whole sha256, and the name."""
    return (checkpoint["sha256"], checkpoint["name"]) if checkpoint else None


def tested(document: ResultsDocument) -> list[tuple[ClaimRecord, CheckpointRecord]]:
    """The claims of a results file that have a verdict on a checkpoint, or on several, and that checkpoint."""
    return [
        (claim, claim["checkpoint"])
        for claim in document["claims"]
        if claim["checkpoint"] is not None and claim["verdict"] != "untested"
    ]


def read_results(path: Path) -> ResultsDocument:
    """The results file at ``path``.

    Raises:
        ResultsError: the file cannot be read, or is not of the form that ``results.schema.json`` describes.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    except OSError as error:
        raise ResultsError(f"{path}: {error.strerror}. Expected a results file, as every run writes one.") from error
    except ValueError as error:
        raise ResultsError(f"{path}: not a results file: {error}.") from error
    mismatch = best_match(Draft202012Validator(schema()).iter_errors(document))
    if mismatch is not None:
        message = mismatch.message if len(mismatch.message) <= MESSAGE else f"{mismatch.message[:MESSAGE]}…"
        raise ResultsError(f"{path}: not of the form {SCHEMA}: at {mismatch.json_path}, {message}")
    return cast("ResultsDocument", document)


def write_results(path: Path, document: ResultsDocument) -> None:
    """Write a results file atomically."""
    write_text(path, json.dumps(document, indent=1, allow_nan=False) + "\n")


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")
