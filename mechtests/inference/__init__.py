"""Inference: intervals, e-values and permutation nulls, as pure functions of arrays and numbers, and what follows a
value unit by unit: :class:`RateProcess` and :class:`MeanProcess`.
"""

from mechtests.inference.confidence import Interval, mean_interval, rate_interval
from mechtests.inference.control_e_values import ControlDraws, control_e_value, vacuity_error
from mechtests.inference.discoveries import closed_e_benjamini_hochberg, partial_conjunction_e_value
from mechtests.inference.evidence_values import e_benjamini_hochberg, e_from_p, mean_e_value, rate_e_value
from mechtests.inference.mean_process import MeanProcess
from mechtests.inference.permutation import permutation_e_value, permutation_p_value
from mechtests.inference.processes import Region, SequentialProcess
from mechtests.inference.rate_process import RateProcess
from mechtests.inference.replication import (
    Posterior,
    Replication,
    rate_posterior,
    replication,
    replication_process,
    seeds_needed,
    tolerance_factor,
    tolerance_limits,
)

__all__ = [
    "ControlDraws",
    "Interval",
    "MeanProcess",
    "Posterior",
    "RateProcess",
    "Region",
    "Replication",
    "SequentialProcess",
    "closed_e_benjamini_hochberg",
    "control_e_value",
    "e_benjamini_hochberg",
    "e_from_p",
    "mean_e_value",
    "mean_interval",
    "partial_conjunction_e_value",
    "permutation_e_value",
    "permutation_p_value",
    "rate_e_value",
    "rate_interval",
    "rate_posterior",
    "replication",
    "replication_process",
    "seeds_needed",
    "tolerance_factor",
    "tolerance_limits",
    "vacuity_error",
]
