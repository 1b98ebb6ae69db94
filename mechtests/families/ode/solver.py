"""Solving many systems at once, each with steps of its own.

The method of Dormand and Prince of order 5(4), with the dense output of Shampine: the one behind
``scipy.integrate.solve_ivp``. Libraries that batch it either share one step between all systems, which a single blow-up
brings to a halt, or keep so much per step that they miss the speed asked for here (``docs/design/ode-families.md``).
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mechtests.families.ode.equations import System
from mechtests.families.ode.trajectories import Fault

# Hairer, Nørsett & Wanner, "Solving Ordinary Differential Equations I", table II.5.2.
_STAGES = (
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
_ERROR = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)
# Shampine, "Some practical Runge-Kutta formulas", Math. Comp. 46 (1986); as in Hairer's DOPRI5, subroutine CDOPRI.
_DENSE = (
    -12715105075 / 11282082432,
    0.0,
    87487479700 / 32700410799,
    -10690763975 / 1880347072,
    701980252875 / 199316789632,
    -1453857185 / 822651844,
    69997945 / 29380423,
)


def solved(
    system: System,
    start: Float[Tensor, "system dimension"],
    times: Float[Tensor, "system point"],
    *,
    tolerance: float = 1e-6,
    bound: float = 1e9,
    most: int = 1000,
) -> tuple[Float[Tensor, "system point dimension"], Int[Tensor, " system"]]:
    """States at ``times``, from ``start`` at the first of them, and each system's :class:`Fault`.

    What could not be reached is zero.

    Args:
        system: what to solve.
        start: the states at the first time.
        times: not decreasing along each row.
        tolerance: of the local error of a step, relative to the state, and a thousandth of it absolutely.
        bound: a state beyond this size has blown up.
        most: steps tried before a system counts as unresolved.
    """
    states = start.new_zeros(*times.shape, start.shape[1])
    states[:, 0] = start
    fault = torch.full_like(times[:, 0], Fault.NONE.value, dtype=torch.int64)
    stages = [start.new_tensor(weights) for weights in _STAGES]
    ends = start.new_tensor([_ERROR, _DENSE])
    rows = torch.arange(len(start), device=start.device)
    grid = times.contiguous()
    y, t, last = start, grid[:, :1], grid[:, -1:]
    reached, blown = torch.ones_like(rows), torch.zeros_like(rows, dtype=torch.bool)
    k = start.new_empty(7, *start.shape)
    k[0] = system.derivatives(y)
    h = _first_step(y, k[0], last - t, tolerance)
    for _ in range(most):
        h = torch.minimum(h, last - t)
        for stage, weights in enumerate(stages, 1):
            ahead = torch.addcmul(y, h, _sum(weights, k[:stage]))
            k[stage] = system.derivatives(ahead)
        apart, rest = _sum(ends, k)
        error = apart * h / (tolerance * (torch.maximum(y.abs(), ahead.abs()) + 1e-3))
        error = error.square().mean(-1, keepdim=True).sqrt().nan_to_num(torch.inf)
        good = error <= 1
        after = torch.where(good, t + h, t)
        after = torch.where(last - after <= 1e-12 * last.abs(), last, after)
        # Every output time that this step has passed is read from the step's polynomial.
        passed = torch.searchsorted(grid, after, right=True)[:, 0]
        counts = passed - reached
        which = torch.repeat_interleave(counts)
        if len(which):
            place = torch.arange(len(which), device=which.device) + (passed - counts.cumsum(0))[which]
            rise = ahead - y
            bend = h * k[0] - rise
            turn = rise - h * k[6] - bend
            base, rise, bend, turn, rest = torch.stack([y, rise, bend, turn, h * rest])[:, which]
            s = ((grid[which, place] - t[which, 0]) / h[which, 0])[:, None]
            states[rows[which], place] = base + s * (rise + (1 - s) * (bend + s * (turn + (1 - s) * rest)))
        reached, t = passed, after
        y = torch.where(good, ahead, y)
        k[0] = torch.where(good, k[6], k[0])
        factor = (0.9 * error.clamp(min=1e-10) ** -0.2).clamp(0.2, 10)
        h = h * torch.where(good, factor, factor.clamp(max=1))
        blown |= ~(y.abs() <= bound).all(-1)
        going = (t < last)[:, 0] & ~blown
        left = int(going.sum())
        # Finished systems are carried along until they are many: leaving them out costs a copy of the others.
        if left <= 0.8 * len(going):
            fault[rows[blown]] = Fault.BLOWN_UP
            if not left:
                break
            kept = going.nonzero()[:, 0]
            system, rows, reached, blown, grid = system[kept], rows[kept], reached[kept], blown[kept], grid[kept]
            y, t, last, h, k = y[kept], t[kept], last[kept], h[kept], k[:, kept]
    else:
        fault[rows[blown]] = Fault.BLOWN_UP
        fault[rows[(t < last)[:, 0] & ~blown]] = Fault.UNRESOLVED
    return states, fault


def _sum(weights: Float[Tensor, "*sum stage"], k: Float[Tensor, "stage system dimension"]) -> Tensor:
    """Weighted sums of the stages' slopes."""
    return (weights @ k.flatten(1)).unflatten(-1, k.shape[1:])


def _first_step(y: Tensor, slope: Tensor, span: Tensor, tolerance: float) -> Tensor:
    """Hairer, Nørsett & Wanner, "Solving Ordinary Differential Equations I", II.4, its first guess."""
    size = tolerance * (y.abs() + 1e-3)
    high, steep = ((value / size).square().mean(-1, keepdim=True).sqrt() for value in (y, slope))
    guess = torch.where((high < 1e-5) | (steep < 1e-5), 1e-6, 0.01 * high / steep)
    return torch.minimum(guess, span)
