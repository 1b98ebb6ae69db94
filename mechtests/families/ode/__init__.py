"""Ordinary differential equations: families of trajectories, in closed form or solved in batches."""

from mechtests.families.ode.closed_form import (
    ClosedForm,
    Exponential,
    Harmonic,
    Hyperbolic,
    Linear,
    LinearPlane,
    Logistic,
)
from mechtests.families.ode.equations import Equations, System, Term, equations, place, terms
from mechtests.families.ode.family import OdeFamily
from mechtests.families.ode.solved import LotkaVolterra, RandomPolynomials, Solved
from mechtests.families.ode.solver import solved
from mechtests.families.ode.trajectories import Fault, Trajectories, checked

__all__ = [
    "ClosedForm",
    "Equations",
    "Exponential",
    "Fault",
    "Harmonic",
    "Hyperbolic",
    "Linear",
    "LinearPlane",
    "Logistic",
    "LotkaVolterra",
    "OdeFamily",
    "RandomPolynomials",
    "Solved",
    "System",
    "Term",
    "Trajectories",
    "checked",
    "equations",
    "place",
    "solved",
    "terms",
]
