"""A system of ODEBench as it was published, and copies of it in other scales."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

Constants = tuple[float, ...]
Slope = Callable[[Sequence[Tensor], Constants], tuple[Tensor, ...]]


@dataclass(frozen=True)
class Benchmark:
    """One system.

    Attributes:
        name: what it models.
        slope: the right-hand side, from the state's variables and the constants.
        constants: as published.
        starts: the two published initial states.
    """

    name: str
    slope: Slope
    constants: Constants
    starts: tuple[Constants, Constants]

    @property
    def dimension(self) -> int:
        return len(self.starts[0])


@dataclass(frozen=True, eq=False)
class BenchmarkSystem:
    """``n`` copies of one benchmark, each in a scale and at a pace of its own."""

    benchmark: Benchmark
    scale: Float[Tensor, "system dimension"]
    pace: Float[Tensor, " system"]

    def __len__(self) -> int:
        return len(self.pace)

    def __getitem__(self, index: Shaped[Tensor, " chosen"] | slice) -> "BenchmarkSystem":
        return BenchmarkSystem(self.benchmark, self.scale[index], self.pace[index])

    def derivatives(self, states: Float[Tensor, "system *point dimension"]) -> Float[Tensor, "system *point dimension"]:
        """The right-hand side at ``states``."""
        points = states.reshape(len(self), states.shape[1:-1].numel(), self.benchmark.dimension)
        true = points * self.scale[:, None]
        slopes = self.benchmark.slope(true.unbind(-1), self.benchmark.constants)
        stacked = torch.stack([slope.expand(true.shape[:2]) for slope in slopes], -1)
        return (stacked / (self.scale * self.pace[:, None])[:, None]).reshape(states.shape)

    def rescaled(self, scale: Float[Tensor, "system dimension"], pace: Float[Tensor, " system"]) -> "BenchmarkSystem":
        """The systems of ``x / scale`` in a time that runs ``pace`` times as fast."""
        return BenchmarkSystem(self.benchmark, self.scale * scale, self.pace * pace)
