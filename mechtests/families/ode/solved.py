"""Families of trajectories that have no formula and are solved."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from mechtests.families.family import Integer, Real
from mechtests.families.ode.equations import System, equations, place, terms
from mechtests.families.ode.family import OdeFamily, Range
from mechtests.families.ode.solver import solved
from mechtests.families.ode.trajectories import Trajectories, checked


@dataclass(frozen=True, kw_only=True)
class Solved(OdeFamily):
    """Trajectories made by the solver.

    Attributes:
        tolerance: how much a step of the solver may err, relative to the state.
        steps: how many steps it may take before a system is masked as unresolved.
    """

    tolerance: float = 1e-8
    steps: int = 1000

    @abstractmethod
    def problem(
        self, **parameters: Shaped[Tensor, " trajectory"]
    ) -> tuple[System, Float[Tensor, "trajectory dimension"]]:
        """The systems and where they start."""

    def trajectories(
        self, times: Float[Tensor, "trajectory point"], **parameters: Shaped[Tensor, " trajectory"]
    ) -> Trajectories:
        system, start = self.problem(**parameters)
        states, fault = solved(system, start, times, tolerance=self.tolerance, bound=self.limit, most=self.steps)
        return checked(times, states, system, self.limit, parameters, fault)


@dataclass(frozen=True, kw_only=True)
class LotkaVolterra(Solved):
    """``x_0' = growth * x_0 - killing * x_0 * x_1``, ``x_1' = -death * x_1 + feeding * x_0 * x_1``: prey, predators."""

    rate: Range = (0.3, 1.5)
    start: Range = (0.5, 2.5)

    @property
    def ranges(self) -> Mapping[str, Integer | Real]:
        rates = {name: Real(*self.rate) for name in ("growth", "killing", "death", "feeding")}
        return rates | {"x_0": Real(*self.start), "x_1": Real(*self.start)}

    def problem(self, **parameters: Tensor) -> tuple[System, Tensor]:
        rows = {
            (0, place(2, 1, 0)): parameters["growth"],
            (0, place(2, 1, 1)): -parameters["killing"],
            (1, place(2, 0, 1)): -parameters["death"],
            (1, place(2, 1, 1)): parameters["feeding"],
        }
        return equations(2, rows), torch.stack([parameters["x_0"], parameters["x_1"]], 1)


@dataclass(frozen=True, kw_only=True)
class RandomPolynomials(Solved):
    """Each right-hand side is a polynomial; each of its terms is there with a chance of one in ``rarity``.

    Squares and products come with ``degree`` 2, cubes of one variable with 3. The parameter ``c_i(term)`` is the term's
    coefficient in ``x_i'``, which counts if ``in_i(term)`` is 0. Many of these systems blow up.
    """

    dimension: int = 2
    degree: int = 2
    rarity: int = 3
    coefficient: Range = (-2.0, 2.0)
    start: Range = (-2.0, 2.0)
    limit: float = 1e4
    steps: int = 300

    @property
    def ranges(self) -> Mapping[str, Integer | Real]:
        named: dict[str, Integer | Real] = {f"x_{i}": Real(*self.start) for i in range(self.dimension)}
        for i in range(self.dimension):
            for term in self._terms:
                named[f"c_{i}({term})"] = Real(*self.coefficient)
                named[f"in_{i}({term})"] = Integer(0, self.rarity - 1)
        return named

    @property
    def _terms(self) -> dict[str, int]:
        kinds = enumerate(terms(self.dimension))
        return {str(term): j for j, term in kinds if term.sine is None and sum(term.powers) <= self.degree}

    def problem(self, **parameters: Tensor) -> tuple[System, Tensor]:
        rows = {
            (i, j): torch.where(parameters[f"in_{i}({term})"] == 0, parameters[f"c_{i}({term})"], 0.0)
            for i in range(self.dimension)
            for term, j in self._terms.items()
        }
        start = torch.stack([parameters[f"x_{i}"] for i in range(self.dimension)], 1)
        return equations(self.dimension, rows), start
