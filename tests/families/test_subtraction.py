import torch
from hypothesis import find as hypothesis_find
from hypothesis import given, settings

from mechtests.families import Problems, SubtractionProblems

steady = settings(deadline=None, derandomize=True, max_examples=60)
FAMILY = SubtractionProblems()
CENSUS = FAMILY.census()


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def find(strategy, condition):
    return hypothesis_find(strategy, condition, settings=settings(derandomize=True, database=None, max_examples=1000))


def pairs(problems):
    return list(zip(problems.a.tolist(), problems.b.tolist(), strict=True))


def test_the_census_is_every_problem_once_with_a_changing_slowest():
    assert pairs(CENSUS) == [(a, b) for a in range(100) for b in range(100)]
    assert pairs(SubtractionProblems(largest=1).census()) == [(0, 0), (0, 1), (1, 0), (1, 1)]


def test_zero_counts_as_plus():
    assert CENSUS.is_plus.tolist() == [a >= b for a, b in pairs(CENSUS)]
    assert CENSUS.is_plus.sum() == 5050


def test_the_gap_is_above_zero_where_the_sign_is_minus():
    assert CENSUS.gap.tolist() == [b - a for a, b in pairs(CENSUS)]
    assert (CENSUS.gap > 0).equal(~CENSUS.is_plus)
    assert CENSUS.gap.dtype == torch.float32


def test_the_grid_holds_the_operands_side_by_side():
    assert CENSUS.grid.shape == (10_000, 2)
    assert CENSUS.grid.tolist() == [list(pair) for pair in pairs(CENSUS)]


def test_indexing_keeps_the_problems_chosen_in_the_order_asked_for():
    assert pairs(CENSUS[torch.tensor([9_999, 0, 102, 102])]) == [(99, 99), (0, 0), (1, 2), (1, 2)]
    negative = CENSUS[~CENSUS.is_plus]
    assert len(negative) == 4950
    assert not negative.is_plus.any()


def test_the_generator_decides_a_sample():
    first, again, other = (FAMILY.sample(50, generator(seed)) for seed in (1, 1, 2))
    assert pairs(first) == pairs(again)
    assert pairs(first) != pairs(other)


def test_operands_are_uniform_and_independent():
    sampled = FAMILY.sample(40_000, generator())
    # The chi-square of 100 cells, ten by ten, exceeds 148.3 once in a thousand times.
    cells = (sampled.a // 10 * 10 + sampled.b // 10).bincount(minlength=100)
    assert len(cells) == 100
    assert ((cells - 400) ** 2 / 400).sum() < 148.3
    assert sampled.a.unique().tolist() == sampled.b.unique().tolist() == list(range(100))


def test_a_smaller_family_stays_below_its_largest_operand():
    sampled = SubtractionProblems(largest=3).sample(1_000, generator())
    assert set(pairs(sampled)) == {(a, b) for a in range(4) for b in range(4)}


@steady
@given(FAMILY.strategy())
def test_the_strategy_stays_in_the_family_and_agrees_with_sample_in_form(problem):
    sampled = FAMILY.sample(1, generator())
    assert isinstance(problem, Problems)
    assert len(problem) == len(sampled) == 1
    assert 0 <= problem.a.item() <= 99
    assert 0 <= problem.b.item() <= 99
    assert (problem.a.dtype, problem.b.dtype) == (sampled.a.dtype, sampled.b.dtype)


def test_the_strategy_shrinks_to_the_simplest_problem():
    assert pairs(find(FAMILY.strategy(), lambda _: True)) == [(0, 0)]
    assert pairs(find(FAMILY.strategy(), lambda problem: not problem.is_plus.item())) == [(0, 1)]
    assert pairs(find(FAMILY.strategy(), lambda problem: problem.gap.item() < -10)) == [(11, 0)]


def test_the_strategy_reaches_both_ends():
    find(FAMILY.strategy(), lambda problem: problem.a.item() == 99)
    find(FAMILY.strategy(), lambda problem: problem.b.item() == 99)
