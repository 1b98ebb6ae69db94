"""Our generator beside the package's: the same programs, the same words, and the same distribution.

The package takes some 0.2 s for a system, so its side is a file of samples, made by
``training/odeformer_package_samples.py``. Of every statistic each system gives one value, so that systems are the
independent units. With 200 systems of the package, shares must be some 0.16 apart to be found nine times in ten.
"""

import json
import math
import random
from collections import Counter

import numpy as np
import odeformer_canonical as canonical
import pytest
import torch
from odeformer_data import (
    CONFIG,
    LONGEST,
    bucketed,
    chunk,
    family_rows,
    in_words,
    package_rows,
    package_systems,
    points_read,
    sums_written,
)
from odeformer_package_samples import FILE
from odeformer_trees import Pool, compiled, expression, random_tree, with_unaries
from scipy.stats import fisher_exact, ks_2samp

from mechtests.families.ode import LinearPlane, Logistic
from mechtests.systems.odeformer.equations import Vocabulary, Written

pytest.importorskip("odeformer")

LEVEL = 0.01
"""For all comparisons of one dimension together (Bonferroni)."""
DRAWS = {1: 10_000, 2: 6_000}
FLOAT = "float"


@pytest.fixture(scope="module")
def vocabulary():
    return Vocabulary(CONFIG)


