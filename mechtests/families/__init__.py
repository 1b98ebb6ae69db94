"""Families: distributions of inputs, with one definition for sampling and for searching."""

from mechtests.families.family import Drawing, Family, Integer, Parameters, Point, Real
from mechtests.families.subtraction import Problems, SubtractionProblems

__all__ = ["Drawing", "Family", "Integer", "Parameters", "Point", "Problems", "Real", "SubtractionProblems"]
