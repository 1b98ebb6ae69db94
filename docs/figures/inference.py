"""Measure the intervals and draw the figures of docs/inference.md: ``python docs/figures/inference.py``.

Prints one Markdown table a question and writes two SVGs beside this file. Rates are exact, by walking the lattice of
(units, successes). Means and the false discovery rate are simulated, with a fixed seed. Takes about a minute.
"""

import math
import time
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import binom

from mechtests.inference import e_benjamini_hochberg, mean_e_value, mean_interval, rate_interval
from mechtests.inference.confidence import FRACTIONS, Interval, log_rate_wealth

SEED = 0
RUNS = 20_000
HORIZON = 2000
BUDGET = 4096
AT_LEAST = 0.9
ALPHA = 0.001
HERE = Path(__file__).parent

Draw = Callable[[np.random.Generator, int], np.ndarray]
UNITS: dict[str, tuple[float, Draw]] = {
    "uniform on [0, 1]": (0.5, lambda rng, n: rng.random(n)),
    "beta(0.5, 4.5), skewed": (0.1, lambda rng, n: rng.beta(0.5, 4.5, n)),
    "beta(80, 20), narrow": (0.8, lambda rng, n: rng.beta(80, 20, n)),
    "0.9 with probability 0.3, else 0.2": (0.41, lambda rng, n: np.where(rng.random(n) < 0.3, 0.9, 0.2)),
    "0 with probability 0.01, else 0.99": (0.9801, lambda rng, n: np.where(rng.random(n) < 0.01, 0.0, 0.99)),
    "always 0.999": (0.999, lambda _, n: np.full(n, 0.999)),
}


def left_by_wealth(candidate: float, alpha: float) -> Callable[[int], np.ndarray]:
    """For each count of successes, whether the rate interval has left a candidate."""

    def left(units: int) -> np.ndarray:
        successes = np.arange(units + 1)
        return log_rate_wealth(successes, units - successes, candidate) >= -math.log(alpha)

    return left


def left_by_tail(candidate: float, alpha: float) -> Callable[[int], np.ndarray]:
    """The same for the exact (Clopper-Pearson) interval, which is meant for one look."""

    def left(units: int) -> np.ndarray:
        successes = np.arange(units + 1)
        low, high = binom.cdf(successes, units, candidate), binom.sf(successes - 1, units, candidate)
        return np.minimum(low, high) <= alpha / 2

    return left


def walk(
    rate: float, candidate: float, left: Callable[[int], np.ndarray], budget: int
) -> tuple[np.ndarray, np.ndarray]:
    """Exact chances, at each number of units, that the interval first lies above and below a candidate there."""
    undecided = np.ones(1)
    above, below = np.zeros(budget + 1), np.zeros(budget + 1)
    for units in range(1, budget + 1):
        undecided = np.append(undecided * (1 - rate), 0) + np.append(0, undecided * rate)
        out, high = left(units), np.arange(units + 1) > candidate * units
        above[units], below[units] = undecided[out & high].sum(), undecided[out & ~high].sum()
        undecided[out] = 0
        if undecided.sum() < 1e-15:
            break
    return above, below


def first_exclusions(
    name: str, candidate: float, alphas: tuple[float, ...], runs: int
) -> tuple[np.ndarray, np.ndarray]:
    """For each alpha and simulated run, the unit at which the mean interval first lies above and below a candidate."""
    mean, draw = UNITS[name]
    rng = np.random.default_rng(SEED)
    assert abs(draw(rng, 10**6).mean() - mean) < 0.002
    up, down = np.ones((len(FRACTIONS), runs)), np.ones((len(FRACTIONS), runs))
    above, below = np.full((len(alphas), runs), np.inf), np.full((len(alphas), runs), np.inf)
    for unit in range(1, HORIZON + 1):
        x = draw(rng, runs)
        up *= 1 + FRACTIONS[:, None] * (x / candidate - 1)
        down *= 1 + FRACTIONS[:, None] * ((1 - x) / (1 - candidate) - 1)
        for row, alpha in enumerate(alphas):
            above[row, (up.mean(0) >= 2 / alpha) & np.isinf(above[row])] = unit
            below[row, (down.mean(0) >= 2 / alpha) & np.isinf(below[row])] = unit
    return above, below


