"""Solving many systems at once, and reading the solutions at any time."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from mechtests.families.ode.equations import Equations


@dataclass(frozen=True, eq=False)
class Solutions:
    """Solutions on an even grid.

    Attributes:
        span: the first and the last time of the grid.
        states, slopes: the solutions and their derivatives on it.
        unresolved: where the steps were too coarse.
    """

    equations: Equations
    span: tuple[float, float]
    states: Float[Tensor, "system grid dimension"]
    slopes: Float[Tensor, "system grid dimension"]
    unresolved: Bool[Tensor, " system"]

    def __len__(self) -> int:
        return len(self.states)

    def __getitem__(self, index: Shaped[Tensor, " chosen"] | slice) -> "Solutions":
        return Solutions(
            self.equations[index], self.span, self.states[index], self.slopes[index], self.unresolved[index]
        )

    def at(self, times: Float[Tensor, "system point"]) -> Float[Tensor, "system point dimension"]:
        """The states at ``times``, by cubic Hermite interpolation (Hairer, Nørsett & Wanner, "Solving ODEs I", II.6)."""
        first, last = self.span
        cells = self.states.shape[1] - 1
        h = (last - first) / cells
        place = ((times - first) / h).clamp(0, cells)
        cell = place.floor().long().clamp(max=cells - 1)
        s = (place - cell)[..., None]
        left = cell[..., None].expand(-1, -1, self.states.shape[2])
        a, b = self.states.gather(1, left), self.states.gather(1, left + 1)
        da, db = h * self.slopes.gather(1, left), h * self.slopes.gather(1, left + 1)
        jump = b - a
        return a + s * da + s**2 * ((3 * jump - 2 * da - db) + s * (da + db - 2 * jump))


def runge_kutta(
    system: Equations, start: Float[Tensor, "system dimension"], span: tuple[float, float], steps: int, bound: float
) -> Float[Tensor, "system grid dimension"]:
    """The classical Runge-Kutta method with ``steps`` equal steps; a state stops where it is ``bound`` in size."""
    h = (span[1] - span[0]) / steps
    state = start
    states = [state]
    for _ in range(steps):
        k1 = system.derivatives(state)
        k2 = system.derivatives(state + h / 2 * k1)
        k3 = system.derivatives(state + h / 2 * k2)
        k4 = system.derivatives(state + h * k3)
        state = (state + h / 6 * (k1 + 2 * (k2 + k3) + k4)).nan_to_num(bound).clamp(-bound, bound)
        states.append(state)
    return torch.stack(states, 1)


def solved(
    system: Equations,
    start: Float[Tensor, "system dimension"],
    span: tuple[float, float],
    steps: int = 400,
    bound: float = 1e9,
    tolerance: float = 1e-3,
) -> Solutions:
    """Solutions in ``steps`` steps, unresolved where half as many steps give another answer."""
    fine = runge_kutta(system, start, span, steps, bound)
    coarse = runge_kutta(system, start, span, steps // 2, bound)
    size = fine.abs().amax(1, keepdim=True).clamp(min=1e-12)
    error = ((fine[:, ::2] - coarse).abs() / (coarse.abs() + 1e-3 * size)).amax((1, 2))
    return Solutions(system, span, fine, system.derivatives(fine), error > tolerance)
