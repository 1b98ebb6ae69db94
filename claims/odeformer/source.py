"""The report that the claims of this folder come from, and the trajectories they speak of."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice
from typing import Any

import torch

from mechtests import Evidence, Source
from mechtests.families.ode import (
    Exponential,
    Harmonic,
    Hyperbolic,
    Linear,
    LinearPlane,
    Logistic,
    OdeFamily,
    Trajectories,
)

REPORT = Source(
    "AI Safety Camp report: Mechanistic Interpretability Via Learning Differential Equations", "V. Slepukhin"
)
ATTENTION_LENS = REPORT.section("Logit Lens & Attention Lens")

SIGMOIDS = Logistic(points=30)
"""Logistic curves, rising and falling, over amplitude, steepness and midpoint."""
FALLING = replace(SIGMOIDS, direction=(0, 0))
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

DISCOVERY, FRESH = 64, 128
"""Trajectories on which heads, layers and points are looked for, and others on which what was found is judged.

At an error rate of 0.001, 128 trajectories are enough to tell a rate of 0.9 from one of 1."""


def decay(growth: Trajectories) -> Trajectories:
    """The systems that fall as fast as those of :data:`GROWTH` rise."""
    return GROWTH.build(rate=-growth.parameters["rate"], amplitude=growth.parameters["amplitude"])


@cache
def discovery(family: OdeFamily, n: int = DISCOVERY) -> Trajectories:
    """Trajectories on which claims choose what they speak of."""
    return family.sample(n, torch.Generator().manual_seed(2**41))


@cache
def fresh(family: OdeFamily, n: int = FRESH) -> Trajectories:
    """Other trajectories, on which claims that measure the same thing judge together, so that a model runs once."""
    return family.sample(n, torch.Generator().manual_seed(2**42))


@dataclass(frozen=True)
class Unsearched:
    """A family whose draws alone are wanted: where a unit is dear, a counterexample is not searched for."""

    family: OdeFamily

    def sample(self, n: int, generator: torch.Generator) -> Trajectories:
        return self.family.sample(n, generator)


def few(evidence: Evidence, family: Any, size: int = 32, most: int = FRESH) -> Iterator[Trajectories]:
    """Batches until the verdict is decided, or ``most`` units are spent: a forward pass is dear here."""
    return islice(evidence.batches(family, size=size), most // size)