def fixed_units(alpha: float, miss_rate: float, rate: float) -> int:
    """The fewest units with which an exact one-sided binomial test of ``rate >= AT_LEAST`` keeps both error rates."""
    units = np.arange(1, 20_000)
    kept = binom.cdf(binom.isf(alpha, units, AT_LEAST), units, rate) <= miss_rate
    assert kept.any()
    return int(units[kept.argmax()])


def table(title: str, columns: list[str], rows: list[list[str]]) -> None:
    """Print a Markdown table."""
    print(f"\n{title}\n\n| {' | '.join(columns)} |\n|{' --- |' * len(columns)}")
    for row in rows:
        print(f"| {' | '.join(row)} |", flush=True)


def measure_rate_coverage() -> None:
    """How often the rate interval ever misses, exactly."""
    rows = []
    for rate in (0.01, 0.1, 0.5, 0.9, 0.99):
        missed = [sum(c.sum() for c in walk(rate, rate, left_by_wealth(rate, a), HORIZON)) for a in (0.05, 0.01, ALPHA)]
        rows.append([f"{rate}", *(f"{chance:.5f}" for chance in missed)])
    table(f"Rates: chance of ever missing, {HORIZON} units", ["true rate", "0.05", "0.01", "0.001"], rows)


def measure_mean_coverage() -> None:
    """How often the mean interval ever misses, simulated."""
    rows = []
    for name, (mean, _) in UNITS.items():
        above, below = first_exclusions(name, mean, (0.05, 0.01), RUNS)
        missed = np.isfinite(np.minimum(above, below)).mean(1)
        rows.append([name, f"{mean}", *(f"{chance:.4f}" for chance in missed)])
    table(f"Means: chance of ever missing, {HORIZON} units, {RUNS} runs", ["units", "mean", "0.05", "0.01"], rows)


def measure_rate_power() -> None:
    """How often and how soon a rate is supported, beside a fixed design with alpha and a miss rate of 1e-3."""
    rows = []
    for rate in (0.9, 0.93, 0.95, 0.97, 0.99):
        above, below = walk(rate, AT_LEAST, left_by_wealth(AT_LEAST, ALPHA), BUDGET)
        undecided = 1 - above.sum() - below.sum()
        mean_units = np.arange(BUDGET + 1) @ (above + below) + BUDGET * undecided
        row = [f"{rate}", f"{above[:513].sum():.5f}", f"{above.sum():.5f}", f"{mean_units:.0f}"]
        fixed = fixed_units(ALPHA, 0.001, rate) if rate > AT_LEAST else math.nan
        rows.append([*row, f"{fixed}", f"{mean_units / fixed:.2f}"])
    columns = ["true rate", "supported within 512", f"within {BUDGET}", "mean units", "fixed units", "ratio"]
    table(f"Rates: the claim is a rate of at least {AT_LEAST}, alpha {ALPHA}", columns, rows)


def measure_mean_power() -> None:
    """How often and how soon a mean is supported, beside where Hoeffding's bound would do so in half of the runs."""
    rows = []
    for name, candidate in (
        ("uniform on [0, 1]", 0.45),
        ("beta(80, 20), narrow", 0.78),
        ("0.9 with probability 0.3, else 0.2", 0.36),
        ("0 with probability 0.01, else 0.99", 0.95),
    ):
        mean, _ = UNITS[name]
        above, _ = first_exclusions(name, candidate, (ALPHA,), 2000)
        hoeffding = math.log(1 / ALPHA) / (2 * (mean - candidate) ** 2)
        supported = np.isfinite(above).mean()
        units = np.minimum(above, HORIZON).mean()
        rows.append([name, f"{mean}", f"{candidate}", f"{supported:.4f}", f"{units:.0f}", f"{hoeffding:.0f}"])
    columns = ["units", "mean", "claim: at least", f"supported within {HORIZON}", "mean units", "Hoeffding, fixed"]
    table(f"Means: alpha {ALPHA}, 2000 runs", columns, rows)


