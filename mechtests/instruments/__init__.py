"""Instruments: pure functions from activations or weights to numbers, on whatever device their arguments are."""

from mechtests.instruments.attention import (
    attention_pattern,
    attention_to,
    causal_mask,
    induction_targets,
    prefix_matching_score,
    previous_token_score,
    previous_token_targets,
    uniform_attention_to,
    value_weighted,
)
from mechtests.instruments.geometry import angle
from mechtests.instruments.linear import LinearFit, correlation, linear_fit
from mechtests.instruments.spectrum import periodicity_p_values, top_power_share

__all__ = [
    "LinearFit",
    "angle",
    "attention_pattern",
    "attention_to",
    "causal_mask",
    "correlation",
    "induction_targets",
    "linear_fit",
    "periodicity_p_values",
    "prefix_matching_score",
    "previous_token_score",
    "previous_token_targets",
    "top_power_share",
    "uniform_attention_to",
    "value_weighted",
]
