"""Measure the intervals and draw the figures of docs/inference.md: ``python docs/figures/inference.py``.

Prints one Markdown table a question and writes three SVGs beside this file. Rates are exact, by walking the lattice of
(units, successes). Means, other people's intervals and the false discovery rate are simulated, with a fixed seed.
Takes some ten minutes.
"""

import math
import time
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from rivals import RIVALS, Rival
from scipy.stats import binom

from mechtests.inference import (
    MeanProcess,
    Region,
    closed_e_benjamini_hochberg,
    control_e_value,
    e_benjamini_hochberg,
    mean_e_value,
    mean_interval,
    rate_interval,
    vacuity_error,
)
from mechtests.inference.confidence import FRACTIONS, Interval, log_rate_wealth
from mechtests.inference.processes import ASIDE
from mechtests.inference.rate_process import Counts, Plan, horizon_sizes, log_mixture_wealth, log_wealth, planned

SEED = 0
RUNS = 20_000
HORIZON = 2000
BUDGET = 4096
LOOK = 32
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

CLAIMED_MEANS = (
    ("uniform on [0, 1]", 0.45),
    ("beta(80, 20), narrow", 0.78),
    ("0.9 with probability 0.3, else 0.2", 0.36),
    ("0 with probability 0.01, else 0.99", 0.95),
)
"""Distributions of :data:`UNITS`, each with the least mean that is claimed of it."""


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
    for name, candidate in CLAIMED_MEANS:
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
    measure_growth()


def measure_growth() -> None:
    """Processor time of looks after every 32 units, with running sums and from the beginning each time.

    From the beginning every 16th look is timed, and counts for 16.
    """
    rows = []
    for units in (16_384, 10**6):
        values = np.random.default_rng(SEED).beta(2, 5, units)
        process, began = MeanProcess(Region(2 / 7), ALPHA), time.process_time()
        for start in range(0, units, LOOK):
            process.observe(values[start : start + LOOK])
            process.decision()
            process.e_value()
        process.interval()
        running = time.process_time() - began
        again = 0.0
        if units < 10**5:
            began = time.process_time()
            for end in range(16 * LOOK, units + 1, 16 * LOOK):
                mean_interval(values[:end], ALPHA)
                mean_e_value(values[:end], Interval(2 / 7, math.inf))
            again = 16 * (time.process_time() - began)
        rows.append(
            [
                f"{units}",
                f"{running:.2f} s",
                f"{again:.1f} s" if again else "-",
                f"{again / running:.0f}" if again else "-",
            ]
        )
    table("Looks every 32 units", ["units", "MeanProcess", "from the beginning each time", "ratio"], rows)


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


def left_by_process(candidate: float, alpha: float, budget: int) -> Callable[[int], np.ndarray]:
    """For each count of successes, whether the process for "at least ``candidate``" has decided.

    Whoever wins a horizon excludes the candidate there, so a run that goes on has lost those behind it.
    """
    share = (1 - ASIDE) * alpha
    sizes = horizon_sizes(budget)
    up, down = planned(sizes, candidate, share), planned(sizes, 1 - candidate, share)

    def left(units: int) -> np.ndarray:
        def by(plan: Plan, wins: int) -> tuple[int | None, ...]:
            now = {horizon.units: wins for horizon in plan.horizons}
            return tuple(None if units < size else now.get(size, 0) if units == size else 0 for size in sizes)

        return np.array(
            [
                log_wealth(up, Counts(s, units - s, by(up, s)), candidate) >= -math.log(share)
                or log_wealth(down, Counts(units - s, s, by(down, units - s)), 1 - candidate) >= -math.log(share)
                for s in range(units + 1)
            ]
        )

    return left


def excluded_by_process(candidate: float, alpha: float, budget: int) -> Callable[[int], np.ndarray]:
    """For each count of successes, whether the process for "at least ``candidate``" has excluded the candidate itself.

    It belongs to the region, so that the bet on less is aimed, and the bet on more has what is set aside.
    """
    share, sizes = (1 - ASIDE) * alpha, horizon_sizes(budget)
    down = planned(sizes, 1 - candidate, share)

    def left(units: int) -> np.ndarray:
        undecided = (None,) * len(sizes)
        lower = [log_wealth(down, Counts(units - s, s, undecided), 1 - candidate) for s in range(units + 1)]
        higher = [log_mixture_wealth(s, units - s, candidate) for s in range(units + 1)]
        return (np.array(lower) >= -math.log(share)) | (np.array(higher) >= -math.log(ASIDE * alpha))

    return left


