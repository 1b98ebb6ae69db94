"""Batches of trajectories, with everything that is known about them."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from mechtests.families.ode.equations import System


class Fault(IntEnum):
    """Why a trajectory is not valid."""

    NONE = 0
    BLOWN_UP = 1
    """It went beyond the family's limit."""
    UNRESOLVED = 2
    """The solver gave up: the system is too stiff for it."""


@dataclass(frozen=True, eq=False)
class Trajectories:
    """``n`` trajectories of one dimension, each on times of its own.

    No value is NaN or infinite: from the point on where a trajectory blows up or its solver gave up, states and
    derivatives are zero, ``valid`` is false and ``fault`` says why.

    Attributes:
        times: increasing along each row.
        states: the solution at these times.
        derivatives: of the true solution by time, from the right-hand side.
        system: what was solved.
        fault: a :class:`Fault` for each trajectory.
        parameters: what the family built them from, by name.
    """

    times: Float[Tensor, "trajectory point"]
    states: Float[Tensor, "trajectory point dimension"]
    derivatives: Float[Tensor, "trajectory point dimension"]
    system: System
    fault: Int[Tensor, " trajectory"]
    parameters: Mapping[str, Shaped[Tensor, " trajectory"]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.times)

    def __getitem__(self, index: Shaped[Tensor, " chosen"] | slice) -> "Trajectories":
        return Trajectories(
            self.times[index],
            self.states[index],
            self.derivatives[index],
            self.system[index],
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

    @cached_property
    def key(self) -> str:
        """Tells these times and states from all others, for the cache."""
        digest = hashlib.sha256(str(tuple(self.states.shape)).encode())
        for values in (self.times, self.states):
            digest.update(values.double().cpu().contiguous().numpy().tobytes())
        return f"trajectories:{digest.hexdigest()[:32]}"

    def at(self, index: Int[Tensor, "trajectory kept"]) -> "Trajectories":
        """Only these points of each trajectory; ``index`` increases along each row."""
        wide = index[..., None].expand(-1, -1, self.dimension)
        return replace(
            self,
            times=self.times.gather(1, index),
            states=self.states.gather(1, wide),
            derivatives=self.derivatives.gather(1, wide),
        )

    def without(self, point: int | Int[Tensor, " trajectory"]) -> "Trajectories":
        """All points but one, the same or one of its own in each trajectory.

        Raises:
            IndexError: there is no such point.
        """
        count = self.times.shape[1]
        left_out = torch.as_tensor(point, device=self.times.device).expand(len(self))[:, None]
        if not bool(((left_out >= 0) & (left_out < count)).all()):
            raise IndexError(f"Expected points from 0 to {count - 1}, found {point}.")
        kept = torch.arange(count - 1, device=self.times.device).expand(len(self), -1)
        return self.at(kept + (kept >= left_out))

    def noisy(self, relative: Float[Tensor, "trajectory point dimension"]) -> "Trajectories":
        """Every state changed by ``relative`` times itself; the derivatives stay those of the true trajectory."""
        return replace(self, states=self.states * (1 + relative))

    def rescaled(self) -> "Trajectories":
        """Times run from 1 to 10 and every dimension starts at 1, as the ODEFormer's ``fit`` prepares its input.

        A dimension that starts at zero keeps its scale. The system and the derivatives follow.
        """
        first, last = self.times[:, :1], self.times[:, -1:]
        pace = 9 / (last - first)
        scale = torch.where(self.states[:, 0] == 0, 1.0, self.states[:, 0])
        return replace(
            self,
            times=1 + (self.times - first) * pace,
            states=self.states / scale[:, None],
            derivatives=self.derivatives / scale[:, None] / pace[:, :, None],
            system=self.system.rescaled(scale, pace[:, 0]),
        )


def checked(
    times: Float[Tensor, "trajectory point"],
    states: Float[Tensor, "trajectory point dimension"],
    system: System,
    limit: float,
    parameters: Mapping[str, Shaped[Tensor, " trajectory"]],
    fault: Int[Tensor, " trajectory"] | None = None,
) -> Trajectories:
    """Trajectories whose states beyond ``limit`` in size, and all that follow, are masked as blown up.

    Args:
        times: of the points.
        states: at these times; they may hold what a formula gives beyond a singularity.
        system: what they solve.
        limit: the largest size a state may have.
        parameters: what the family built them from.
        fault: what the solver found, with zeros where it did not come to.
    """
    bad = ~(states.abs() <= limit).all(-1)
    after = bad.int().cumsum(1) > 0
    found = torch.full_like(after[:, 0], Fault.NONE, dtype=torch.int64) if fault is None else fault
    found = torch.where(after.any(-1), Fault.BLOWN_UP, found)
    states = torch.where(after[..., None], 0.0, states)
    derivatives = system.derivatives(states)
    nowhere = after[..., None] | ~derivatives.isfinite()
    return Trajectories(times, states, torch.where(nowhere, 0.0, derivatives), system, found, parameters)
