"""Two-digit subtraction problems ``a - b``."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from mechtests.families.family import Family, Integer, Point, Real, Rendering


@dataclass(frozen=True, eq=False)
class Problems:
    """A batch of problems ``a - b``."""

    a: Int[Tensor, " problem"]
    b: Int[Tensor, " problem"]

    def __len__(self) -> int:
        return len(self.a)

    def __getitem__(self, index: Int[Tensor, " chosen"]) -> "Problems":
        return Problems(self.a[index], self.b[index])

    @property
    def is_plus(self) -> Bool[Tensor, " problem"]:
        """Whether the sign of the result is ``+``; zero counts as ``+``."""
        return self.a >= self.b

    @property
    def gap(self) -> Float[Tensor, " problem"]:
        """``b - a``: above zero where the sign is ``-``."""
        return (self.b - self.a).float()

    @property
    def grid(self) -> Float[Tensor, "problem 2"]:
        """The operands side by side, for linear fits."""
        return torch.stack([self.a, self.b], 1).float()


@dataclass(frozen=True)
class SubtractionProblems(Family[Problems]):
    """Problems with operands uniform from 0 to ``largest``."""

    largest: int = 99

    @property
    def parameters(self) -> Mapping[str, Integer | Real]:
        return {"a": Integer(0, self.largest), "b": Integer(0, self.largest)}

    def build(self, **parameters: Shaped[Tensor, " problem"]) -> Problems:
        return Problems(parameters["a"], parameters["b"])

    def describe(self, point: Point) -> Rendering:
        return Rendering(f"{point['a']} - {point['b']}")

    def census(self) -> Problems:
        """Every problem of the family once, ``a`` changing slowest: 10,000 with operands up to 99."""
        operands = torch.arange(self.largest + 1)
        return Problems(*torch.cartesian_prod(operands, operands).T)
