"""The systems of ODEBench in two dimensions (its numbers 24 to 51), in three (52 to 61) and in four (62 and 63)."""

from collections.abc import Sequence

from torch import Tensor, cos, exp, sin

from mechtests.families.ode.odebench.benchmark import Benchmark, Constants


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


MORE_DIMENSIONS = (
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
