"""Parameters of the families that claims are about, drawn for training, and their trajectories made ready for it."""

import math

import torch
from torch import Tensor

from mechtests.families.ode import Equations, Trajectories


def uniform(n: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(n, generator=generator, dtype=torch.float64)


def spread(n: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    """Uniform in the logarithm."""
    return uniform(n, math.log(low), math.log(high), generator).exp()


def signs(n: int, generator: torch.Generator) -> Tensor:
    return 2.0 * torch.randint(0, 2, (n,), generator=generator) - 1


def usable(trajectories: Trajectories) -> Trajectories:
    """The valid ones, rescaled, whose numbers are of a size that the model has words for."""
    made = trajectories[trajectories.valid].rescaled()
    system = sums_of_terms(made)
    largest = made.states.abs().amax((1, 2)), system.coefficients.abs().amax((1, 2)), system.frequency.abs().amax(1)
    return made[(torch.stack(largest) < 1e30).all(0)]


def sums_of_terms(trajectories: Trajectories) -> Equations:
    """Their system, of the one kind that can be written down."""
    if not isinstance(trajectories.system, Equations):
        raise TypeError(f"{type(trajectories.system).__name__}: expected a system that is a sum of terms.")
    return trajectories.system
