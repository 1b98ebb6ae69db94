"""Instruments: pure functions from activations or weights to numbers, on whatever device their arguments are.

Least squares, correlations, long sums, spectra and statistics of weights are worked out in float64 where the arguments
are, whatever type these have, and eigenvalues and least-squares solutions on the CPU: float32 sums of thousands of
terms differ from processor to processor.
"""

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
from mechtests.instruments.circuits import (
    Circuit,
    eigenvalue_positivity,
    ov_circuit,
    qk_circuit,
    token_match_circuit,
)
from mechtests.instruments.composition import composition_null, composition_scores
from mechtests.instruments.copying import copying_score
from mechtests.instruments.geometry import angle, relative_error
from mechtests.instruments.heads import Heads
from mechtests.instruments.linear import LinearFit, correlation, explained_variance, linear_fit, rank_correlation
from mechtests.instruments.paths import ScoreTerms, along_paths, attributions, score_terms
from mechtests.instruments.spectrum import periodicity_p_values, top_power_share

__all__ = [
    "Circuit",
    "Heads",
    "LinearFit",
    "ScoreTerms",
    "along_paths",
    "angle",
    "attention_pattern",
    "attention_to",
    "attributions",
    "causal_mask",
    "composition_null",
    "composition_scores",
    "copying_score",
    "correlation",
    "eigenvalue_positivity",
    "explained_variance",
    "induction_targets",
    "linear_fit",
    "ov_circuit",
    "periodicity_p_values",
    "prefix_matching_score",
    "previous_token_score",
    "previous_token_targets",
    "qk_circuit",
    "rank_correlation",
    "relative_error",
    "score_terms",
    "token_match_circuit",
    "top_power_share",
    "uniform_attention_to",
    "value_weighted",
]