def at_looks(left: Callable[[int], np.ndarray], every: int) -> Callable[[int], np.ndarray]:
    """The same with a look only after every so many units."""
    return lambda units: np.zeros(units + 1, dtype=bool) if units % every else left(units)


def simulated(rival: Rival, rate: float, candidate: float, alpha: float, budget: int, runs: int) -> tuple[float, float]:
    """How often a rival's interval first lies above a candidate, and how often it ever excludes it."""
    above_first = ever = 0
    for seed in range(0, runs, 1000):
        outcomes = (np.random.default_rng([SEED, seed]).random((1000, budget)) < rate).astype(float)
        above, below = (clear[:, LOOK - 1 :: LOOK] for clear in rival(outcomes, candidate, alpha))
        first = (above | below).argmax(1)
        above_first += int(above[np.arange(1000), first].sum())
        ever += int((above | below).any(1).sum())
    return above_first / runs, ever / runs


def measure_budgets() -> None:
    """How often a rate of at least 0.9 is supported within a budget, by the process and by others."""
    designs = ((128, 0.98), (256, 0.97), (512, 0.95), (4096, 0.92))
    header = ["", *(f"{budget}, truth {rate}" for budget, rate in designs), "512, truth 0.9", "ever missed, alpha 0.05"]
    fixed = [binom.sf(binom.isf(ALPHA, budget, AT_LEAST), budget, rate) for budget, rate in designs]
    edge = binom.sf(binom.isf(ALPHA, 512, AT_LEAST), 512, AT_LEAST)

    def wealth(candidate: float, alpha: float, _: int) -> Callable[[int], np.ndarray]:
        return left_by_wealth(candidate, alpha)

    rows = [["test of fixed size", *(f"{power:.3f}" for power in fixed), f"{edge:.5f}", "-"]]
    for name, make, exclude in (
        ("`RateProcess`", left_by_process, excluded_by_process),
        ("`rate_interval`", wealth, wealth),
    ):
        powers = [
            walk(rate, AT_LEAST, at_looks(make(AT_LEAST, ALPHA, budget), LOOK), budget)[0].sum()
            for budget, rate in (*designs, (512, AT_LEAST))
        ]
        missed = sum(c.sum() for c in walk(AT_LEAST, AT_LEAST, at_looks(exclude(AT_LEAST, 0.05, 512), LOOK), 512))
        rows.append([name, *(f"{power:.3f}" for power in powers[:-1]), f"{powers[-1]:.5f}", f"{missed:.4f}"])
    for name, rival in RIVALS.items():
        powers = [
            simulated(rival, rate, AT_LEAST, ALPHA, budget, 2000 if budget > 1000 else 10_000)[0]
            for budget, rate in designs
        ]
        falsely = simulated(rival, AT_LEAST, AT_LEAST, ALPHA, 512, RUNS)[0]
        missed = simulated(rival, AT_LEAST, AT_LEAST, 0.05, 512, RUNS)[1]
        rows.append([name, *(f"{power:.3f}" for power in powers), f"{falsely:.5f}", f"{missed:.4f}"])
    table(f"Supported within a budget: at least {AT_LEAST}, alpha {ALPHA}, looks every {LOOK} units", header, rows)


def measure_one_ended_means() -> None:
    """How many units a claim on one end of a mean takes, beside the hedged interval, and how often it errs there."""
    rows = []
    for name, candidate in CLAIMED_MEANS:
        # first_exclusions asks for 2 / alpha, a MeanProcess for 1 / (0.98 alpha).
        alphas = (ALPHA, 2 * (1 - ASIDE) * ALPHA)
        hedged, aimed = np.minimum(first_exclusions(name, candidate, alphas, 2000)[0], HORIZON).mean(1)
        mean, _ = UNITS[name]
        falsely = np.isfinite(first_exclusions(name, mean, (2 * (1 - ASIDE) * 0.05,), RUNS)[0]).mean()
        rows.append(
            [name, f"{candidate}", f"{hedged:.0f}", f"{aimed:.0f}", f"{1 - aimed / hedged:.1%}", f"{falsely:.4f}"]
        )
    columns = ["units", "claim: at least", "mean_interval", "MeanProcess", "fewer", "edge error, alpha 0.05"]
    table("Means: units until supported", columns, rows)


