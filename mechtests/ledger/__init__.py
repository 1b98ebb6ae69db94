"""The ledger: the verdicts of all runs, in a database that several of them may write to at once."""

from mechtests.ledger.ledger import Ledger, LedgerError
from mechtests.ledger.timeline import PastRun, Timeline

__all__ = ["Ledger", "LedgerError", "PastRun", "Timeline"]
