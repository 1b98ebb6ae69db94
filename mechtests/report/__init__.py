"""What a run leaves behind: results as data, and a table for the terminal."""

from mechtests.report.results import claim_record, results_document, schema, untested_record, write_results
from mechtests.report.terminal import print_claims

__all__ = ["claim_record", "print_claims", "results_document", "schema", "untested_record", "write_results"]
