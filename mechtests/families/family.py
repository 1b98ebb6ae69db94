"""A family of inputs: ranges of parameters, and how inputs are built from them."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

import numpy as np
import torch
from hypothesis import strategies as st
from jaxtyping import Shaped
from torch import Tensor

from mechtests.families.curve import Curve

Batch = TypeVar("Batch")

DISCOVERY_SEED = 2**41
"""Decides the inputs of :meth:`Family.discovery`."""
EVALUATION_SEED = 2**42 + 0x5EED
"""Decides the inputs of :meth:`Family.evaluation`."""

Point = dict[str, int | float]
"""One value of each parameter of a family: what describes one input."""


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

    def __contains__(self, value: object) -> bool:
        return isinstance(value, int) and self.low <= value <= self.high

    def grid(self, low: float, high: float, n: int) -> list[int]:
        """At most ``n`` whole numbers spread evenly from ``low`` to ``high``, both included."""
        return sorted({round(value) for value in np.linspace(low, high, n).tolist()})


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

    def __contains__(self, value: object) -> bool:
        return isinstance(value, int | float) and self.low <= value <= self.high

    def grid(self, low: float, high: float, n: int) -> list[float]:
        """``n`` numbers spread evenly from ``low`` to ``high``, both included."""
        return np.linspace(low, high, n).tolist()


@dataclass(frozen=True)
class Rendering:
    """How one input is shown.

    Attributes:
        text: the input in words: ``57 - 58``, ``steepness = 5, midpoint = 3``.
        curves: the input as lines, where it has some: a trajectory's states over time.
    """

    text: str
    curves: tuple[Curve, ...] = ()


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

    def draw(self, n: int, generator: torch.Generator) -> dict[str, Shaped[Tensor, " n"]]:
        """``n`` independent values of each parameter; the generator's state decides them."""
        return {name: one.sample(n, generator) for name, one in self.parameters.items()}

    def sample(self, n: int, generator: torch.Generator) -> Batch:
        """``n`` independent inputs; the generator's state decides them."""
        return self.build(**self.draw(n, generator))

    def discovery(self, n: int) -> Batch:
        """``n`` inputs on which to choose what a claim speaks of: a head, a layer, a threshold; the same at every call.

        They are drawn apart from those of :meth:`evaluation` and from those of ``evidence.batches``, so that choosing
        the best of many here does not flatter it there.
        """
        return self.sample(n, torch.Generator().manual_seed(DISCOVERY_SEED))

    def evaluation(self, n: int) -> Batch:
        """``n`` other inputs, the same at every call, on which to judge what was chosen on :meth:`discovery`.

        Claims that measure the same thing judge on them together, so that a model runs once. Where a claim measures
        something of its own, ``evidence.batches`` draws as many inputs as its verdict takes.
        """
        return self.sample(n, torch.Generator().manual_seed(EVALUATION_SEED))

    def at(self, points: Sequence[Point]) -> Batch:
        """The batch of inputs that ``points`` describe, one input a point."""
        ranges = self.parameters
        return self.build(
            **{name: torch.tensor([point[name] for point in points], dtype=one.dtype) for name, one in ranges.items()}
        )

    def any_point(self) -> st.SearchStrategy[Point]:
        """Points of the family, shrinking towards parameters that are simple."""
        ranges = self.parameters
        values = st.tuples(*(one.strategy() for one in ranges.values()))
        return values.map(lambda drawn: dict(zip(ranges, drawn, strict=True)))

    def strategy(self) -> st.SearchStrategy[Batch]:
        """Batches of one input, shrinking towards parameters that are simple."""
        return self.any_point().map(lambda point: self.at([point]))

    def describe(self, point: Point) -> Rendering:
        """How the input at ``point`` is shown. Override it where its parameters are not the best way to say it."""
        return Rendering(", ".join(f"{name} = {value:.6g}" for name, value in point.items()))


class Parameters(Family[dict[str, Tensor]]):
    """The parameters themselves as inputs: ``Parameters(x=Real(-1, 1), n=Integer(0, 9))`` gives a dict of tensors."""

    def __init__(self, **parameters: Integer | Real) -> None:
        self._parameters = parameters

    @property
    def parameters(self) -> Mapping[str, Integer | Real]:
        return self._parameters

    def build(self, **parameters: Shaped[Tensor, " n"]) -> dict[str, Tensor]:
        return parameters
