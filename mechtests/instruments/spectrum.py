"""Periodicity of activations over operands that lie on a number line, worked out in float64."""

import torch
from jaxtyping import Float
from torch import Tensor

SLOWEST = 3
"""Waves with fewer periods over the range than this cannot be told from a bend, and do not count as periodic."""

NEIGHBOURS = 10
"""How many frequencies a frequency is compared with, to tell whether it stands out."""


def top_power_share(grid: Float[Tensor, "target a b"], components: int) -> Float[Tensor, " target"]:
    """The share of a target's variance in its strongest ``components`` waves over the plane of operands.

    A wave is one frequency of the two-dimensional discrete Fourier transform together with its complex conjugate.
    """
    grid = grid.double()
    if not len(grid):
        return grid.new_zeros(0)  # the FFT library refuses an empty batch
    n_a, n_b = grid.shape[1:]
    half = n_b // 2 + 1
    spectrum = torch.fft.rfft2(grid - grid.mean((-2, -1), keepdim=True))
    power = torch.view_as_real(spectrum).square().sum(-1).flatten(1)
    # Half the plane holds one of each conjugate pair, except in its first and last column, which hold both: there one
    # stands for both, and a wave that is its own conjugate for itself.
    place = torch.arange(n_a * n_b, device=grid.device).reshape(n_a, n_b)
    conjugate = place.flip(0, 1).roll((1, 1), (0, 1))
    weight = torch.where(conjugate % n_b < half, (place == conjugate) + 2.0 * (place < conjugate), 2.0)
    waves = power * weight[:, :half].flatten()
    varies = grid.amax((-2, -1)) > grid.amin((-2, -1))
    return torch.where(varies, waves.topk(components, 1).values.sum(1) / waves.sum(1), 0.0)


def periodicity_p_values(
    series: Float[Tensor, "target number"], draws: int, generator: torch.Generator
) -> Float[Tensor, " target"]:
    """For each series, a permutation p-value of "no frequency stands out".

    The statistic is the greatest power at one frequency of :data:`SLOWEST` periods or more, over the mean power of its
    :data:`NEIGHBOURS` nearest frequencies: a bend has more power the slower the wave, and none of it stands out.
    Under the null the numbers' order means nothing, so the same permutations of the numbers are made for every series.
    Phipson & Smyth (2010) give the p-value ``(1 + as great) / (1 + draws)``.
    """

    def greatest(values: Float[Tensor, "... number"]) -> Float[Tensor, "..."]:
        spectrum = torch.view_as_real(torch.fft.rfft(values - values.mean(-1, keepdim=True)))
        power = spectrum.square().sum(-1)[..., 1:]  # frequency 0 is the mean, which is gone
        frequencies = power.shape[-1]
        width = min(NEIGHBOURS + 1, frequencies)
        first = (torch.arange(frequencies, device=power.device) - width // 2).clamp(0, frequencies - width)
        summed = torch.nn.functional.pad(power.cumsum(-1), (1, 0))
        around = summed[..., first + width] - summed[..., first] - power
        return torch.where(around > 0, power / around, 0.0)[..., SLOWEST - 1 :].amax(-1)

    series = series.double()
    orders = torch.stack([torch.randperm(series.shape[1], generator=generator) for _ in range(draws)])
    null: Float[Tensor, "target draw"] = greatest(series[:, orders.to(series.device)])
    return (1 + (null >= greatest(series).unsqueeze(1)).sum(1)) / (1 + draws)
