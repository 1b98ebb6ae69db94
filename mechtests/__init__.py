"""mechtests: mechanistic claims about models as falsifiable tests."""

from importlib import import_module
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
    "JudgedClaim",
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
    "emergence",
    "findings",
    "instead",
    "judge",
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
    "universality",
    "untrained",
    "zero",
]


_LOADED_LATER = {
    "JudgedClaim": "mechtests.notebook",
    "emergence": "mechtests.pytest_plugin.training_runs",
    "judge": "mechtests.notebook",
    "system_fixture": "mechtests.pytest_plugin.fixtures",
    "universality": "mechtests.pytest_plugin.training_runs",
}


def __getattr__(name: str) -> Any:
    """What needs pytest or the report is loaded when it is asked for: a claim file needs neither."""
    if name in _LOADED_LATER:
        return getattr(import_module(_LOADED_LATER[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
