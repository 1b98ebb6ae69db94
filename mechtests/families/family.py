"""A family of inputs: ranges of parameters, and how inputs are built from them."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

import torch
from hypothesis import strategies as st
from jaxtyping import Shaped
from torch import Tensor

Batch = TypeVar("Batch")


@dataclass(frozen=True)
class Integer:
    """A whole number, uniform from ``low`` to ``high``, both included."""

    dtype: ClassVar[torch.dtype] = torch.int64
    low: int
    high: int

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError(f"Integer({self.low}, {self.high}): expected low ≤ high.")

    def sample(self, n: int, generator: torch.Generator) -> Shaped[Tensor, " n"]:
        return torch.randint(self.low, self.high + 1, (n,), generator=generator)

    def strategy(self) -> st.SearchStrategy[int]:
        return st.integers(self.low, self.high)


@dataclass(frozen=True)
class Real:
    """A real number, uniform from ``low`` to ``high``."""

    dtype: ClassVar[torch.dtype] = torch.float64
    low: float
    high: float

    def __post_init__(self) -> None:
        if not self.low <= self.high:
            raise ValueError(f"Real({self.low}, {self.high}): expected low ≤ high.")

    def sample(self, n: int, generator: torch.Generator) -> Shaped[Tensor, " n"]:
        return self.low + (self.high - self.low) * torch.rand(n, generator=generator, dtype=self.dtype)

    def strategy(self) -> st.SearchStrategy[float]:
        return st.floats(self.low, self.high)


class Family(ABC, Generic[Batch]):
    """A distribution of inputs over independent parameters.

    Estimates are made from :meth:`sample`, which draws independently from the distribution. Invariants and
    counterexample search use :meth:`strategy`, whose draws are not independent, so no rate is ever made from them.
    """

    @property
    @abstractmethod
    def parameters(self) -> Mapping[str, Integer | Real]:
        """The ranges, by name."""

    @abstractmethod
    def build(self, **parameters: Shaped[Tensor, " n"]) -> Batch:
        """The batch of inputs that ``n`` values of each parameter describe."""

    def sample(self, n: int, generator: torch.Generator) -> Batch:
        """``n`` independent inputs; the generator's state decides them."""
        return self.build(**{name: one.sample(n, generator) for name, one in self.parameters.items()})

    def strategy(self) -> st.SearchStrategy[Batch]:
        """Batches of one input, shrinking towards parameters that are simple."""
        ranges = self.parameters
        drawn = st.fixed_dictionaries({name: one.strategy() for name, one in ranges.items()})
        return drawn.map(
            lambda drawn: self.build(
                **{name: torch.tensor([drawn[name]], dtype=one.dtype) for name, one in ranges.items()}
            )
        )


class Parameters(Family[dict[str, Tensor]]):
    """The parameters themselves as inputs: ``Parameters(x=Real(-1, 1), n=Integer(0, 9))`` gives a dict of tensors."""

    def __init__(self, **parameters: Integer | Real) -> None:
        self._parameters = parameters

    @property
    def parameters(self) -> Mapping[str, Integer | Real]:
        return self._parameters

    def build(self, **parameters: Shaped[Tensor, " n"]) -> dict[str, Tensor]:
        return parameters
