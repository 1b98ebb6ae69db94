"""Inference: intervals, e-values and permutation nulls, as pure functions of arrays and numbers."""

from mechtests.inference.confidence import Interval, mean_interval, rate_interval
from mechtests.inference.evidence_values import e_benjamini_hochberg, e_from_p, mean_e_value, rate_e_value
from mechtests.inference.permutation import permutation_p_value

__all__ = [
    "Interval",
    "e_benjamini_hochberg",
    "e_from_p",
    "mean_e_value",
    "mean_interval",
    "permutation_p_value",
    "rate_e_value",
    "rate_interval",
]
