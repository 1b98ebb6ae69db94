"""Families: distributions of inputs, with one definition for sampling and for searching."""

from mechtests.families.family import Family, Integer, Parameters, Real
from mechtests.families.subtraction import Problems, SubtractionProblems

__all__ = ["Family", "Integer", "Parameters", "Problems", "Real", "SubtractionProblems"]
