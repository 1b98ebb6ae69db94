"""Numbers to make coins of, the simplest family of inputs."""

import torch


class Coins:
    """Numbers between 0 and 1: below ``rate`` is a success."""

    def sample(self, n, generator):
        return torch.rand(n, generator=generator, dtype=torch.float64)
