"""The post that the claims of this folder come from."""

from mechtests import Source

POST = Source("How does a toy 2 digit subtraction transformer predict the sign of the output?")
