"""Trajectories of the systems of ODEBench."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor

from mechtests.families.family import Integer, Real
from mechtests.families.ode.equations import System
from mechtests.families.ode.family import Range
from mechtests.families.ode.odebench.benchmark import Benchmark, BenchmarkSystem
from mechtests.families.ode.odebench.more_dimensions import MORE_DIMENSIONS
from mechtests.families.ode.odebench.one_dimension import ONE_DIMENSION
from mechtests.families.ode.solved import Solved

ODEBENCH: Mapping[int, Benchmark] = MappingProxyType(dict(enumerate((*ONE_DIMENSION, *MORE_DIMENSIONS), 1)))
"""The systems by their published numbers: 23 in one dimension, 28 in two, 10 in three, 2 in four."""


@dataclass(frozen=True, kw_only=True)
class Odebench(Solved):
    """Trajectories of one system of ODEBench, from its published initial states times 1 ± ``spread`` each.

    The defaults are the benchmark's own grid of 150 times from 0 to 10, and no spread.
    """

    number: int = 1
    spread: float = 0.0
    steps: int = 20_000
    points: int = 150
    span: Range = (0.0, 10.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.number not in ODEBENCH:
            raise ValueError(f"Odebench(number={self.number}): expected a number from 1 to {len(ODEBENCH)}.")
        if not 0 <= self.spread < 1:
            raise ValueError(f"Odebench(spread={self.spread}): expected 0 ≤ spread < 1.")

    @property
    def benchmark(self) -> Benchmark:
        return ODEBENCH[self.number]

    @property
    def ranges(self) -> Mapping[str, Integer | Real]:
        factors = {f"factor_{i}": Real(1 - self.spread, 1 + self.spread) for i in range(self.benchmark.dimension)}
        return {"start": Integer(0, 1), **factors}

    def problem(self, **parameters: Tensor) -> tuple[System, Tensor]:
        factors = torch.stack([parameters[f"factor_{i}"] for i in range(self.benchmark.dimension)], 1)
        start = torch.tensor(self.benchmark.starts, dtype=factors.dtype, device=factors.device)[parameters["start"]]
        return BenchmarkSystem(
            self.benchmark, torch.ones_like(factors), torch.ones_like(factors[:, 0])
        ), start * factors
