"""mechtests: mechanistic claims about models as falsifiable tests."""

from typing import Any

from mechtests.activations.interventions import Edit, Place, at, keep_only, mean, patch, replace, resample, scale, zero
from mechtests.cache import memoized
from mechtests.checkpoints import CheckpointError
from mechtests.claiming.claim import Claim, Control, Source, claim
from mechtests.claiming.controls import instead, other, random_sets, shuffled_weights, untrained
from mechtests.claiming.expectations import ClaimError, Difference, Mean, Monotone, Permutation, Rank, Rate, Value
from mechtests.families import Family, Integer, Parameters, Point, Real, Rendering
from mechtests.families.curve import Curve
from mechtests.judging.evidence import Evidence
from mechtests.judging.findings import Finding, findings
from mechtests.judging.verdict import Verdict
from mechtests.systems import Head, System
from mechtests.systems.registry import register_checkpoints

__all__ = [
    "CheckpointError",
    "Claim",
    "ClaimError",
    "Control",
    "Curve",
    "Difference",
    "Edit",
    "Evidence",
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
    "Rendering",
    "Source",
    "System",
    "Value",
    "Verdict",
    "at",
    "claim",
    "findings",
    "instead",
    "keep_only",
    "mean",
    "memoized",
    "other",
    "patch",
    "random_sets",
    "register_checkpoints",
    "replace",
    "resample",
    "scale",
    "shuffled_weights",
    "system_fixture",
    "untrained",
    "zero",
]


def __getattr__(name: str) -> Any:
    """``system_fixture`` belongs to the pytest plugin: without pytest nothing of it is loaded."""
    if name == "system_fixture":
        from mechtests.pytest_plugin.fixtures import system_fixture  # noqa: PLC0415

        return system_fixture
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
