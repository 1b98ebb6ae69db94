"""The 63 systems of ODEBench, by their equations, constants and initial states.

d'Ascoli, Becker, Mathis, Schwaller & Kilbertus, "ODEFormer: Symbolic Regression of Dynamical Systems with
Transformers" (2023), https://arxiv.org/abs/2310.05573, appendix. Most are from Strogatz, "Nonlinear Dynamics and
Chaos". The numbers are theirs and start at 1.
"""

from mechtests.families.ode.odebench.benchmark import Benchmark, BenchmarkSystem
from mechtests.families.ode.odebench.family import ODEBENCH, Odebench

__all__ = ["ODEBENCH", "Benchmark", "BenchmarkSystem", "Odebench"]
