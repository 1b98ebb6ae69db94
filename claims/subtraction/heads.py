"""Which heads read which operand, and what they add to the neurons."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from claims.subtraction.inputs import PROBLEMS
from mechtests import Head
from mechtests.instruments import LinearFit, linear_fit
from mechtests.systems import Subtraction
from mechtests.systems.subtraction import POSITIONS

A, DASH, B, EQUALS = (POSITIONS[token] for token in ("a", "-", "b", "="))
OTHER_OPERAND = {"a": B, "b": A}


def reader(subtraction: Subtraction, operand: str) -> Head:
    """The head that attends most to an operand, on average over all problems."""
    return Head(0, int(subtraction.attention(PROBLEMS).mean(0)[:, POSITIONS[operand]].argmax()))


def mixed_heads(subtraction: Subtraction) -> Float[Tensor, "head position"]:
    """Mean attention of the heads that are the reader of neither operand."""
    readers = {reader(subtraction, operand) for operand in ("a", "b")}
    others = [head.index for head in subtraction.heads if head not in readers]
    return subtraction.attention(PROBLEMS).mean(0)[others]


def opposed_preference(attention: Float[Tensor, "head position"]) -> Float[Tensor, ""]:
    """How much one of the heads prefers a and another b: the smaller of the two preferences."""
    preference = attention[:, A] - attention[:, B]
    return torch.minimum(preference.max(), -preference.min())


def operand_slopes(subtraction: Subtraction, head: Head, neurons: Bool[Tensor, " neuron"]) -> LinearFit:
    """Linear fit of what attending to an operand adds to each of ``neurons``, on the operand's value."""
    contribution = subtraction.operand_to_neurons(head)[:, neurons]
    return linear_fit(PROBLEMS.b[: len(contribution)].unsqueeze(1).float(), contribution)
