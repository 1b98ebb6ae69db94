import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mechtests.instruments.profiles import at_points, centre, lift_on, prominence, received, share_on, shares, width

steady = settings(deadline=None, derandomize=True, max_examples=40)
seeds = st.integers(0, 2**32 - 1)
TIMES = torch.linspace(1, 10, 19, dtype=torch.float64)


def profiles(seed, *shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) + 0.01


def bump(middle, spread):
    return torch.exp(-((TIMES - middle) ** 2) / (2 * spread**2))


@steady
@given(seeds)
def test_what_points_receive_is_a_share_of_the_attention_of_all_queries_alike(seed):
    attention = profiles(seed, 2, 3, 5, 7).softmax(-1)
    assert received(attention).sum(-1) == pytest.approx(torch.ones(2, 3).numpy())
    torch.testing.assert_close(received(attention), attention.double().mean(-2), atol=1e-6, rtol=0)
    torch.testing.assert_close(received(3 * attention), received(attention))


@steady
@given(seeds, st.integers(0, 6))
def test_shares_on_some_points_and_on_the_others_make_one(seed, count):
    profile, where = shares(profiles(seed, 4, 2, 7)), (torch.arange(7) < count).expand(2, 7)
    torch.testing.assert_close(share_on(profile, where) + share_on(profile, ~where), torch.ones(4, 2).double())


@pytest.mark.parametrize("count", [1, 3, 6])
@pytest.mark.parametrize("times", [0.5, 1.0, 4.0])
def test_lift_is_the_planted_factor(count, times):
    where = (torch.arange(7) < count)[None]
    assert lift_on(torch.where(where, times, 1.0), where).item() == pytest.approx(times)


def test_lift_is_one_where_there_is_no_elsewhere():
    assert lift_on(profiles(0, 1, 5), torch.ones(1, 5, dtype=torch.bool)).item() == 1


@pytest.mark.parametrize("middle", [4.0, 5.5, 7.0])
@pytest.mark.parametrize("spread", [0.5, 0.8])
def test_centre_and_width_are_those_of_a_planted_bump(middle, spread):
    assert centre(bump(middle, spread), TIMES).item() == pytest.approx(middle, abs=1e-2)
    assert width(bump(middle, spread), TIMES).item() == pytest.approx(spread, rel=2e-2)


def test_a_uniform_profile_has_its_centre_in_the_middle():
    assert centre(torch.ones(19), TIMES).item() == pytest.approx(5.5)


@pytest.mark.parametrize("deviations", [3.0, 10.0])
def test_prominence_is_the_planted_number_of_deviations(deviations):
    others = torch.tensor([1.0, 3.0] * 6)  # a mean of 2 and a deviation of 1
    profile = torch.cat([others[:5], torch.tensor([2 + deviations]), others[5:]])[None]
    assert prominence(profile).item() == pytest.approx(deviations, rel=1e-5)


def test_no_point_of_a_uniform_profile_is_prominent():
    assert prominence(torch.ones(2, 9)).tolist() == [0, 0]


def test_at_points_reads_one_point_of_each_trajectory():
    values = torch.arange(24.0).reshape(2, 3, 4)
    assert at_points(values, torch.tensor([0, 3, 1])).tolist() == [[0, 7, 9], [12, 19, 21]]
