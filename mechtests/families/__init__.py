"""Families: distributions of inputs, with one definition for sampling and for searching."""

from mechtests.families.family import Drawing, Family, Integer, Parameters, Point, Real
from mechtests.families.induction import RepeatedSequences, RepeatedTokens
from mechtests.families.subtraction import Problems, SubtractionProblems

__all__ = [
    "Drawing",
    "Family",
    "Integer",
    "Parameters",
    "Point",
    "Problems",
    "Real",
    "RepeatedSequences",
    "RepeatedTokens",
    "SubtractionProblems",
]
