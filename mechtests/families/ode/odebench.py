"""The 63 systems of ODEBench, by their equations, constants and initial states.

d'Ascoli, Becker, Mathis, Schwaller & Kilbertus, "ODEFormer: Symbolic Regression of Dynamical Systems with
Transformers" (2023), https://arxiv.org/abs/2310.05573, appendix. Most are from Strogatz, "Nonlinear Dynamics and
Chaos". The numbers are theirs and start at 1.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, cos, exp, log, sin

from mechtests.families.family import Integer, Real
from mechtests.families.ode.equations import System
from mechtests.families.ode.family import Range
from mechtests.families.ode.solved import Solved

Constants = tuple[float, ...]
Slope = Callable[[Sequence[Tensor], Constants], tuple[Tensor, ...]]


@dataclass(frozen=True)
class Benchmark:
    """One system.

    Attributes:
        name: what it models.
        slope: the right-hand side, from the state's variables and the constants.
        constants: as published.
        starts: the two published initial states.
    """

    name: str
    slope: Slope
    constants: Constants
    starts: tuple[Constants, Constants]

    @property
    def dimension(self) -> int:
        return len(self.starts[0])


@dataclass(frozen=True, eq=False)
class BenchmarkSystem:
    """``n`` copies of one benchmark, each in a scale and at a pace of its own."""

    benchmark: Benchmark
    scale: Float[Tensor, "system dimension"]
    pace: Float[Tensor, " system"]

    def __len__(self) -> int:
        return len(self.pace)

    def __getitem__(self, index: Shaped[Tensor, " chosen"] | slice) -> "BenchmarkSystem":
        return BenchmarkSystem(self.benchmark, self.scale[index], self.pace[index])

    def derivatives(self, states: Float[Tensor, "system *point dimension"]) -> Float[Tensor, "system *point dimension"]:
        """The right-hand side at ``states``."""
        points = states.reshape(len(self), states.shape[1:-1].numel(), self.benchmark.dimension)
        true = points * self.scale[:, None]
        slopes = self.benchmark.slope(true.unbind(-1), self.benchmark.constants)
        stacked = torch.stack([slope.expand(true.shape[:2]) for slope in slopes], -1)
        return (stacked / (self.scale * self.pace[:, None])[:, None]).reshape(states.shape)

    def rescaled(self, scale: Float[Tensor, "system dimension"], pace: Float[Tensor, " system"]) -> "BenchmarkSystem":
        """The systems of ``x / scale`` in a time that runs ``pace`` times as fast."""
        return BenchmarkSystem(self.benchmark, self.scale * scale, self.pace * pace)


@dataclass(frozen=True, kw_only=True)
class Odebench(Solved):
    """Trajectories of one system of ODEBench, from its published initial states times 1 ± ``spread`` each.

    The defaults are the benchmark's own grid of 150 times from 0 to 10, and no spread.
    """

    number: int = 1
    spread: float = 0.0
    steps: int = 20_000
    points: int = 150
    span: Range = (0.0, 10.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.number not in ODEBENCH:
            raise ValueError(f"Odebench(number={self.number}): expected a number from 1 to {len(ODEBENCH)}.")
        if not 0 <= self.spread < 1:
            raise ValueError(f"Odebench(spread={self.spread}): expected 0 ≤ spread < 1.")

    @property
    def benchmark(self) -> Benchmark:
        return ODEBENCH[self.number]

    @property
    def ranges(self) -> Mapping[str, Integer | Real]:
        factors = {f"factor_{i}": Real(1 - self.spread, 1 + self.spread) for i in range(self.benchmark.dimension)}
        return {"start": Integer(0, 1), **factors}

    def problem(self, **parameters: Tensor) -> tuple[System, Tensor]:
        factors = torch.stack([parameters[f"factor_{i}"] for i in range(self.benchmark.dimension)], 1)
        start = torch.tensor(self.benchmark.starts, dtype=factors.dtype, device=factors.device)[parameters["start"]]
        return BenchmarkSystem(
            self.benchmark, torch.ones_like(factors), torch.ones_like(factors[:, 0])
        ), start * factors


def _lorenz(x: Sequence[Tensor], c: Constants) -> tuple[Tensor, ...]:
    return c[0] * (x[1] - x[0]), c[1] * x[0] - x[1] - x[0] * x[2], x[0] * x[1] - c[2] * x[2]


def _rossler(x: Sequence[Tensor], c: Constants) -> tuple[Tensor, ...]:
    return c[3] * (-x[1] - x[2]), c[3] * (x[0] + c[0] * x[1]), c[3] * (c[1] + x[2] * (x[0] - c[2]))


def _apoptosis(x: Sequence[Tensor], c: Constants) -> tuple[Tensor, ...]:
    made, lost = c[1] * x[2] * (c[8] + x[1]), c[2] * x[1] / (c[6] + x[1]) + c[3] * x[0] * x[1] / (c[7] + x[1])
    return c[0] - c[5] * x[1] * x[0] / (c[9] + x[0]) - c[4] * x[0], made - lost, lost - made


def _aizawa(x: Sequence[Tensor], c: Constants) -> tuple[Tensor, ...]:
    return (
        x[0] * (x[2] - c[1]) - c[3] * x[1],
        c[3] * x[0] + x[1] * (x[2] - c[1]),
        c[2] + c[0] * x[2] - x[2] ** 3 / 3 - (x[0] ** 2 + x[1] ** 2) * (1 + c[4] * x[2]) + c[5] * x[2] * x[0] ** 3,
    )


def _rivalry_with_adaptation(x: Sequence[Tensor], c: Constants) -> tuple[Tensor, ...]:
    return (
        -x[0] + 1 / (1 + exp(c[0] * x[2] + c[1] * x[1] - c[2])),
        c[3] * (x[0] - x[1]),
        -x[2] + 1 / (1 + exp(c[0] * x[0] + c[1] * x[3] - c[2])),
        c[3] * (x[2] - x[3]),
    )


def _iodine(x: Sequence[Tensor], c: Constants) -> tuple[Tensor, ...]:
    bound = 1 + x[0] ** 2
    return c[0] - x[0] - c[1] * x[0] * x[1] / bound, c[2] * x[0] * (1 - x[1] / bound)


def _respiration(x: Sequence[Tensor], c: Constants) -> tuple[Tensor, ...]:
    eaten = x[0] * x[1] / (1 + c[1] * x[0] ** 2)
    return c[0] - x[0] - eaten, c[2] - eaten


_SYSTEMS = (
    Benchmark("charging capacitor", lambda x, c: ((c[0] - x[0] / c[1]) / c[2],), (0.7, 1.2, 2.31), ((10.0,), (3.54,))),
    Benchmark("naive population growth", lambda x, c: (c[0] * x[0],), (0.23,), ((4.78,), (0.87,))),
    Benchmark(
        "population with carrying capacity",
        lambda x, c: (c[0] * x[0] * (1 - x[0] / c[1]),),
        (0.79, 74.3),
        ((7.3,), (21.0,)),
    ),
    Benchmark(
        "capacitor with non-linear resistor",
        lambda x, c: (1 / (1 + exp(c[0] - x[0] / c[1])) - 0.5,),
        (0.5, 0.96),
        ((0.8,), (0.02,)),
    ),
    Benchmark(
        "falling with air resistance", lambda x, c: (c[0] - c[1] * x[0] ** 2,), (9.81, 0.0021175), ((0.5,), (73.0,))
    ),
    Benchmark("autocatalysis", lambda x, c: (c[0] * x[0] - c[1] * x[0] ** 2,), (2.1, 0.5), ((0.13,), (2.24,))),
    Benchmark(
        "Gompertz tumour growth", lambda x, c: (c[0] * x[0] * log(c[1] * x[0]),), (0.032, 2.29), ((1.73,), (9.5,))
    ),
    Benchmark(
        "logistic growth with Allee effect",
        lambda x, c: (c[0] * x[0] * (1 - x[0] / c[1]) * (x[0] / c[2] - 1),),
        (0.14, 130.0, 4.4),
        ((6.123,), (2.1,)),
    ),
    Benchmark("language death", lambda x, c: ((1 - x[0]) * c[0] - x[0] * c[1],), (0.32, 0.28), ((0.14,), (0.55,))),
    Benchmark(
        "refined language death",
        lambda x, c: ((1 - x[0]) * c[0] * x[0] ** c[1] - x[0] * (1 - c[0]) * (1 - x[0]) ** c[1],),
        (0.2, 1.2),
        ((0.83,), (0.34,)),
    ),
    Benchmark("critical slowing down", lambda x, _: (-(x[0] ** 3),), (), ((3.4,), (1.6,))),
    Benchmark("photons in a laser", lambda x, c: (c[0] * x[0] - c[1] * x[0] ** 2,), (1.8, 0.1107), ((11.0,), (1.3,))),
    Benchmark(
        "overdamped bead on a hoop",
        lambda x, c: (c[0] * sin(x[0]) * (c[1] * cos(x[0]) - 1),),
        (0.0981, 9.7),
        ((3.1,), (2.4,)),
    ),
    Benchmark(
        "budworm outbreak",
        lambda x, c: (c[0] * x[0] * (1 - x[0] / c[1]) - c[3] * x[0] ** 2 / (c[2] ** 2 + x[0] ** 2),),
        (0.78, 81.0, 21.2, 0.9),
        ((2.76,), (23.3,)),
    ),
    Benchmark(
        "budworm outbreak without dimensions",
        lambda x, c: (c[0] * x[0] * (1 - x[0] / c[1]) - x[0] ** 2 / (1 + x[0] ** 2),),
        (0.4, 95.0),
        ((44.3,), (4.5,)),
    ),
    Benchmark(
        "Landau equation",
        lambda x, c: (c[0] * x[0] - c[1] * x[0] ** 3 - c[2] * x[0] ** 5,),
        (0.1, -0.04, 0.001),
        ((0.94,), (1.65,)),
    ),
    Benchmark(
        "logistic growth with harvesting",
        lambda x, c: (c[0] * x[0] * (1 - x[0] / c[1]) - c[2],),
        (0.4, 100.0, 0.3),
        ((14.3,), (34.2,)),
    ),
    Benchmark(
        "logistic growth with saturating harvest",
        lambda x, c: (c[0] * x[0] * (1 - x[0] / c[1]) - c[2] * x[0] / (c[3] + x[0]),),
        (0.4, 100.0, 0.24, 50.0),
        ((21.1,), (44.1,)),
    ),
    Benchmark(
        "saturating harvest without dimensions",
        lambda x, c: (x[0] * (1 - x[0]) - c[0] * x[0] / (c[1] + x[0]),),
        (0.08, 0.8),
        ((0.13,), (0.03,)),
    ),
    Benchmark(
        "autocatalytic gene switching",
        lambda x, c: (c[0] - c[1] * x[0] + x[0] ** 2 / (1 + x[0] ** 2),),
        (0.1, 0.55),
        ((0.002,), (0.25,)),
    ),
    Benchmark("SIR model of the dead", lambda x, c: (c[0] - c[1] * x[0] - exp(-x[0]),), (1.2, 0.2), ((0.0,), (0.8,))),
    Benchmark(
        "protein expression with hysteresis",
        lambda x, c: (c[0] + c[1] * x[0] ** 5 / (c[2] + x[0] ** 5) - c[3] * x[0],),
        (1.4, 0.4, 123.0, 0.89),
        ((3.1,), (6.3,)),
    ),
    Benchmark("overdamped driven pendulum", lambda x, c: (c[0] - sin(x[0]),), (0.21,), ((-2.74,), (1.65,))),
    Benchmark("harmonic oscillator", lambda x, c: (x[1], -c[0] * x[0]), (2.1,), ((0.4, -0.03), (0.0, 0.2))),
    Benchmark(
        "damped harmonic oscillator",
        lambda x, c: (x[1], -c[0] * x[0] - c[1] * x[1]),
        (4.5, 0.43),
        ((0.12, 0.043), (0.0, -0.3)),
    ),
    Benchmark(
        "competition of rabbits and sheep",
        lambda x, c: (x[0] * (c[0] - x[0] - c[1] * x[1]), x[1] * (c[2] - x[0] - x[1])),
        (3.0, 2.0, 2.0),
        ((5.0, 4.3), (2.3, 3.6)),
    ),
    Benchmark(
        "Lotka-Volterra",
        lambda x, c: (x[0] * (c[0] - c[1] * x[1]), -x[1] * (c[2] - c[3] * x[0])),
        (1.84, 1.45, 3.0, 1.62),
        ((8.3, 3.4), (0.4, 0.65)),
    ),
    Benchmark("pendulum", lambda x, c: (x[1], -c[0] * sin(x[0])), (0.9,), ((-1.9, 0.0), (0.3, 0.8))),
    Benchmark(
        "dipole fixed point",
        lambda x, c: (c[0] * x[0] * x[1], x[1] ** 2 - x[0] ** 2),
        (0.65,),
        ((3.2, 1.4), (1.3, 0.2)),
    ),
    Benchmark(
        "RNA molecules that replicate each other",
        lambda x, c: (x[0] * (x[1] - c[0] * x[0] * x[1]), x[1] * (x[0] - c[0] * x[0] * x[1])),
        (1.61,),
        ((0.3, 0.04), (0.1, 0.21)),
    ),
    Benchmark(
        "SIR model of healthy and sick",
        lambda x, c: (-c[0] * x[0] * x[1], c[0] * x[0] * x[1] - c[1] * x[1]),
        (0.4, 0.314),
        ((7.2, 0.98), (20.0, 12.4)),
    ),
    Benchmark(
        "damped double well",
        lambda x, c: (x[1], -c[0] * x[1] + x[0] - x[0] ** 3),
        (0.18,),
        ((-1.8, -1.8), (5.8, 0.0)),
    ),
    Benchmark(
        "glider",
        lambda x, c: (-sin(x[1]) - c[0] * x[0] ** 2, x[0] - cos(x[1]) / x[0]),
        (0.08,),
        ((5.0, 0.7), (9.81, -0.8)),
    ),
    Benchmark(
        "frictionless bead on a hoop",
        lambda x, c: (x[1], sin(x[0]) * (cos(x[0]) - c[0])),
        (0.93,),
        ((2.1, 0.0), (-1.2, -0.2)),
    ),
    Benchmark(
        "rotation in a shear flow",
        lambda x, c: (
            cos(x[1]) / sin(x[1]) * cos(x[0]),
            sin(x[0]) * (cos(x[1]) ** 2 + c[0] * sin(x[1]) ** 2),
        ),
        (4.2,),
        ((1.13, -0.3), (2.4, 1.7)),
    ),
    Benchmark(
        "pendulum with non-linear damping",
        lambda x, c: (x[1], -sin(x[0]) - x[1] - c[0] * cos(x[0]) * x[1]),
        (0.07,),
        ((0.45, 0.9), (1.34, -0.8)),
    ),
    Benchmark(
        "Van der Pol oscillator",
        lambda x, c: (x[1], -x[0] - c[0] * (x[0] ** 2 - 1) * x[1]),
        (0.43,),
        ((2.2, 0.0), (0.1, 3.2)),
    ),
    Benchmark(
        "Van der Pol oscillator in Lienard's variables",
        lambda x, c: (c[0] * (x[1] - x[0] ** 3 / 3 + x[0]), -x[0] / c[0]),
        (3.37,),
        ((0.7, 0.0), (-1.1, -0.7)),
    ),
    Benchmark(
        "glycolytic oscillator",
        lambda x, c: (-x[0] + c[0] * x[1] + x[0] ** 2 * x[1], c[1] - c[0] * x[0] - x[0] ** 2 * x[1]),
        (2.4, 0.07),
        ((0.4, 0.31), (0.2, -0.7)),
    ),
    Benchmark(
        "weakly non-linear oscillation",
        lambda x, c: (x[1], -x[0] + c[0] * x[1] * (1 - x[0] ** 2)),
        (0.886,),
        ((0.63, -0.03), (0.2, 0.2)),
    ),
    Benchmark(
        "cell cycle",
        lambda x, c: (c[0] * (x[1] - x[0]) * (c[1] + x[0] ** 2) - x[0], c[2] - x[0]),
        (15.3, 0.001, 0.3),
        ((0.8, 0.3), (0.02, 1.2)),
    ),
    Benchmark("chlorine dioxide, iodine and malonic acid", _iodine, (8.9, 4.0, 1.4), ((0.2, 0.35), (3.0, 7.8))),
    Benchmark(
        "driven pendulum with linear damping",
        lambda x, c: (x[1], c[0] - sin(x[0]) - c[1] * x[1]),
        (1.67, 0.64),
        ((1.47, -0.2), (-1.9, 0.03)),
    ),
    Benchmark(
        "driven pendulum with quadratic damping",
        lambda x, c: (x[1], c[0] - sin(x[0]) - c[1] * x[1] * x[1].abs()),
        (1.67, 0.64),
        ((1.47, -0.2), (-1.9, 0.03)),
    ),
    Benchmark(
        "isothermal autocatalysis",
        lambda x, c: (c[0] * (1 - x[0]) - x[0] * x[1] ** 2, x[0] * x[1] ** 2 - c[1] * x[1]),
        (0.5, 0.02),
        ((1.4, 0.2), (0.32, 0.64)),
    ),
    Benchmark(
        "interacting bar magnets",
        lambda x, c: (c[0] * sin(x[0] - x[1]) - sin(x[0]), c[0] * sin(x[1] - x[0]) - sin(x[1])),
        (0.33,),
        ((0.54, -0.1), (0.43, 1.21)),
    ),
    Benchmark(
        "binocular rivalry",
        lambda x, c: (-x[0] + 1 / (1 + exp(c[0] * x[1] - c[1])), -x[1] + 1 / (1 + exp(c[0] * x[0] - c[1]))),
        (4.89, 1.4),
        ((0.65, 0.59), (3.2, 10.3)),
    ),
    Benchmark("bacterial respiration", _respiration, (18.3, 0.48, 11.23), ((0.1, 30.4), (13.2, 5.21))),
    Benchmark(
        "Brusselator",
        lambda x, c: (1 - (c[0] + 1) * x[0] + c[1] * x[0] ** 2 * x[1], c[0] * x[0] - c[1] * x[0] ** 2 * x[1]),
        (3.03, 3.1),
        ((0.7, -1.4), (2.1, 1.3)),
    ),
    Benchmark(
        "Schnackenberg's oscillator",
        lambda x, c: (c[0] - x[0] + x[0] ** 2 * x[1], c[1] - x[0] ** 2 * x[1]),
        (0.24, 1.43),
        ((0.14, 0.6), (1.5, 0.9)),
    ),
    Benchmark(
        "oscillator death",
        lambda x, c: (c[0] + sin(x[1]) * cos(x[0]), c[1] + sin(x[1]) * cos(x[0])),
        (1.432, 0.972),
        ((2.2, 0.67), (0.03, -0.12)),
    ),
    Benchmark(
        "Maxwell-Bloch laser",
        lambda x, c: (
            c[0] * (x[1] - x[0]),
            c[1] * (x[0] * x[2] - x[1]),
            c[2] * (c[3] + 1 - x[2] - c[3] * x[0] * x[1]),
        ),
        (0.1, 0.21, 0.34, 3.1),
        ((1.3, 1.1, 0.89), (0.89, 1.3, 1.1)),
    ),
    Benchmark(
        "apoptosis",
        _apoptosis,
        (0.1, 0.6, 0.2, 7.95, 0.05, 0.4, 0.1, 2.0, 0.1, 0.1),
        ((0.005, 0.26, 2.15), (0.248, 0.0973, 0.0027)),
    ),
    Benchmark("Lorenz, periodic", _lorenz, (5.1, 12.0, 1.67), ((2.3, 8.1, 12.4), (10.0, 20.0, 30.0))),
    Benchmark("Lorenz, complex periodic", _lorenz, (10.0, 99.96, 8 / 3), ((2.3, 8.1, 12.4), (10.0, 20.0, 30.0))),
    Benchmark("Lorenz, chaotic", _lorenz, (10.0, 28.0, 8 / 3), ((2.3, 8.1, 12.4), (10.0, 20.0, 30.0))),
    Benchmark("Rössler, stable", _rossler, (-0.2, 0.2, 5.7, 5.0), ((2.3, 1.1, 0.8), (-0.1, 4.1, -2.1))),
    Benchmark("Rössler, periodic", _rossler, (0.1, 0.2, 5.7, 5.0), ((2.3, 1.1, 0.8), (-0.1, 4.1, -2.1))),
    Benchmark("Rössler, chaotic", _rossler, (0.2, 0.2, 5.7, 5.0), ((2.3, 1.1, 0.8), (-0.1, 4.1, -2.1))),
    Benchmark("Aizawa", _aizawa, (0.95, 0.7, 0.65, 3.5, 0.25, 0.1), ((0.1, 0.05, 0.05), (-0.3, 0.2, 0.1))),
    Benchmark(
        "Chen-Lee",
        lambda x, c: (c[0] * x[0] - x[1] * x[2], c[1] * x[1] + x[0] * x[2], c[2] * x[2] + x[0] * x[1] / c[3]),
        (5.0, -10.0, -3.8, 3.0),
        ((15.0, -15.0, -15.0), (8.0, 14.0, -10.0)),
    ),
    Benchmark(
        "binocular rivalry with adaptation",
        _rivalry_with_adaptation,
        (0.89, 0.4, 1.4, 1.0),
        ((2.25, -0.5, -1.13, 0.4), (0.342, -0.431, -0.86, 0.041)),
    ),
    Benchmark(
        "SEIR",
        lambda x, c: (
            -c[1] * x[0] * x[2],
            c[1] * x[0] * x[2] - c[0] * x[1],
            c[0] * x[1] - c[2] * x[2],
            c[2] * x[2],
        ),
        (0.47, 0.28, 0.3),
        ((0.6, 0.3, 0.09, 0.01), (0.4, 0.3, 0.25, 0.05)),
    ),
)

ODEBENCH: Mapping[int, Benchmark] = MappingProxyType(dict(enumerate(_SYSTEMS, 1)))
"""The systems by their published numbers: 23 in one dimension, 28 in two, 10 in three, 2 in four."""
