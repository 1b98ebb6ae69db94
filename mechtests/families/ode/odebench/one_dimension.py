"""The systems of ODEBench in one dimension: its numbers 1 to 23."""

from torch import cos, exp, log, sin

from mechtests.families.ode.odebench.benchmark import Benchmark

ONE_DIMENSION = (
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
)
