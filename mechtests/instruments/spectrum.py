"""Periodicity of activations over operands that lie on a number line."""

import torch
from jaxtyping import Float
from torch import Tensor

SLOWEST = 3
"""Waves with fewer periods over the range than this are not told from a bend, and do not count as periodic."""


def top_power_share(grid: Float[Tensor, "target a b"], components: int) -> Float[Tensor, " target"]:
    """The share of a target's variance in its strongest ``components`` waves over the plane of operands.

    A wave is one frequency of the two-dimensional discrete Fourier transform together with its complex conjugate.
    """
    if not len(grid):
        return grid.new_zeros(0)  # the FFT library refuses an empty batch
    power = torch.fft.fft2(grid - grid.mean((-2, -1), keepdim=True)).abs().square().flatten(1)
    # Of each conjugate pair one stands for both. At frequency 0 and at the edge a wave is its own conjugate.
    place = torch.arange(power.shape[1], device=grid.device).reshape(grid.shape[1:])
    conjugate = place.flip(0, 1).roll((1, 1), (0, 1))
    waves = power * ((place == conjugate) + 2.0 * (place < conjugate)).flatten()
    varies = grid.amax((-2, -1)) > grid.amin((-2, -1))
    return torch.where(varies, waves.topk(components, 1).values.sum(1) / waves.sum(1), 0.0)


def periodicity_p_values(
    series: Float[Tensor, "target number"], draws: int, generator: torch.Generator
) -> Float[Tensor, " target"]:
    """For each series, a permutation p-value of "no frequency stands out".

    The statistic is the greatest power at one frequency of :data:`SLOWEST` periods or more; under the null the numbers'
    order means nothing, so the same permutations of the numbers are made for every series. Phipson & Smyth (2010) give
    the p-value ``(1 + as great) / (1 + draws)``.
    """

    def greatest(values: Tensor) -> Tensor:
        return torch.fft.rfft(values)[..., SLOWEST:].abs().square().amax(-1)

    orders = torch.stack([torch.randperm(series.shape[1], generator=generator) for _ in range(draws)])
    null: Float[Tensor, "target draw"] = greatest(series[:, orders.to(series.device)])
    return (1 + (null >= greatest(series).unsqueeze(1)).sum(1)) / (1 + draws)
