"""What the small ODEFormer is trained on: systems as the package draws them, and the families that claims are about.

Everything is made in chunks, each a function of seed and chunk number alone, so that a run can go on anywhere.
"""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import odeformer_canonical as canonical
import torch
from jaxtyping import Float, Int
from odeformer_families import signs, spread, sums_of_terms, uniform, usable
from odeformer_trees import Pool
from torch import Tensor

from mechtests.families.ode import (
    Equations,
    Exponential,
    Harmonic,
    Hyperbolic,
    Linear,
    LinearPlane,
    Logistic,
    Term,
    Trajectories,
    solved,
    terms,
)
from mechtests.systems.odeformer.equations import Vocabulary
from mechtests.systems.odeformer.package import OdeformerConfig

CONFIG = OdeformerConfig(emb_emb_dim=32)
LONGEST = 58
"""Words of an equation at most, without the end mark."""
POINTS = (50, 200)
"""Points of a trajectory: from, to. Half of them are read."""
BOUND = 100.0
MOST_STEPS = 300
"""Steps of the solver before a system counts as too slow. The package allows a system 0.2 s of wall-clock time."""
STATIONARY = 0.9
"""The share of trajectories that are left out among those that no longer move."""
FAMILY_SHARE = 0.35


@dataclass(frozen=True, eq=False)
class Sampled:
    """Systems as the package would draw them, with everything it would leave out left out.

    Attributes:
        times: on which they were solved.
        states: the solutions.
        equations: prefix words, with floats as numbers.
        discarded: how many draws were left out, by reason.
    """

    times: Float[Tensor, " point"]
    states: Float[Tensor, "system point dimension"]
    equations: list[list["str | float"]]
    discarded: Counter[str]


@dataclass(frozen=True, eq=False)
class Batch:
    """Trajectories of one number of points, and their equations in buckets of like lengths, one after the other.

    Attributes:
        points: as the embedder takes them.
        words: of each bucket, between two end marks.
        lengths: of each bucket's rows, with both end marks.
    """

    points: Int[Tensor, "trajectory point slot"]
    words: list[Int[Tensor, "trajectory word"]]
    lengths: list[Int[Tensor, " trajectory"]]

    def to(self, device: str | torch.device) -> "Batch":
        return Batch(
            self.points.to(device),
            [words.to(device) for words in self.words],
            [lengths.to(device) for lengths in self.lengths],
        )


@cache
def pool(dimension: int, seed: int = 0, size: int = 40_000) -> Pool:
    """The right-hand sides of every run: their seed is no training seed."""
    return Pool(size, dimension, seed)


