"""The trajectories that the claims of this folder speak of, regions of them, and what the model reads of them."""

from collections.abc import Iterable
from dataclasses import replace
from itertools import product

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mechtests.activations.capture import Inputs
from mechtests.families.ode import (
    Exponential,
    Harmonic,
    Hyperbolic,
    Linear,
    LinearPlane,
    Logistic,
    Trajectories,
)
from mechtests.systems import Odeformer

SIGMOIDS = Logistic(points=30)
"""Logistic curves, rising and falling, over amplitude, steepness and midpoint."""
FALLING_SIGMOIDS = replace(SIGMOIDS, direction=(0, 0))
HARMONICS = Harmonic(points=25, frequency=(0.8, 2.0))
"""Sines and cosines in two dimensions, one to three periods long, on the report's 25 points."""
EXPONENTIALS = Exponential(points=30)
HYPERBOLAS = Hyperbolic(points=30)
PLANES = LinearPlane(points=25, coefficient=(-0.5, 0.5), start=(0.5, 2.0))
"""Linear systems in two dimensions. Coefficients are small, so that no trajectory blows up."""
GROWTH = Linear(points=30, rate=(0.1, 1.5))
"""``x' = kx`` with k > 0; :func:`decay` gives the same with ``-k``."""
BOTH_WAYS = Linear(points=30, rate=(-1.5, 1.5))
"""``x' = kx``, rising or falling."""
SLIGHT_GROWTH = Linear(points=30, rate=(5e-5, 5e-4))
"""``x' = kx`` with constants of the order of 1e-4."""

DISCOVERY, EVALUATION = 64, 128
"""Trajectories on which heads, layers and points are looked for, and others on which what was found is judged.

At an error rate of 0.001, 128 trajectories are enough to tell a rate of 0.9 from one of 1."""

SIGN, DIGITS = 1, (2, 3)
"""The position of the sign in ``mul ± N… E… x_0``, and those of the digits and the exponent of its constant."""


def sigmoids(midpoints: Iterable[float], steepnesses: Iterable[float]) -> Trajectories:
    """All sigmoids with these parameters, rising and falling. Their amplitude is scaled away before they are read."""
    every = product(steepnesses, midpoints, (0, 1))
    return SIGMOIDS.at([{"amplitude": 1.0, "steepness": b, "midpoint": t, "direction": d} for b, t, d in every])


def decay(growth: Trajectories) -> Trajectories:
    """The systems that fall as fast as those of :data:`GROWTH` rise."""
    return GROWTH.build(rate=-growth.parameters["rate"], amplitude=growth.parameters["amplitude"])


# What the model reads


def with_equations(
    model: Odeformer, trajectories: Trajectories, points: Trajectories | None = None, length: int | None = None
) -> Inputs:
    """Points and the tokens of the true equations.

    Args:
        model: whose tokens they are.
        trajectories: whose equations they are.
        points: what is read, in the model's units; the points of ``trajectories`` when ``None``.
        length: how many tokens of the equations are read; all of them when ``None``.
    """
    ready = trajectories.rescaled() if points is None else points
    read, counts, tokens, lengths = model.tokens(ready, model.truth(trajectories), rescale=False)
    return read, counts, tokens[:, :length], lengths if length is None else lengths.clamp(max=length)


def up_to_the_sign(model: Odeformer, growth: Trajectories) -> Inputs:
    """Rising systems, then the same falling, with the equations' tokens before the sign."""
    both = (with_equations(model, one, length=SIGN + 1) for one in (growth, decay(growth)))
    return tuple(torch.cat(part) for part in zip(*both, strict=True))


# Regions of a trajectory


def speed(trajectories: Trajectories) -> Float[Tensor, "trajectory point"]:
    """``|dx/dt|`` in the model's units; in several dimensions the length of the velocity."""
    return trajectories.rescaled().derivatives.norm(dim=-1)


def steep(trajectories: Trajectories) -> Bool[Tensor, "trajectory point"]:
    """The points where ``|dx/dt|`` is at least half its greatest value on the trajectory."""
    slope = speed(trajectories)
    return slope >= slope.amax(1, keepdim=True) / 2


def near_extremum(trajectories: Trajectories, side: int, width: float = 0.05) -> Bool[Tensor, "trajectory point dim"]:
    """The points in the top (``side`` 1) or bottom (-1) ``width`` of each dimension's range, in the model's units."""
    states = side * trajectories.rescaled().states
    high, low = states.amax(1, keepdim=True), states.amin(1, keepdim=True)
    return states >= high - width * (high - low)


# Trajectories with points changed, in the model's units


def shifted(ready: Trajectories, points: Int[Tensor, " trajectory"], amplitudes: float) -> Trajectories:
    """The same with the states of one point of each changed by ``amplitudes`` times half the range of its dimension."""
    states = ready.states
    half_range = (states.amax(1, keepdim=True) - states.amin(1, keepdim=True)) / 2
    chosen = torch.arange(ready.times.shape[1]) == points[:, None]
    return replace(ready, states=states + amplitudes * half_range * chosen[..., None])


def warped(ready: Trajectories, power: float) -> Trajectories:
    """The same points with the times between the first and the last bent by a power."""
    return replace(ready, times=1 + 9 * ((ready.times - 1) / 9) ** power)