@pytest.fixture(scope="module", params=[1, 2])
def both(request):
    """Of one dimension: the package's samples and ours, as rows of the same form, and what was left out."""
    dimension = request.param
    theirs = json.loads(FILE.read_text())[str(dimension)]
    counts = torch.randint(50, 201, (10,), generator=torch.Generator().manual_seed(0)).tolist()
    sampled = package_systems(DRAWS[dimension] // 10, dimension, counts, torch.Generator().manual_seed(dimension))
    ours = [
        {"equation": words, "start": states[0].tolist(), "largest": states.abs().max().item()}
        for one in sampled
        for words, states in zip(one.equations, one.states, strict=True)
    ]
    discarded = sum((one.discarded for one in sampled), Counter())
    rows = [sample | {"equation": _words(sample["equation"])} for sample in theirs["samples"]]
    return rows, ours, Counter(theirs["discarded"]), discarded


def _words(prefix):
    """As ours are written: floats are numbers, integers two words."""
    words = []
    for word in prefix.split(","):
        if word.lstrip("-").isdigit():
            words += ["INT-" if word.startswith("-") else "INT+", word.lstrip("-")]
        else:
            words.append(word if word in canonical.WORDS else float(word))
    return words


def _signs(words):
    return ["+" if word > 0 else "-" for word in words if isinstance(word, float)]


def _constants(words):
    return [abs(word) for word in words if isinstance(word, float)]


NUMBERS = {
    "written length": lambda row: sum(3 if isinstance(word, float) else 1 for word in row["equation"]),
    "additions": lambda row: row["equation"].count("add"),
    "multiplications": lambda row: row["equation"].count("mul"),
    "powers": lambda row: row["equation"].count("pow"),
    "sines": lambda row: row["equation"].count("sin"),
    "first constant": lambda row: (_constants(row["equation"]) or [0.0])[0],
    "largest constant": lambda row: max(_constants(row["equation"]), default=0.0),
    "largest state": lambda row: row["largest"],
    "first state": lambda row: row["start"][0],
}
SHARES = {
    "+ first": lambda row: (_signs(row["equation"]) or ["-"])[0] == "+",
    "- last": lambda row: (_signs(row["equation"]) or ["+"])[-1] == "-",
    "one term": lambda row: row["equation"][0] == "mul" and "add" not in row["equation"],
    "an inverse": lambda row: ("INT-", "1") in list(zip(row["equation"], row["equation"][1:], strict=False)),
}
COMPARISONS = len(NUMBERS) + len(SHARES) + 2


@pytest.mark.parametrize("statistic", NUMBERS)
def test_numbers_are_distributed_as_the_package_s(both, statistic):
    theirs, ours = ([NUMBERS[statistic](row) for row in rows] for rows in both[:2])
    assert ks_2samp(theirs, ours).pvalue > LEVEL / COMPARISONS


@pytest.mark.parametrize("event", SHARES)
def test_events_are_as_frequent_as_in_the_package(both, event):
    theirs, ours = ([SHARES[event](row) for row in rows] for rows in both[:2])
    assert _same_share(sum(theirs), len(theirs), sum(ours), len(ours)) > LEVEL / COMPARISONS


def test_as_many_draws_are_left(both):
    theirs, ours, out, our_out = both
    p = _same_share(len(theirs), len(theirs) + out.total(), len(ours), len(ours) + our_out.total())
    assert p > LEVEL / COMPARISONS


def test_as_many_of_those_solved_are_left_out_as_stationary(both):
    theirs, ours, out, our_out = both
    still, our_still = out["stationary"], our_out["stationary"]
    assert _same_share(still, still + len(theirs), our_still, our_still + len(ours)) > LEVEL / COMPARISONS


def _same_share(count, n, other, m):
    return fisher_exact([[count, n - count], [other, m - other]]).pvalue


def test_the_comparison_finds_another_range_of_constants(both):
    """A planted difference: constants between the inverse root of 20 and the root of 20."""
    first = NUMBERS["first constant"]
    theirs, ours = [first(row) for row in both[0]], [first(row) ** 0.5 for row in both[1]]
    assert ks_2samp(theirs, ours).pvalue < LEVEL / COMPARISONS


@pytest.mark.parametrize("dimension", [1, 2])
def test_a_program_has_the_values_of_its_expression(dimension):
    """The batch's right-hand sides beside those of the written equation, read by plain Python."""
    source = Pool(60, dimension, seed=1)
    which, programs = source.draw(200, torch.Generator().manual_seed(0))
    states = torch.randn(200, dimension, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    slopes = programs.derivatives(states)
    for i, indices in enumerate(which.tolist()):
        for row, index in enumerate(indices):
            numbers = programs.constants[i, row, 2:].tolist()
            program = source.programs[index]
            expected = value(expression(program, numbers[: program.constants]), states[i].tolist())
            assert slopes[i, row].item() == pytest.approx(expected, rel=1e-9, abs=1e-12)


def value(terms, state):
    total = 0.0
    for monomial, coefficient in dict(terms).items():
        product = float(coefficient)
        for (kind, inside), exponent in monomial:
            base = state[inside] if kind == "x" else value(inside, state)
            product *= (math.sin(base) if kind == "sin" else base) ** exponent
        total += product
    return total


def test_an_operand_that_is_written_twice_pushes_out_the_next():
    """``id`` over the first operand of ``x_0 * x_1``: the package reads ``x_0 * id(x_0)``."""

    class Always(random.Random):
        def choice(self, _):
            return "id"

    assert with_unaries(("mul", ("x", 0), ("x", 1)), 3, Always()) == ("mul", ("x", 0), ("id", ("x", 0)))


def test_trees_have_the_operators_that_were_asked_for():
    rng = random.Random(0)
    trees = [random_tree(2, rng) for _ in range(500)]
    assert max(_count(tree, {"sin", "inv", "pow2", "id"}) for tree in trees) == 3
    assert min(_count(tree, {"add", "mul"}) for tree in trees) == 1
    assert all(compiled(tree).constants >= 1 for tree in trees)


def _count(tree, operators):
    return 0 if tree[0] == "x" else (tree[0] in operators) + sum(_count(child, operators) for child in tree[1:])


def test_the_points_that_are_read_are_half_of_them_and_always_the_same():
    from odeformer.envs.environment import FunctionEnvironment

    for count in (50, 101, 200):
        times = np.linspace(1, 10, count)
        environment = FunctionEnvironment.__new__(FunctionEnvironment)
        environment.params = type("Parameters", (), {"train_subsample_ratio": 0.5})()
        left, _, _ = environment._subsample_trajectory(times, times[:, None], train=True)
        assert np.array_equal(times[points_read(count)], left)


def test_families_are_written_as_the_package_would(vocabulary):
    falling = Logistic().build(
        amplitude=torch.tensor([1.0]).double(),
        steepness=torch.tensor([2.0]).double(),
        midpoint=torch.tensor([5.0]).double(),
        direction=torch.tensor([0]),
    )
    assert sums_written(falling.system) == [["add", "mul", 2.0, "pow", "x_0", "INT+", "2", "mul", -2.0, "x_0"]]
    plane = LinearPlane().sample(50, torch.Generator().manual_seed(0)).rescaled()
    rows = in_words(vocabulary, sums_written(plane.system))
    words = torch.tensor([[*row, vocabulary.end, *[vocabulary.pad] * (40 - len(row))] for row in rows])
    written = Written(words, vocabulary)
    assert (written.dimensions == 2).all()
    states = plane.states[:, :1]
    for i in range(50):
        assert written.right_hand_side(i)(states[i].numpy())[0] == pytest.approx(
            plane.system[i : i + 1].derivatives(states[i : i + 1])[0, 0].numpy(), rel=0.05, abs=0.05
        )


def test_a_chunk_is_decided_by_its_seed_and_number(vocabulary, monkeypatch):
    monkeypatch.setattr("odeformer_data.GROUPS", 2)
    monkeypatch.setattr("odeformer_data.BATCH", 16)
    monkeypatch.setattr("odeformer_data.DRAWS", {1: 300, 2: 200})
    first, again, other = (chunk(0, number, vocabulary) for number in (3, 3, 4))
    assert len(first) == 8
    for one, two in zip(first, again, strict=True):
        assert torch.equal(one.points, two.points)
        assert all(torch.equal(a, b) for a, b in zip(one.words, two.words, strict=True))
    assert not all(torch.equal(one.points, two.points) for one, two in zip(first, other, strict=True))
    assert all(len(batch.points) == 16 and batch.words[-1].shape[1] <= LONGEST + 2 for batch in first)


def test_buckets_hold_every_row_with_its_points(vocabulary):
    rows = family_rows(30, 100, torch.Generator().manual_seed(0), vocabulary)
    batch = bucketed(rows, vocabulary)
    found = [
        (points.tolist(), words[1 : int(length) - 1].tolist())
        for points, words, length in zip(
            batch.points, [row for part in batch.words for row in part], torch.cat(batch.lengths), strict=True
        )
    ]
    assert sorted(found) == sorted((points.tolist(), words) for points, words in rows)


def test_package_rows_are_short_enough_and_readable(vocabulary):
    (sampled,) = package_systems(600, 2, [60], torch.Generator().manual_seed(0))
    rows = package_rows(sampled, vocabulary)
    assert 0 < len(rows) <= len(sampled.equations)
    assert all(len(words) <= LONGEST and points.shape == (30, 9) for points, words in rows)
    assert all(vocabulary.tree(words) is not None for _, words in rows)
