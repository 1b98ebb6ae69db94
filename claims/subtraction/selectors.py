"""Which neurons a claim speaks of: functions from the system to a boolean mask over its neurons."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from claims.subtraction.source import PROBLEMS
from mechtests import memoized
from mechtests.instruments import LinearFit, linear_fit, top_power_share
from mechtests.systems import Subtraction

WAVES = 4
"""A neuron is periodic when this many waves over the plane of operands carry most of its variance."""


@memoized  # most claims ask for it, of every model and twin
def operand_fit(subtraction: Subtraction) -> LinearFit:
    """Each neuron's pre-activation at ``=`` as k_a·a + k_b·b + c, over all problems."""
    return linear_fit(PROBLEMS.grid, subtraction.preactivations(PROBLEMS))


def sign_relevant(subtraction: Subtraction) -> Bool[Tensor, " neuron"]:
    """Neurons whose fitted plane varies more than the layer's median pre-activation does, in standard deviation.

    The post counts a neuron when its slope makes the pre-activation vary by more than a bound, and the bound is lost.
    This one has no free constant and does not change when the layer is scaled.
    """
    fit = operand_fit(subtraction)
    return fit.r2.sqrt() * fit.spread > fit.spread.median()


def as_many_others(subtraction: Subtraction) -> Bool[Tensor, " neuron"]:
    """As many of the other neurons as there are sign-relevant ones, those that vary most; all where they are fewer."""
    relevant = sign_relevant(subtraction)
    spread = operand_fit(subtraction).spread.masked_fill(relevant, -1)
    chosen = spread.topk(min(int(relevant.sum()), int((~relevant).sum()))).indices
    return torch.zeros_like(relevant).index_fill(0, chosen, True)


@memoized
def periodic(subtraction: Subtraction) -> Bool[Tensor, " neuron"]:
    """Neurons with a linear R² below 0.05 and more than half of their variance in a few waves over the operands."""
    chosen = operand_fit(subtraction).r2 < 0.05
    grid: Float[Tensor, "neuron a b"] = subtraction.preactivations(PROBLEMS)[:, chosen].T.unflatten(1, (100, 100))
    return chosen.masked_scatter(chosen, top_power_share(grid, WAVES) > 0.5)
