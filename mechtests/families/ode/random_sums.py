"""Random systems: each right-hand side is a sum of a few random terms."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from mechtests.families.ode.equations import Equations, terms

Range = tuple[float, float]


def random_sums(
    n: int,
    dimension: int,
    most: int,
    generator: torch.Generator,
    size: Range = (0.05, 5.0),
    frequency: Range = (0.3, 3.0),
) -> Equations:
    """``n`` systems with one to ``most`` terms in each right-hand side.

    Terms are drawn without repetition: a variable is twice as likely as the constant, a square or a product, and six
    times as likely as a cube or a sine. Coefficients have random signs and sizes uniform in their logarithm.
    """
    kinds = terms(dimension)
    weight = torch.tensor(
        [
            0.35 if term.sine is not None or max(term.powers) == 3 else 2.0 if sum(term.powers) == 1 else 1.0
            for term in kinds
        ],
        dtype=torch.float64,
    )
    shape = (n, dimension, len(kinds))
    # The first places of a Gumbel-perturbed ranking are a draw without replacement (Vieira, 2014).
    uniform = torch.rand(shape, generator=generator, dtype=torch.float64).clamp(min=1e-300)
    rank = (weight.log() - (-uniform.log()).log()).argsort(-1, descending=True).argsort(-1)
    count = torch.randint(1, most + 1, (n, dimension, 1), generator=generator)
    sign = 2.0 * torch.randint(0, 2, shape, generator=generator) - 1
    coefficients = torch.where(rank < count, sign * _log_uniform(shape, size, generator), 0.0)
    return Equations(coefficients, _log_uniform((n, dimension), frequency, generator))


def _log_uniform(shape: tuple[int, ...], between: Range, generator: torch.Generator) -> Float[Tensor, "..."]:
    low, high = math.log(between[0]), math.log(between[1])
    return torch.exp(low + (high - low) * torch.rand(shape, generator=generator, dtype=torch.float64))
