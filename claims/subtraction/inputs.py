"""The population that the claims of this folder are about."""

from mechtests.families import SubtractionProblems

PROBLEMS = SubtractionProblems().census()
"""All 10,000 problems ``a - b`` with operands from 0 to 99."""

ANY_PROBLEM = SubtractionProblems(0).census()
"""The problem ``0 - 0``: one that stands for all where both operands are erased."""
