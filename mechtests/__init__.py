"""mechtests: mechanistic claims about models as falsifiable tests."""

from mechtests.cache import remembered
from mechtests.checkpoints import CheckpointError
from mechtests.claim import Claim, Control, Source, claim
from mechtests.controls import instead, other, random_sets, shuffled_weights, untrained
from mechtests.curve import Curve
from mechtests.evidence import Evidence
from mechtests.expectations import ClaimError, Difference, Exact, Mean, Monotone, Permutation, Rank, Rate
from mechtests.families import Drawing, Family, Integer, Parameters, Point, Real
from mechtests.interventions import Edit, Place, at, keep_only, mean, patch, replace, resample, scale, zero
from mechtests.models import checkpoint_kind, system_fixture
from mechtests.replication import Finding, findings
from mechtests.systems import Head, System
from mechtests.verdict import Verdict

__all__ = [
    "CheckpointError",
    "Claim",
    "ClaimError",
    "Control",
    "Curve",
    "Difference",
    "Drawing",
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
    "Place",
    "Point",
    "Rank",
    "Rate",
    "Real",
    "Source",
    "System",
    "Verdict",
    "at",
    "checkpoint_kind",
    "claim",
    "findings",
    "instead",
    "keep_only",
    "mean",
    "other",
    "patch",
    "random_sets",
    "remembered",
    "replace",
    "resample",
    "scale",
    "shuffled_weights",
    "system_fixture",
    "untrained",
    "zero",
]
