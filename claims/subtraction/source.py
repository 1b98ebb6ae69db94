"""The post that the claims of this folder come from, and the population they speak of."""

from mechtests import Source
from mechtests.families import SubtractionProblems

POST = Source("How does a toy 2 digit subtraction transformer predict the sign of the output?")

PROBLEMS = SubtractionProblems().census()
"""All 10,000 problems ``a - b`` with operands from 0 to 99."""
