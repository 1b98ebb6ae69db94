import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mechtests.instruments import angle, relative_error

steady = settings(deadline=None, derandomize=True, max_examples=60)
seeds = st.integers(0, 2**32 - 1)


def direction(seed, size=8):
    return torch.randn(size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("degrees", [0, 1, 45, 90, 120, 179, 180])
def test_is_the_planted_angle(degrees):
    turned = torch.tensor([math.cos(math.radians(degrees)), math.sin(math.radians(degrees))], dtype=torch.float64)
    assert angle(torch.tensor([2.0, 0.0]).double(), 5 * turned) == pytest.approx(degrees, abs=1e-5)


def test_random_directions_in_many_dimensions_are_near_a_right_angle():
    angles = torch.tensor([angle(direction(seed, 512), direction(seed + 1, 512)) for seed in range(0, 200, 2)])
    assert angles.mean().item() == pytest.approx(90, abs=1)
    assert (angles - 90).abs().max() < 12


@steady
@given(seeds, st.floats(1e-6, 1e6), st.floats(1e-6, 1e6))
def test_lengths_and_order_do_not_matter(seed, first, second):
    u, v = direction(seed), direction(seed + 1)
    assert angle(first * u, second * v) == pytest.approx(angle(u, v), abs=1e-4)
    assert angle(v, u) == pytest.approx(angle(u, v), abs=1e-9)


@steady
@given(seeds)
def test_the_angle_to_the_opposite_direction_makes_a_straight_line(seed):
    u, v = direction(seed), direction(seed + 1)
    assert angle(u, -v) == pytest.approx(180 - angle(u, v), abs=1e-6)


@pytest.mark.parametrize("size", [2, 512])
def test_a_direction_is_aligned_with_itself_in_float32(size):
    for seed in range(20):
        u = direction(seed, size).float()
        assert angle(u, 3 * u) == pytest.approx(0, abs=0.05)
        assert angle(u, -3 * u) == pytest.approx(180, abs=0.05)


@pytest.mark.parametrize("length", [1e-15, 1e15])
def test_very_short_and_very_long_vectors_have_a_direction_in_float32(length):
    assert angle(torch.tensor([length, 0.0]), torch.tensor([0.0, length])) == pytest.approx(90)


@pytest.mark.parametrize("place", [0, 1])
def test_refuses_a_zero_vector(place):
    pair = [torch.ones(3), torch.ones(3)]
    pair[place] = torch.zeros(3)
    with pytest.raises(ValueError, match="a zero vector has no direction"):
        angle(*pair)


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e3])
def test_the_relative_error_is_the_planted_one_at_any_size(size):
    expected = size * torch.tensor([1.0, -4.0, 2.0])
    found = expected + size * torch.tensor([0.0, 0.2, -0.4])
    assert relative_error(found, expected).item() == pytest.approx(0.1, rel=1e-5)
    assert relative_error(expected, expected) == 0
