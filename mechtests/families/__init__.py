"""Families: distributions of inputs, with one definition for sampling and for searching."""

from mechtests.families.family import Family, Integer, Parameters, Real
from mechtests.families.induction import RepeatedSequences, RepeatedTokens
from mechtests.families.subtraction import Problems, SubtractionProblems

__all__ = [
    "Family",
    "Integer",
    "Parameters",
    "Problems",
    "Real",
    "RepeatedSequences",
    "RepeatedTokens",
    "SubtractionProblems",
]