def measure_controls() -> None:
    """How often a model that is one more draw of its control passes, and the bound on it."""
    rows = []
    rng = np.random.default_rng(SEED)
    for draws, allowed in ((19, 0), (59, 0), (99, 0), (99, 4)):
        rates = np.clip(0.5 + 0.1 * rng.standard_normal((RUNS, draws + 1)), 0, 1)
        successes = rng.binomial(256, rates)
        ends = [rate_interval(s, 256, ALPHA) for s in range(257)]
        lower, upper = np.array([end.lower for end in ends]), np.array([end.upper for end in ends])
        exactly = (rates[:, 1:] >= rates[:, :1]).sum(1) <= allowed
        sampled = (upper[successes[:, 1:]] >= lower[successes[:, :1]]).sum(1) <= allowed
        bounds = [vacuity_error(draws, allowed, alpha) for alpha in (0.0, ALPHA)]
        e_value = control_e_value(0, draws, allowed, ALPHA)
        rows.append(
            [
                f"{draws}",
                f"{allowed}",
                f"{exactly.mean():.4f}",
                f"{bounds[0]:.4f}",
                f"{sampled.mean():.4f}",
                f"{bounds[1]:.4f}",
                f"{e_value:.1f}",
            ]
        )
    columns = ["draws", "may reach", "passed, exact", "bound", "passed, 256 units each", "bound", "e-value"]
    table(f"A model that is one more draw of its control, {RUNS} runs", columns, rows)


def measure_closure() -> None:
    """How many claims the closure of e-BH finds beside e-BH itself."""
    rows = []
    for shift in (2.0, 3.0):
        rng = np.random.default_rng(SEED)
        z = rng.standard_normal((2000, 40))
        z[:, 20:] += shift
        e_values = np.exp(shift * z - shift**2 / 2)
        row = [f"{shift}"]
        for procedure in (e_benjamini_hochberg, closed_e_benjamini_hochberg):
            survive = np.array([procedure(e, 0.1) for e in e_values])
            false = survive[:, :20].sum(1) / np.maximum(survive.sum(1), 1)
            row += [f"{false.mean():.4f}", f"{survive[:, 20:].sum(1).mean():.2f}"]
        rows.append(row)
    table("e-BH and its closure at 0.1, 2000 runs", ["shift", "FDR", "true of 20", "FDR, closed", "true, closed"], rows)


def draw_budget() -> None:
    """How often a claim is supported within 512 units, against the truth."""
    budget, rates = 512, np.array([0.92, 0.93, 0.94, 0.95, 0.96, 0.97, 0.98, 0.99])
    figure, axes = plt.subplots(figsize=(5, 3.4), layout="constrained")
    needed = binom.isf(ALPHA, budget, AT_LEAST)
    axes.plot(rates, binom.sf(needed, budget, rates), color="0.6", linestyle="--", label="test of fixed size")
    for label, left in (
        ("RateProcess", left_by_process(AT_LEAST, ALPHA, budget)),
        ("rate_interval", left_by_wealth(AT_LEAST, ALPHA)),
    ):
        axes.plot(rates, [walk(r, AT_LEAST, at_looks(left, LOOK), budget)[0].sum() for r in rates], label=label)
    for label, rival in RIVALS.items():
        powers = [simulated(rival, rate, AT_LEAST, ALPHA, budget, 2000)[0] for rate in rates]
        axes.plot(rates, powers, linewidth=0.9, label=label)
    axes.set(ylim=(0, 1), xlabel="true rate (the claim: at least 0.9)", ylabel="supported within 512 units")
    axes.legend(frameon=False, fontsize=7)
    figure.savefig(HERE / "inference-budget.svg", metadata={"Date": None})


if __name__ == "__main__":
    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "mechtests", "svg.fonttype": "none", "font.size": 9})
    measure_rate_coverage()
    measure_mean_coverage()
    measure_rate_power()
    measure_mean_power()
    measure_false_discoveries()
    measure_budgets()
    measure_one_ended_means()
    measure_controls()
    measure_closure()
    measure_speed()
    draw_looks()
    draw_budget()
    draw_units()