def package_systems(n: int, dimension: int, points: list[int], generator: torch.Generator) -> list[Sampled]:
    """For each number of points, what is left of ``n`` draws."""
    source = pool(dimension)
    which, programs = source.draw(n * len(points), generator)
    order = programs.lengths.amax(1).argsort(stable=True)  # like lengths together: fewer instructions for the rest
    which, programs = which[order], programs[order]
    group = torch.randperm(len(order), generator=generator) % len(points)
    start = torch.randn(len(order), dimension, generator=generator, dtype=torch.float64)
    grids = [torch.linspace(1, 10, count, dtype=torch.float64) for count in points]
    longest = max(points)
    padded = torch.stack([torch.cat([grid, grid.new_full((longest - len(grid),), 10.0)]) for grid in grids])
    states, fault = solved(programs, start, padded[group], tolerance=1e-3, bound=BOUND, most=MOST_STEPS)
    keep = torch.rand(len(order), generator=generator, dtype=torch.float64) >= STATIONARY
    sampled = []
    for number, grid in enumerate(grids):
        here = (group == number).nonzero()[:, 0]
        mine = states[here, : len(grid)]
        solved_ones = (fault[here] == 0) & (mine.abs() <= BOUND).all(-1).all(-1)
        last = mine[:, -(len(grid) // 4) :]
        moving = ((last.amax(1) - last.amin(1)) / (len(grid) // 4) >= 1e-3).any(-1)
        good = solved_ones & (moving | keep[here])
        discarded = Counter(unsolved=int((~solved_ones).sum()), stationary=int((solved_ones & ~good).sum()))
        rows, equations = [], []
        chosen = here[good]
        for row, indices, constants in zip(
            good.nonzero()[:, 0].tolist(), which[chosen].tolist(), programs.constants[chosen].tolist(), strict=True
        ):
            try:
                equations.append(source.written(indices, constants))
                rows.append(row)
            except canonical.RoundedAwayError:
                discarded["rounded away"] += 1
        sampled.append(Sampled(grid, mine[rows], equations, discarded))
    return sampled


@cache
def points_read(count: int) -> Int[Tensor, " kept"]:
    """Which of ``count`` points the package's training reads: it seeds the choice anew for every trajectory."""
    rng = np.random.RandomState(0)
    ratio = rng.choice(np.linspace(0, 0.5, 5))
    gone = rng.choice(count, int(count * ratio), replace=False)
    return torch.from_numpy(np.delete(np.arange(count), gone))


# Words ----------------------------------------------------------------------------------------------------------------


def in_words(vocabulary: Vocabulary, equations: list[list["str | float"]]) -> list[list[int]]:
    """Prefix words as numbers of the vocabulary, floats in three words each."""
    floats = [word for equation in equations for word in equation if isinstance(word, float)]
    encoded = iter(vocabulary._equations._floats.encode(torch.tensor(floats, dtype=torch.float64)).tolist())
    return [
        [
            number
            for word in equation
            for number in (next(encoded) if isinstance(word, float) else (vocabulary.id(word),))
        ]
        for equation in equations
    ]


def sums_written(system: Equations) -> list[list["str | float"]]:
    """The families' equations in the package's order; :meth:`Vocabulary.write` has an order of its own.

    Coefficients are not rounded to four decimals: a family's may be smaller than any that the package draws.
    """
    kinds = terms(system.dimension)
    rows = []
    for coefficients, frequency in zip(system.coefficients.tolist(), system.frequency.tolist(), strict=True):
        words: list[str | float] = []
        for right_hand_side in coefficients:
            total: canonical.Expression = {}
            for term, coefficient in zip(kinds, right_hand_side, strict=True):
                if coefficient:
                    total |= canonical.multiply(canonical.number(coefficient), term_expression(term, frequency))
            words += ["|"] * bool(words)
            words += canonical.written_exactly(total) if total else ["INT+", "0"]
        rows.append(words)
    return rows


def term_expression(term: Term, frequency: list[float]) -> canonical.Expression:
    """One of the families' terms, without its coefficient."""
    if term.sine is not None:
        return canonical.sine(canonical.multiply(canonical.number(frequency[term.sine]), canonical.variable(term.sine)))
    product = canonical.number(1)
    for index, exponent in enumerate(term.powers):
        for _ in range(exponent):
            product = canonical.multiply(product, canonical.variable(index))
    return product


# Families -------------------------------------------------------------------------------------------------------------


def families(n: int, points: int, generator: torch.Generator) -> list[Trajectories]:
    """About ``n`` valid trajectories of the families that claims are about, prepared as ``fit`` would."""
    g, k = generator, max(n // 10, 1)
    ones = torch.ones(2 * k).double()
    made = [
        Linear(points=points).build(rate=signs(k, g) * spread(k, 0.02, 2, g), amplitude=ones[:k]),
        Hyperbolic(points=points).build(amplitude=spread(k // 2, 0.1, 10, g), shift=uniform(k // 2, -0.9, 9, g)),
        Exponential(points=points).build(
            rate=signs(2 * k, g) * spread(2 * k, 0.05, 2, g),
            amplitude=signs(2 * k, g) * spread(2 * k, 0.1, 10, g),
            offset=signs(2 * k, g) * spread(2 * k, 0.1, 10, g),
        ),
        Logistic(points=points).build(
            amplitude=ones,
            steepness=spread(2 * k, 0.2, 6, g),
            midpoint=uniform(2 * k, 0, 11, g),
            direction=torch.randint(0, 2, (2 * k,), generator=g),
        ),
        Harmonic(points=points).build(
            frequency=spread(k, 0.2, 3, g), amplitude=ones[:k], phase=uniform(k, 0, 2 * math.pi, g)
        ),
        LinearPlane(points=points).sample(4 * k, g),
    ]
    return [rescaled for one in made if len(rescaled := usable(one))]


# Chunks ---------------------------------------------------------------------------------------------------------------

BATCH = 128
BUCKETS = 8
GROUPS = 8
PER_GROUP = 4
"""Batches of one number of points."""
CHUNK = GROUPS * PER_GROUP
DRAWS = {1: 1400, 2: 900}
"""Draws per group and dimension: enough for their share, since one in six (in two dimensions, four) is left."""

Row = tuple[Tensor, list[int]]
"""Points ``[point, slot]`` and words."""


def chunk(seed: int, number: int, vocabulary: Vocabulary) -> list[Batch]:
    """The batches of one chunk, in random order."""
    generator = torch.Generator().manual_seed(seed * 1_000_003 + number)
    counts = torch.randint(POINTS[0], POINTS[1] + 1, (GROUPS,), generator=generator).tolist()
    by_dimension = [package_systems(draws, dimension, counts, generator) for dimension, draws in DRAWS.items()]
    batches = []
    for group, count in enumerate(counts):
        rows: list[Row] = []
        package = round((1 - FAMILY_SHARE) * PER_GROUP * BATCH)
        for sampled in (each[group] for each in by_dimension):
            rows += package_rows(sampled, vocabulary)[: package // 2]
        rows += family_rows(PER_GROUP * BATCH - len(rows), count, generator, vocabulary)
        order = torch.randperm(len(rows), generator=generator).tolist()
        batches += [bucketed([rows[i] for i in order[k : k + BATCH]], vocabulary) for k in range(0, len(rows), BATCH)]
    return [batches[i] for i in torch.randperm(len(batches), generator=generator).tolist()]


def package_rows(sampled: Sampled, vocabulary: Vocabulary) -> list[Row]:
    """Those that are short enough, at the points that training reads."""
    if not sampled.equations:
        return []
    kept = points_read(len(sampled.times))
    states = sampled.states[:, kept]
    points = vocabulary.points(without_system(sampled.times[kept].expand(len(states), -1), states))
    words = in_words(vocabulary, sampled.equations)
    order = _shuffled(len(words))
    return [(points[i], words[i]) for i in order if len(words[i]) <= LONGEST]


def _shuffled(n: int) -> list[int]:
    """Draws are sorted by how long their programs are, which must not decide who is taken."""
    return torch.randperm(n, generator=torch.Generator().manual_seed(n)).tolist()


def family_rows(n: int, count: int, generator: torch.Generator, vocabulary: Vocabulary) -> list[Row]:
    """``n`` rows with as many points as the package leaves of ``count``: half on an even grid, half with gaps."""
    read = len(points_read(count))
    rows: list[Row] = []
    for whole in (read, count):
        for made in families(n, whole, generator):
            one = made
            if whole > read:
                places = torch.rand(len(one), whole, generator=generator).argsort(1)[:, :read].sort(1).values
                one = one.at(places).rescaled()
            words = in_words(vocabulary, sums_written(sums_of_terms(one)))
            rows += zip(vocabulary.points(one), words, strict=True)
    return [rows[i] for i in torch.randperm(len(rows), generator=generator)[:n].tolist()]


def without_system(times: Tensor, states: Tensor) -> Trajectories:
    """Trajectories of which only the points are asked for."""
    nothing = torch.zeros(len(times), dtype=torch.long)
    return Trajectories(times, states, torch.zeros_like(states), _NoSystem(), nothing)


class _NoSystem:
    """In place of a system where only points are asked for."""

    def __len__(self) -> int:
        return 0

    def __getitem__(self, index: Tensor | slice) -> "_NoSystem":
        return self

    def derivatives(self, states: Tensor) -> Tensor:
        raise NotImplementedError

    def rescaled(self, scale: Tensor, pace: Tensor) -> "_NoSystem":
        raise NotImplementedError


def bucketed(rows: list[Row], vocabulary: Vocabulary) -> Batch:
    """Rows as a batch, sorted by length."""
    rows = sorted(rows, key=lambda row: len(row[1]))
    size = math.ceil(len(rows) / BUCKETS)
    words, lengths = [], []
    for start in range(0, len(rows), size):
        bucket = [row[1] for row in rows[start : start + size]]
        longest = len(bucket[-1])
        end = vocabulary.end
        words.append(torch.tensor([[end, *row, end, *[vocabulary.pad] * (longest - len(row))] for row in bucket]))
        lengths.append(torch.tensor([len(row) + 2 for row in bucket]))
    return Batch(torch.stack([row[0] for row in rows]), words, lengths)


def stream(seed: int, first: int, vocabulary: Vocabulary) -> Iterator[Batch]:
    """The batches of a run from step ``first`` on."""
    number, place = divmod(first, CHUNK)
    while True:
        yield from chunk(seed, number, vocabulary)[place:]
        number, place = number + 1, 0
