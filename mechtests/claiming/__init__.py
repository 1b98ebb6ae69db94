"""What a user states: claims, the regions that decide them, and the controls where they should not hold."""

from mechtests.claiming.claim import (
    Claim,
    Control,
    Criterion,
    EvidenceKind,
    Source,
    claim,
    claim_of,
    default_parameters,
)
from mechtests.claiming.controls import instead, other, random_sets, shuffled_weights, system_argument, untrained
from mechtests.claiming.expectations import (
    ClaimError,
    Difference,
    Direction,
    Expectation,
    Mean,
    Monotone,
    Permutation,
    Rank,
    Rate,
    Value,
)

__all__ = [
    "Claim",
    "ClaimError",
    "Control",
    "Criterion",
    "Difference",
    "Direction",
    "EvidenceKind",
    "Expectation",
    "Mean",
    "Monotone",
    "Permutation",
    "Rank",
    "Rate",
    "Source",
    "Value",
    "claim",
    "claim_of",
    "default_parameters",
    "instead",
    "other",
    "random_sets",
    "shuffled_weights",
    "system_argument",
    "untrained",
]
