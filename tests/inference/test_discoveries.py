import itertools
import math
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mechtests.inference import closed_e_benjamini_hochberg, e_benjamini_hochberg, partial_conjunction_e_value

steady = settings(deadline=None, derandomize=True, max_examples=100)
few = st.lists(st.floats(0, 60), min_size=1, max_size=6)
many = st.lists(st.floats(0, 1e4), max_size=40)
rates = st.floats(0.05, 0.5)


def largest_by_definition(e_values, fdr):
    claims = range(len(e_values))
    subsets = [set(s) for size in range(1, len(e_values) + 1) for s in itertools.combinations(claims, size)]
    allowed = [
        len(chosen)
        for chosen in subsets
        if all(
            np.mean([e_values[i] for i in nulls]) >= len(nulls & chosen) / (fdr * len(chosen)) - 1e-9
            for nulls in subsets
        )
    ]
    return max(allowed, default=0)


class TestClosedEBenjaminiHochberg:
    @steady
    @given(few, rates)
    def test_finds_the_largest_set_that_the_definition_allows(self, e_values, fdr):
        survives = closed_e_benjamini_hochberg(e_values, fdr)
        assert sum(survives) == largest_by_definition(e_values, fdr)
        others = [e for e, survivor in zip(e_values, survives, strict=True) if not survivor]
        assert min((e for e, s in zip(e_values, survives, strict=True) if s), default=math.inf) >= max(
            others, default=0
        )

    @steady
    @given(many, rates)
    def test_never_leaves_out_what_the_base_procedure_keeps(self, e_values, fdr):
        closed, base = closed_e_benjamini_hochberg(e_values, fdr), e_benjamini_hochberg(e_values, fdr)
        assert all(not kept or survives for kept, survives in zip(base, closed, strict=True))

    def test_can_find_more(self):
        # Two claims at 0.1: the base procedure asks for 10 and 10, or 20; the closure for a mean of 10 and 5 or more.
        assert e_benjamini_hochberg([15, 6], 0.1) == [False, False]
        assert closed_e_benjamini_hochberg([15, 6], 0.1) == [True, True]

    def test_takes_the_largest_float_and_nothing(self):
        assert closed_e_benjamini_hochberg([sys.float_info.max] * 3 + [0.0], 0.05) == [True, True, True, False]
        assert closed_e_benjamini_hochberg([], 0.05) == []

    @pytest.mark.parametrize("correlation", [0.0, 0.5, 0.95])
    def test_controls_the_false_discovery_rate_of_dependent_e_values(self, correlation):
        runs, claims, true_nulls, shift, fdr = 1000, 40, 20, 2.0, 0.1
        rng = np.random.default_rng(6)
        shared, own = rng.standard_normal((runs, 1)), rng.standard_normal((runs, claims))
        z = math.sqrt(correlation) * shared + math.sqrt(1 - correlation) * own
        z[:, true_nulls:] += shift
        survives = np.array([closed_e_benjamini_hochberg(row, fdr) for row in np.exp(shift * z - shift**2 / 2)])
        proportions = survives[:, :true_nulls].sum(1) / np.maximum(survives.sum(1), 1)
        assert proportions.mean() <= fdr + 4 * proportions.std() / math.sqrt(runs)
        assert survives[:, true_nulls:].any()

    def test_refuses_what_is_no_e_value_or_rate(self):
        with pytest.raises(ValueError, match="e-values of 0 or more"):
            closed_e_benjamini_hochberg([-1.0], 0.05)
        with pytest.raises(ValueError, match="fdr"):
            closed_e_benjamini_hochberg([1.0], 0)


class TestPartialConjunction:
    def test_is_the_mean_for_some_and_the_least_for_all(self):
        assert partial_conjunction_e_value([8, 2, 5], 1) == pytest.approx(5)
        assert partial_conjunction_e_value([8, 2, 5], 2) == pytest.approx(3.5)
        assert partial_conjunction_e_value([8, 2, 5], 3) == 2

    @steady
    @given(st.lists(st.floats(0, 1e6), min_size=1, max_size=8), st.integers(1, 8), st.integers(0, 255))
    def test_is_at_most_the_mean_over_any_nulls_that_make_it_false(self, e_values, at_least, chosen):
        n = len(e_values)
        at_least = min(at_least, n)
        nulls = [e for i, e in enumerate(e_values) if chosen >> i & 1]
        if len(nulls) > n - at_least:  # too few checkpoints are left on which it holds
            assert partial_conjunction_e_value(e_values, at_least) <= np.mean(nulls) * (1 + 1e-9)

    def test_stays_finite(self):
        assert partial_conjunction_e_value([sys.float_info.max] * 4, 1) <= sys.float_info.max

    @pytest.mark.parametrize(("e_values", "at_least"), [([], 1), ([1.0], 0), ([1.0], 2)])
    def test_refuses_more_than_there_are(self, e_values, at_least):
        with pytest.raises(ValueError, match="at_least"):
            partial_conjunction_e_value(e_values, at_least)
