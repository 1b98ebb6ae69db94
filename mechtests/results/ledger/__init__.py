"""The ledger: the verdicts of all runs, in a database that several of them may write to at once."""

from mechtests.results.ledger.ledger import Ledger, LedgerError
from mechtests.results.ledger.timeline import PastRun, Timeline

__all__ = ["Ledger", "LedgerError", "PastRun", "Timeline"]
