"""Autonomous systems of ordinary differential equations whose right-hand sides are sums of a few kinds of terms."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property, reduce
from itertools import combinations
from typing import Protocol, Self

import torch
from jaxtyping import Float, Shaped
from torch import Tensor


class System(Protocol):
    """Several autonomous systems of the same dimension."""

    def __len__(self) -> int:
        """How many."""

    def __getitem__(self, index: Shaped[Tensor, " chosen"] | slice, /) -> Self:
        """The systems at these places."""

    def derivatives(
        self, states: Float[Tensor, "system *point dimension"], /
    ) -> Float[Tensor, "system *point dimension"]:
        """The right-hand side at ``states``."""

    def rescaled(self, scale: Float[Tensor, "system dimension"], pace: Float[Tensor, " system"], /) -> Self:
        """The systems of ``x / scale`` in a time that runs ``pace`` times as fast."""


@dataclass(frozen=True)
class Term:
    """One function of the state: the monomial ``x_0**powers[0] * x_1**powers[1] ...``, or the sine of one variable.

    Attributes:
        powers: the exponent of each variable; all zero is the constant.
        sine: the variable whose sine this is, in place of a monomial.
    """

    powers: tuple[int, ...]
    sine: int | None = None

    def __str__(self) -> str:
        if self.sine is not None:
            return f"sin(w_{self.sine} * x_{self.sine})"
        factors = [f"x_{i}" if p == 1 else f"x_{i}**{p}" for i, p in enumerate(self.powers) if p]
        return " * ".join(factors) or "1"


@cache
def terms(dimension: int) -> tuple[Term, ...]:
    """The terms a system of this dimension may have, in the order in which equations are written.

    The constant, the variables, their squares, products of two, their cubes, their sines: 5 in one dimension, 10 in
    two.
    """

    def monomial(**powers: int) -> Term:
        return Term(tuple(powers.get(f"x{i}", 0) for i in range(dimension)))

    variables = range(dimension)
    return (
        monomial(),
        *(monomial(**{f"x{i}": 1}) for i in variables),
        *(monomial(**{f"x{i}": 2}) for i in variables),
        *(monomial(**{f"x{i}": 1, f"x{j}": 1}) for i, j in combinations(variables, 2)),
        *(monomial(**{f"x{i}": 3}) for i in variables),
        *(Term((0,) * dimension, sine=i) for i in variables),
    )


def place(dimension: int, *powers: int, sine: int | None = None) -> int:
    """Where a term stands in :func:`terms`, as in ``place(2, 1, 1)`` for ``x_0 * x_1``."""
    return terms(dimension).index(Term(powers or (0,) * dimension, sine))


@dataclass(frozen=True, eq=False)
class Equations:
    """``n`` systems ``x_i' = sum_j coefficients[i, j] * term_j(x)``, one to a row.

    Attributes:
        coefficients: of the terms of :func:`terms`, in its order.
        frequency: ``w_i`` in the term ``sin(w_i * x_i)``.
    """

    coefficients: Float[Tensor, "system dimension term"]
    frequency: Float[Tensor, "system dimension"]

    def __len__(self) -> int:
        return len(self.coefficients)

    def __getitem__(self, index: Shaped[Tensor, " chosen"] | slice) -> "Equations":
        return Equations(self.coefficients[index], self.frequency[index])

    @property
    def dimension(self) -> int:
        return self.coefficients.shape[1]

    @cached_property
    def _used(self) -> tuple[tuple[Term, ...], Float[Tensor, "system term dimension"]]:
        """The terms that occur in any of the systems, and their coefficients, ready for a product."""
        places = self.coefficients.any(0).any(0).nonzero()[:, 0].tolist()
        kinds = terms(self.dimension)
        return tuple(kinds[i] for i in places), self.coefficients[:, :, places].mT.contiguous()

    def derivatives(self, states: Float[Tensor, "system *point dimension"]) -> Float[Tensor, "system *point dimension"]:
        """The right-hand side at ``states``."""
        used, weights = self._used
        points = states.shape[1:-1].numel()
        variables = states.reshape(len(self), points, self.dimension).unbind(-1)
        if not used:
            return torch.zeros_like(states)
        values = torch.stack([self._value(term, variables) for term in used], -1)
        return (values @ weights).reshape(states.shape)

    def _value(self, term: Term, variables: Sequence[Float[Tensor, "system point"]]) -> Float[Tensor, "system point"]:
        if term.sine is not None:
            return torch.sin(self.frequency[:, term.sine, None] * variables[term.sine])
        factors = [variables[i] for i, power in enumerate(term.powers) for _ in range(power)]
        return reduce(torch.mul, factors) if factors else torch.ones_like(variables[0])

    def rescaled(self, scale: Float[Tensor, "system dimension"], pace: Float[Tensor, " system"]) -> "Equations":
        """The equations of ``x / scale`` in a time that runs ``pace`` times as fast."""
        weights = []
        for term in terms(self.dimension):
            weight = torch.ones_like(pace)
            for variable, power in enumerate(term.powers):
                weight = weight * scale[:, variable] ** power
            weights.append(weight)
        coefficients = self.coefficients * torch.stack(weights, 1)[:, None, :] / (scale * pace[:, None])[:, :, None]
        return Equations(coefficients, self.frequency * scale)


def equations(
    dimension: int, rows: dict[tuple[int, int], Float[Tensor, " system"]], frequency: Tensor | None = None
) -> Equations:
    """Equations from the coefficients that are not zero: ``rows[variable, place of the term]``."""
    first = next(iter(rows.values()))
    coefficients = first.new_zeros(len(first), dimension, len(terms(dimension)))
    for (variable, term), values in rows.items():
        coefficients[:, variable, term] = values
    return Equations(coefficients, first.new_ones(len(first), dimension) if frequency is None else frequency)
