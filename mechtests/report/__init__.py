"""What a run leaves behind: results as data, and a table for the terminal."""

from mechtests.report.results import (
    checkpoint_record,
    claim_record,
    counterexample_text,
    extent_text,
    interventions_text,
    results_document,
    schema,
    untested_record,
    write_results,
)
from mechtests.report.terminal import print_claims

__all__ = [
    "checkpoint_record",
    "claim_record",
    "counterexample_text",
    "extent_text",
    "interventions_text",
    "print_claims",
    "results_document",
    "schema",
    "untested_record",
    "write_results",
]
