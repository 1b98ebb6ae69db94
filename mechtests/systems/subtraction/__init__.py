"""The subtraction system: a one-layer transformer that reads ``a - b =``."""

from mechtests.systems.subtraction.adapter import (
    Subtraction,
    sign_correct,
    sign_difference,
    sign_loss,
    tokens_of,
)
from mechtests.systems.subtraction.transformer import MINUS, PLUS, POSITIONS

__all__ = ["MINUS", "PLUS", "POSITIONS", "Subtraction", "sign_correct", "sign_difference", "sign_loss", "tokens_of"]
