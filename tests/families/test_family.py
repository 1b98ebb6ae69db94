import itertools

import pytest
import torch
from hypothesis import find as hypothesis_find
from hypothesis import given, settings
from hypothesis import strategies as st

from mechtests import Family, Integer, Parameters, Real
from mechtests.families import SubtractionProblems

steady = settings(deadline=None, derandomize=True, max_examples=60)
FAMILY = Parameters(x=Real(0.1, 2.5), n=Integer(-3, 6))


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def find(strategy, condition):
    return hypothesis_find(strategy, condition, settings=settings(derandomize=True, database=None, max_examples=1000))


class Segments(Family[torch.Tensor]):
    """Segments on a line, as start and end side by side: a family of a user's own."""

    @property
    def parameters(self):
        return {"start": Real(-1, 1), "length": Integer(1, 5)}

    def build(self, start, length):
        return torch.stack([start, start + length], 1)


def test_the_generator_decides_a_sample():
    first, again, other = (FAMILY.sample(50, generator(seed)) for seed in (1, 1, 2))
    assert all(first[name].equal(again[name]) for name in first)
    assert not any(first[name].equal(other[name]) for name in first)


def test_sampling_leaves_the_global_randomness_alone():
    state = torch.get_rng_state()
    FAMILY.sample(50, generator())
    assert torch.get_rng_state().equal(state)


def test_one_generator_goes_on_from_where_it_was():
    source = generator()
    assert not FAMILY.sample(50, source)["x"].equal(FAMILY.sample(50, source)["x"])


def test_whole_numbers_are_uniform_with_both_ends():
    counts = FAMILY.sample(20_000, generator())["n"].add(3).bincount(minlength=10)
    assert len(counts) == 10
    # The chi-square of 10 cells exceeds 27.9 once in a thousand times.
    assert ((counts - 2000) ** 2 / 2000).sum() < 27.9


def test_real_numbers_are_uniform_between_the_ends():
    x = FAMILY.sample(20_000, generator())["x"].sort().values
    assert x[0] >= 0.1
    assert x[-1] <= 2.5
    # The Kolmogorov distance of 20,000 draws exceeds 1.95 / sqrt(20,000) once in a thousand times.
    assert ((x - 0.1) / 2.4 - torch.linspace(0, 1, 20_000)).abs().max() < 1.95 / 20_000**0.5


def test_parameters_and_units_are_independent():
    drawn = FAMILY.sample(20_000, generator())
    x, n = drawn["x"], drawn["n"].double()
    pairs = [(x, n), (x[1:], x[:-1]), (n[1:], n[:-1])]
    assert all(torch.corrcoef(torch.stack(pair))[0, 1].abs() < 0.03 for pair in pairs)


@pytest.mark.parametrize("value", [-4, 0, 7])
def test_a_range_of_one_number_gives_that_number(value):
    family = Parameters(n=Integer(value, value), x=Real(value, value))
    drawn = family.sample(3, generator())
    assert drawn["n"].tolist() == drawn["x"].tolist() == [value] * 3


def test_an_empty_sample_is_empty():
    assert all(len(values) == 0 for values in FAMILY.sample(0, generator()).values())


@steady
@given(FAMILY.strategy())
def test_the_strategy_stays_in_the_family(drawn):
    assert 0.1 <= drawn["x"].item() <= 2.5
    assert -3 <= drawn["n"].item() <= 6


@pytest.mark.parametrize("end", [0.1, 2.7, 1e-9])
def test_the_strategy_stays_in_the_family_at_its_ends(end):
    drawn = find(Parameters(x=Real(end, end)).strategy(), lambda _: True)
    assert drawn["x"].item() == end


def test_the_strategy_reaches_every_whole_number_and_both_ends():
    for number in range(-3, 7):
        assert find(FAMILY.strategy(), lambda drawn, number=number: drawn["n"].item() == number)
    find(FAMILY.strategy(), lambda drawn: drawn["x"].item() < 0.3)
    find(FAMILY.strategy(), lambda drawn: drawn["x"].item() > 2.3)


