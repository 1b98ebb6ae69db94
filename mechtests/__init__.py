"""mechtests: mechanistic claims about models as falsifiable tests."""

from mechtests.activations import Edit, replace, scale, zero
from mechtests.cache import remembered
from mechtests.checkpoints import CheckpointError
from mechtests.claim import Claim, Control, Source, claim
from mechtests.controls import instead, other, random_sets, shuffled_weights, untrained
from mechtests.evidence import Evidence
from mechtests.expectations import ClaimError, Difference, Exact, Mean, Monotone, Permutation, Rank, Rate
from mechtests.families import Family, Integer, Parameters, Real
from mechtests.models import system_fixture
from mechtests.replication import Finding, findings
from mechtests.systems import Head, System
from mechtests.verdict import Verdict

__all__ = [
    "CheckpointError",
    "Claim",
    "ClaimError",
    "Control",
    "Difference",
    "Edit",
    "Evidence",
    "Exact",
    "Family",
    "Finding",
    "Head",
    "Integer",
    "Mean",
    "Monotone",
    "Parameters",
    "Permutation",
    "Rank",
    "Rate",
    "Real",
    "Source",
    "System",
    "Verdict",
    "claim",
    "findings",
    "instead",
    "other",
    "random_sets",
    "remembered",
    "replace",
    "scale",
    "shuffled_weights",
    "system_fixture",
    "untrained",
    "zero",
]
