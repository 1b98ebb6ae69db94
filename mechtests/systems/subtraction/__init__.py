"""The subtraction system: a one-layer transformer that reads ``a - b =``."""

from mechtests.systems.subtraction.adapter import (
    EMBEDDINGS,
    HEAD_OUTPUTS,
    NEURONS,
    PATTERN,
    PREACTIVATIONS,
    RESIDUAL_MID,
    Subtraction,
    embedding_of,
    sign_correct,
    sign_difference,
    sign_loss,
    sign_margin,
    tokens_of,
)
from mechtests.systems.subtraction.transformer import MINUS, PLUS, POSITIONS

__all__ = [
    "EMBEDDINGS",
    "HEAD_OUTPUTS",
    "MINUS",
    "NEURONS",
    "PATTERN",
    "PLUS",
    "POSITIONS",
    "PREACTIVATIONS",
    "RESIDUAL_MID",
    "Subtraction",
    "embedding_of",
    "sign_correct",
    "sign_difference",
    "sign_loss",
    "sign_margin",
    "tokens_of",
]