@steady
@given(FAMILY.strategy())
def test_sample_and_strategy_agree_in_form(drawn):
    sampled = FAMILY.sample(1, generator())
    assert drawn.keys() == sampled.keys()
    assert all(drawn[name].shape == sampled[name].shape for name in drawn)
    assert all(drawn[name].dtype == sampled[name].dtype for name in drawn)


def test_the_strategy_shrinks_to_simple_values():
    simple = find(FAMILY.strategy(), lambda _: True)
    assert simple["n"].item() == 0
    assert simple["x"].item() == 1
    assert find(FAMILY.strategy(), lambda drawn: drawn["n"].item() > 2)["n"].item() == 3


def test_a_family_of_ones_own_needs_its_ranges_and_how_to_build():
    sampled = Segments().sample(100, generator())
    drawn = find(Segments().strategy(), lambda segment: segment[0, 1] > 3)
    assert sampled.shape == (100, 2)
    assert (sampled[:, 1] - sampled[:, 0] >= 1 - 1e-9).all()
    assert drawn.shape == (1, 2)
    assert drawn.dtype == sampled.dtype


def test_a_family_without_ranges_cannot_be_made():
    with pytest.raises(TypeError, match="abstract"):
        Family()


@steady
@given(st.integers(-100, 100), st.integers(1, 50))
def test_a_range_with_its_ends_the_wrong_way_round_is_refused(low, by):
    with pytest.raises(ValueError, match=rf"Integer\({low}, {low - by}\): expected low ≤ high"):
        Integer(low, low - by)
    with pytest.raises(ValueError, match="expected low ≤ high"):
        Real(low, low - by)


@pytest.mark.parametrize("ends", [(float("nan"), 1.0), (0.0, float("nan"))])
def test_a_range_with_an_end_that_is_no_number_is_refused(ends):
    with pytest.raises(ValueError, match="expected low ≤ high"):
        Real(*ends)


@steady
@given(FAMILY.any_point(), FAMILY.any_point())
def test_a_batch_holds_the_inputs_of_its_points_in_order(first, second):
    batch = FAMILY.at([first, second])
    assert batch["x"].tolist() == [first["x"], second["x"]]
    assert batch["n"].tolist() == [first["n"], second["n"]]


@steady
@given(FAMILY.any_point())
def test_a_point_lies_in_the_family(point):
    ranges = FAMILY.parameters
    assert list(point) == list(ranges)
    assert all(point[name] in one for name, one in ranges.items())
    assert all(type(point[name]) is kind for name, kind in (("x", float), ("n", int)))


@pytest.mark.parametrize("value", [-4, 7, 1.5, 2.0, "1", None])
def test_what_is_no_whole_number_of_a_range_does_not_lie_in_it(value):
    assert value not in Integer(-3, 6)


@pytest.mark.parametrize("value", [0, 2.6, float("nan"), "1", None])
def test_what_is_no_number_of_a_range_does_not_lie_in_it(value):
    assert value not in Real(0.1, 2.5)


@steady
@given(st.integers(-1000, 1000), st.integers(0, 1000), st.integers(2, 50))
def test_a_grid_is_spread_evenly_with_both_ends(low, span, n):
    whole, real = Integer(low, low + span).grid(low, low + span, n), Real(low, low + span).grid(low, low + span, n)
    assert (whole[0], whole[-1], real[0], real[-1]) == (low, low + span, low, low + span)
    assert all(type(value) is int for value in whole)
    steps = [after - before for before, after in itertools.pairwise(whole)]
    assert not steps or max(steps) - min(steps) <= 1
    assert len(real) == n
    assert len(whole) == min(n, span + 1)


def test_an_input_is_described_by_its_parameters_unless_the_family_knows_better():
    assert FAMILY.describe({"x": 0.123456789, "n": -2}).text == "x = 0.123457, n = -2"
    assert SubtractionProblems().describe({"a": 57, "b": 58}).text == "57 - 58"


def test_inputs_for_discovery_and_for_evaluation_are_the_same_at_every_call():
    family = Parameters(x=Real(0, 1), n=Integer(0, 9))
    for draw in (family.discovery, family.evaluation):
        first, again = draw(8), draw(8)
        assert all(torch.equal(first[name], again[name]) for name in family.parameters)
        assert len(first["x"]) == 8
