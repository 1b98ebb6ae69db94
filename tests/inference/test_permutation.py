import math

import numpy as np
import pytest

from mechtests.inference import permutation_e_value, permutation_p_value


def test_counts_the_statistic_itself_and_ties_as_extreme():
    null = np.array([1.0, 2.0, 3.0, 4.0])
    assert permutation_p_value(3.0, null, "high") == 3 / 5
    assert permutation_p_value(3.0, null, "low") == 4 / 5
    assert permutation_p_value(9.0, null, "high") == 1 / 5


def test_is_1_without_draws():
    assert permutation_p_value(2.0, np.array([]), "low") == 1


@pytest.mark.parametrize("sign", [1, -1])
def test_counts_as_a_tie_what_differs_by_rounding_only(sign):
    statistic = sign * (0.1 + 0.2)
    tie = np.array([sign * 0.3])
    assert permutation_p_value(statistic, tie, "high") == 1
    assert permutation_p_value(statistic, tie, "low") == 1


@pytest.mark.parametrize("draws", [19, 99])
@pytest.mark.parametrize("tail", ["low", "high"])
def test_is_uniform_on_its_steps_when_the_null_is_true_and_has_no_ties(draws, tail):
    # Whichever of draws + 1 exchangeable numbers is the observed one: each step of the p-value comes once.
    pooled = np.random.default_rng(7).standard_normal(draws + 1)
    p_values = [permutation_p_value(pooled[i], np.delete(pooled, i), tail) for i in range(draws + 1)]
    assert sorted(p_values) == pytest.approx(np.arange(1, draws + 2) / (draws + 1))


def test_is_never_too_small_when_the_null_is_true_and_has_ties():
    pooled = np.random.default_rng(8).integers(0, 5, 40).astype(float)
    p_values = np.array([permutation_p_value(pooled[i], np.delete(pooled, i), "high") for i in range(40)])
    assert all((p_values <= level).mean() <= level for level in np.arange(1, 41) / 40)


def test_refuses_nan_in_the_statistic_or_the_draws():
    with pytest.raises(ValueError, match="the statistic is nan"):
        permutation_p_value(math.nan, np.zeros(3), "low")
    with pytest.raises(ValueError, match="1 of 3 draws are NaN"):
        permutation_p_value(0.0, np.array([0.0, math.nan, 1.0]), "low")


def test_refuses_draws_that_are_not_one_number_each():
    with pytest.raises(ValueError, match=r"shape \(2, 2\)"):
        permutation_p_value(0.0, np.zeros((2, 2)), "low")


def test_refuses_another_tail():
    with pytest.raises(ValueError, match='"low" or "high"'):
        permutation_p_value(0.0, np.zeros(3), "both")  # type: ignore[arg-type]


@pytest.mark.parametrize(("draws", "rank"), [(19, 1), (99, 5), (9_999, 10)])
def test_the_e_value_of_a_rank_has_expectation_1_without_ties(draws, rank):
    e_values = [permutation_e_value(place / (draws + 1), draws, rank) for place in range(1, draws + 2)]
    assert np.mean(e_values) == pytest.approx(1)
    assert set(e_values) == {0, (draws + 1) / rank}


def test_a_permutation_claim_at_one_in_a_thousand_has_an_e_value_of_a_thousand():
    assert permutation_e_value(0.001, 9_999, 10) == pytest.approx(1000)
    assert permutation_e_value(0.0011, 9_999, 10) == 0


def test_the_e_value_refuses_ranks_and_p_values_that_cannot_be():
    with pytest.raises(ValueError, match="a rank between 1 and"):
        permutation_e_value(0.5, 19, 0)
    with pytest.raises(ValueError, match="a multiple of 1 / 20"):
        permutation_e_value(0.001, 19, 1)