def measure_false_discoveries() -> None:
    """The false discovery rate when e-values are likelihood ratios of normals with one shared factor."""
    claims, true_nulls, shift, fdr, runs = 40, 20, 3.0, 0.1, RUNS
    rows = []
    for correlation in (0.0, 0.5, 0.95):
        rng = np.random.default_rng(SEED)
        own, shared = rng.standard_normal((runs, claims)), rng.standard_normal((runs, 1))
        z = math.sqrt(correlation) * shared + math.sqrt(1 - correlation) * own
        z[:, true_nulls:] += shift
        kept = np.array([e_benjamini_hochberg(row, fdr) for row in np.exp(shift * z - shift**2 / 2)])
        proportions = kept[:, :true_nulls].sum(1) / np.maximum(kept.sum(1), 1)
        rows.append([f"{correlation}", f"{proportions.mean():.4f}", f"{kept[:, true_nulls:].mean():.2f}"])
    table(f"e-BH at {fdr}, {runs} runs", ["correlation", "false discovery rate", "true claims kept"], rows)


def measure_speed() -> None:
    """How long one look takes."""
    values = np.random.default_rng(SEED).beta(2, 5, BUDGET)
    rows = []
    for name, call in (
        ("mean_interval", lambda: mean_interval(values, ALPHA)),
        ("mean_e_value", lambda: mean_e_value(values, Interval(0.25, math.inf))),
        ("rate_interval", lambda: rate_interval(4000, BUDGET, ALPHA)),
    ):
        times = []
        for _ in range(20):
            start = time.perf_counter()
            call()
            times.append(time.perf_counter() - start)
        rows.append([f"`{name}`", f"{1000 * float(np.median(times)):.1f} ms"])
    table(f"Median time at {BUDGET} units", ["function", "time"], rows)


def draw_looks() -> None:
    """How often an interval that is looked at after every unit has ever missed."""
    figure, axes = plt.subplots(figsize=(5, 3), layout="constrained")
    units = np.arange(HORIZON + 1)
    for label, left in (
        ("Clopper–Pearson, meant for one look", left_by_tail(AT_LEAST, 0.05)),
        ("confidence sequence", left_by_wealth(AT_LEAST, 0.05)),
    ):
        axes.plot(units, np.cumsum(sum(walk(AT_LEAST, AT_LEAST, left, HORIZON))), label=label)
    axes.axhline(0.05, color="0.5", linestyle=":", label="alpha")
    axes.set(xscale="log", xlim=(10, HORIZON), ylim=(0, None), xlabel="units", ylabel="has ever missed the true rate")
    axes.legend(frameon=False, fontsize=8)
    figure.savefig(HERE / "inference-looks.svg", metadata={"Date": None})


def draw_units() -> None:
    """How many units a verdict takes, on average, beside a design with a fixed number."""
    rates = np.array([0.93, 0.94, 0.95, 0.96, 0.97, 0.98, 0.99, 0.995, 0.999])
    figure, axes = plt.subplots(figsize=(5, 3), layout="constrained")
    sequential = []
    for rate in rates:
        above, below = walk(rate, AT_LEAST, left_by_wealth(AT_LEAST, ALPHA), BUDGET)
        decided = above + below
        sequential.append(np.arange(BUDGET + 1) @ decided + BUDGET * (1 - decided.sum()))
    axes.plot(rates, sequential, marker="o", markersize=3, label="sequential, mean")
    for miss_rate, style in ((1e-6, "--"), (1e-3, "-."), (1e-2, ":")):
        fixed = [fixed_units(ALPHA, miss_rate, rate) for rate in rates]
        axes.plot(rates, fixed, color="0.4", linestyle=style, label=f"fixed, misses {miss_rate:g}")
    axes.set(yscale="log", xlabel="true rate (the claim: at least 0.9)", ylabel="units")
    axes.legend(frameon=False, fontsize=8)
    figure.savefig(HERE / "inference-units.svg", metadata={"Date": None})


if __name__ == "__main__":
    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "mechtests", "svg.fonttype": "none", "font.size": 9})
    measure_rate_coverage()
    measure_mean_coverage()
    measure_rate_power()
    measure_mean_power()
    measure_false_discoveries()
    measure_speed()
    draw_looks()
    draw_units()
