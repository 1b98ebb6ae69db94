"""What a run leaves behind: results as data, a table for the terminal, and a page to read."""

from mechtests.report.html import report_html, write_html
from mechtests.report.results import (
    ResultsError,
    checkpoint_record,
    claim_record,
    counterexample_text,
    extent_text,
    interventions_text,
    read_results,
    results_document,
    schema,
    untested_record,
    write_results,
)
from mechtests.report.terminal import print_claims

__all__ = [
    "ResultsError",
    "checkpoint_record",
    "claim_record",
    "counterexample_text",
    "extent_text",
    "interventions_text",
    "print_claims",
    "read_results",
    "report_html",
    "results_document",
    "schema",
    "untested_record",
    "write_html",
    "write_results",
]
