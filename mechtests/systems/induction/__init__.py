"""The induction system: an attention-only transformer on sequences that repeat their own past."""

from mechtests.systems.induction.adapter import Induction

__all__ = ["Induction"]
