"""Speed of making trajectories: whole batches, compared with a loop over ``scipy.integrate.solve_ivp``.

The loop solves one trajectory after the other at the same tolerance, with a right-hand side in plain Python numbers,
and stops where one goes beyond the family's limit. It is spared the stiff ones, which the batch has to deal with as
well. Both run on one core, in the same process.
"""

import time

import pytest
import torch
from scipy.integrate import solve_ivp

from mechtests.families.ode import (
    Exponential,
    Fault,
    Harmonic,
    Hyperbolic,
    Linear,
    LinearPlane,
    Logistic,
    LotkaVolterra,
    RandomPolynomials,
    terms,
)

POINTS, TOLERANCE = 100, 1e-6
CLOSED = [family(points=POINTS) for family in (Linear, Exponential, Logistic, Hyperbolic, Harmonic, LinearPlane)]
SOLVED = [
    LotkaVolterra(points=POINTS, tolerance=TOLERANCE),
    RandomPolynomials(points=POINTS, tolerance=TOLERANCE),
    RandomPolynomials(points=POINTS, tolerance=TOLERANCE, dimension=1, degree=3),
]
LOOPED = 60
RATIO = 50


def named(family):
    return f"{type(family).__name__}{getattr(family, 'dimension', '')}"


def slope(system, index):
    """The right-hand side of one system, as one would write it by hand."""
    rows = [
        [
            (coefficient, term.powers)
            for coefficient, term in zip(row, terms(system.dimension), strict=True)
            if coefficient
        ]
        for row in system.coefficients[index].tolist()
    ]

    def at(_, state):
        values = []
        for row in rows:
            total = 0.0
            for coefficient, powers in row:
                value = coefficient
                for variable, power in zip(state, powers, strict=True):
                    if power:
                        value *= variable**power
                total += value
            values.append(total)
        return values

    return at


def looped_seconds(family):
    """Seconds that the loop takes for one trajectory."""
    made = family.sample(4 * LOOPED, torch.Generator().manual_seed(1))
    made = made[made.fault != Fault.UNRESOLVED][:LOOPED]
    slopes = [slope(made.system, index) for index in range(len(made))]
    times, starts = made.times[0].numpy(), made.states[:, 0].numpy()

    def beyond(_, state):
        return family.limit - max(map(abs, state))

    beyond.terminal = True
    began = time.perf_counter()
    for one, start in zip(slopes, starts, strict=True):
        solve_ivp(
            one,
            (times[0], times[-1]),
            start,
            t_eval=times,
            rtol=TOLERANCE,
            atol=TOLERANCE * 1e-3,
            events=beyond,
        )
    return (time.perf_counter() - began) / len(made)


@pytest.mark.parametrize("family", [*CLOSED, *SOLVED], ids=named)
def test_trajectories_are_made_fifty_times_as_fast_as_in_a_loop(benchmark, family):
    n = 20_000 if family in CLOSED else 8_192
    family.sample(64, torch.Generator().manual_seed(0))
    began = time.perf_counter()
    with torch.inference_mode():
        made = benchmark.pedantic(family.sample, args=(n, torch.Generator().manual_seed(0)), rounds=1)
    batched = (time.perf_counter() - began) / n
    looped = looped_seconds(family)
    benchmark.extra_info.update(
        trajectories=n,
        points=POINTS,
        valid=made.valid.double().mean().item(),
        trajectories_a_second=1 / batched,
        loop_a_second=1 / looped,
        ratio=looped / batched,
    )
    assert looped / batched >= RATIO
