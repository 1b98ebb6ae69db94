"""Batches of trajectories, with everything that is known about them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from mechtests.families.ode.equations import Equations


class Fault(IntEnum):
    """Why a trajectory is not valid."""

    NONE = 0
    BLOWN_UP = 1
    UNRESOLVED = 2


@dataclass(frozen=True, eq=False)
class Trajectories:
    """``n`` trajectories of one dimension on as many time grids.

    No value is NaN or infinite: from the point on where a trajectory blows up or its solver gives up, states and
    derivatives are zero, ``valid`` is false and ``fault`` says why.

    Attributes:
        times: increasing along each row.
        states: the solution at these times.
        derivatives: of the states by time, from the right-hand side.
        equations: the systems that were solved.
        fault: a :class:`Fault` for each trajectory.
        parameters: what the family built them from, by name.
    """

    times: Float[Tensor, "trajectory point"]
    states: Float[Tensor, "trajectory point dimension"]
    derivatives: Float[Tensor, "trajectory point dimension"]
    equations: Equations
    fault: Int[Tensor, " trajectory"]
    parameters: Mapping[str, Shaped[Tensor, " trajectory"]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.times)

    def __getitem__(self, index: Shaped[Tensor, " chosen"] | slice) -> "Trajectories":
        return Trajectories(
            self.times[index],
            self.states[index],
            self.derivatives[index],
            self.equations[index],
            self.fault[index],
            {name: values[index] for name, values in self.parameters.items()},
        )

    @property
    def dimension(self) -> int:
        return self.states.shape[-1]

    @property
    def valid(self) -> Bool[Tensor, " trajectory"]:
        """Which trajectories can be used."""
        return self.fault == Fault.NONE

    def points(self, index: Int[Tensor, "trajectory kept"]) -> "Trajectories":
        """Only these points of each trajectory; ``index`` increases along each row."""
        wide = index[..., None].expand(-1, -1, self.dimension)
        return Trajectories(
            self.times.gather(1, index),
            self.states.gather(1, wide),
            self.derivatives.gather(1, wide),
            self.equations,
            self.fault,
            self.parameters,
        )

    def rescaled(self) -> "Trajectories":
        """Times run from 1 to 10 and every dimension starts at 1, as the ODEFormer's ``fit`` prepares its input.

        A dimension that starts at zero keeps its scale. Equations and derivatives follow.
        """
        first, last = self.times[:, :1], self.times[:, -1:]
        pace = 9 / (last - first)
        scale = torch.where(self.states[:, 0] == 0, 1.0, self.states[:, 0])
        return Trajectories(
            1 + (self.times - first) * pace,
            self.states / scale[:, None],
            self.derivatives / scale[:, None] / pace[:, :, None],
            self.equations.rescaled(scale, pace[:, 0]),
            self.fault,
            self.parameters,
        )


def checked(
    times: Float[Tensor, "trajectory point"],
    states: Float[Tensor, "trajectory point dimension"],
    equations: Equations,
    limit: float,
    parameters: Mapping[str, Shaped[Tensor, " trajectory"]],
    fault: Int[Tensor, " trajectory"] | None = None,
) -> Trajectories:
    """Trajectories whose states beyond ``limit`` in size, and all that follow, are masked as blown up."""
    bad = ~(states.abs() <= limit).all(-1)
    after = bad.int().cumsum(1) > 0
    found = torch.full_like(after[:, 0], Fault.NONE, dtype=torch.int64) if fault is None else fault
    found = torch.where(after[:, -1], Fault.BLOWN_UP, found)
    states = torch.where(after[..., None], 0.0, states)
    derivatives = torch.where(after[..., None], 0.0, equations.derivatives(states))
    return Trajectories(times, states, derivatives, equations, found, parameters)
