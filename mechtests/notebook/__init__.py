"""Claims judged in a script or a notebook, without pytest."""

from mechtests.notebook.judged_claim import JudgedClaim, judge

__all__ = ["JudgedClaim", "judge"]
