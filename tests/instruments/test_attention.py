import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mechtests.instruments import (
    attention_pattern,
    attention_to,
    causal_mask,
    induction_targets,
    prefix_matching_score,
    previous_token_score,
    previous_token_targets,
    uniform_attention_to,
    value_weighted,
)

steady = settings(deadline=None, derandomize=True, max_examples=40)
seeds = st.integers(0, 2**32 - 1)
REPEATED = torch.tensor([[5, 1, 2, 3, 9, 1, 2, 3]])


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def all_on(targets, rest):
    """A pattern that puts everything on the target, and where there is none everything on key ``rest``."""
    n = targets.shape[1]
    chosen = torch.where(targets >= 0, targets, rest)
    return torch.nn.functional.one_hot(chosen, n).double().unsqueeze(1)


class TestPattern:
    def test_agrees_with_the_formula_written_out(self):
        q, k = normal(3, 4), normal(3, 4, seed=1)
        found = attention_pattern(q, k, causal_mask(3))
        for query in range(3):
            weights = [math.exp(float(q[query] @ k[key]) / 2) for key in range(query + 1)]
            expected = [weight / sum(weights) for weight in weights] + [0.0] * (2 - query)
            assert found[query].tolist() == pytest.approx(expected)

    def test_keys_like_the_query_take_all_of_it(self):
        directions = 100 * torch.eye(4, dtype=torch.float64)
        torch.testing.assert_close(attention_pattern(directions, directions), torch.eye(4, dtype=torch.float64))

    def test_equal_keys_share_alike(self):
        found = attention_pattern(normal(2, 5, 4), torch.ones(2, 5, 4, dtype=torch.float64), causal_mask(5))
        expected = causal_mask(5).double() / torch.arange(1, 6).unsqueeze(1)
        torch.testing.assert_close(found, expected.expand(2, 5, 5))

    @steady
    @given(seeds, st.integers(1, 6), st.integers(1, 6), st.integers(1, 5))
    def test_rows_sum_to_one_and_masked_keys_get_nothing(self, seed, queries, keys, d_head):
        drawn = torch.Generator().manual_seed(seed)
        mask = torch.rand(queries, keys, generator=drawn) < 0.5
        mask[:, 0] = True
        found = attention_pattern(normal(2, queries, d_head, seed=seed), normal(2, keys, d_head, seed=seed + 1), mask)
        torch.testing.assert_close(found.sum(-1), torch.ones(2, queries, dtype=torch.float64))
        assert not found[:, ~mask].any()

    def test_a_query_without_keys_is_refused(self):
        mask = causal_mask(3)
        mask[1] = False
        with pytest.raises(ValueError, match="1 queries may attend to no key"):
            attention_pattern(normal(3, 4), normal(3, 4), mask)


class TestValueWeighted:
    def test_attention_counts_by_the_length_of_what_it_reads(self):
        pattern = torch.tensor([[[0.25, 0.75], [0.5, 0.5]]])
        v = torch.tensor([[[3.0, 4.0], [0.0, 0.0]]])
        assert value_weighted(pattern, v).tolist() == [[[1.25, 0.0], [2.5, 0.0]]]

    @steady
    @given(seeds, st.floats(0.01, 100))
    def test_scales_with_the_values_and_not_with_their_direction(self, seed, factor):
        pattern, v = normal(2, 3, 5, 5, seed=seed).softmax(-1), normal(2, 3, 5, 4, seed=seed + 1)
        turned = torch.linalg.qr(normal(4, 4, seed=seed + 2)).Q
        torch.testing.assert_close(value_weighted(pattern, factor * v @ turned), factor * value_weighted(pattern, v))


class TestTargets:
    def test_induction_looks_after_the_last_earlier_occurrence(self):
        assert induction_targets(REPEATED).tolist() == [[-1, -1, -1, -1, -1, 2, 3, 4]]
        assert induction_targets(torch.tensor([[7, 1, 7, 2, 7]])).tolist() == [[-1, -1, 1, -1, 3]]

    def test_an_occurrence_right_before_the_query_does_not_count(self):
        assert induction_targets(torch.tensor([[4, 4, 4]])).tolist() == [[-1, -1, 1]]

    @steady
    @given(st.lists(st.integers(0, 4), min_size=1, max_size=12))
    def test_agrees_with_a_search_from_the_right(self, sequence):
        expected = []
        for query, token in enumerate(sequence):
            earlier = [place for place in range(query - 1) if sequence[place] == token]
            expected.append(earlier[-1] + 1 if earlier else -1)
        assert induction_targets(torch.tensor([sequence])).tolist() == [expected]


class TestScores:
    def test_a_previous_token_head_scores_one(self):
        head = all_on(previous_token_targets(REPEATED), rest=0)
        assert previous_token_score(head, REPEATED).tolist() == [[1.0]]
        assert prefix_matching_score(head, REPEATED).tolist() == [[0.0]]

    def test_an_induction_head_scores_one(self):
        head = all_on(induction_targets(REPEATED), rest=0)
        assert prefix_matching_score(head, REPEATED).tolist() == [[1.0]]

    def test_a_head_that_finds_some_targets_scores_their_share(self):
        head = all_on(torch.tensor([[-1, -1, -1, -1, -1, 2, 3, 0]]), rest=0)
        assert prefix_matching_score(head, REPEATED).item() == pytest.approx(2 / 3)

    def test_heads_and_sequences_do_not_mix(self):
        tokens = torch.cat([REPEATED, torch.tensor([[1, 2, 1, 2, 3, 1, 3, 2]])])
        targets = induction_targets(tokens)
        induction, previous = all_on(targets, 0), all_on(previous_token_targets(tokens), 0)
        expected = [[1.0, 0.0], [1.0, pytest.approx(3 / 5)]]  # there three targets of five are also the token before
        assert prefix_matching_score(torch.cat([induction, previous], 1), tokens).tolist() == expected

    @steady
    @given(seeds, st.integers(3, 12))
    def test_a_uniform_head_scores_what_chance_gives(self, seed, n):
        tokens = torch.randint(3, (4, n), generator=torch.Generator().manual_seed(seed))
        targets = previous_token_targets(tokens)
        uniform = causal_mask(n).double() / torch.arange(1, n + 1).unsqueeze(1)
        found = attention_to(uniform.expand(4, 2, n, n), targets)
        chance = sum(1 / (place + 1) for place in range(1, n)) / (n - 1)
        torch.testing.assert_close(found, torch.full((4, 2), chance, dtype=torch.float64))
        torch.testing.assert_close(uniform_attention_to(targets), found[:, 0])

    def test_a_pattern_without_heads_gives_a_number_a_sequence(self):
        head = all_on(previous_token_targets(REPEATED), rest=0)[:, 0]
        assert attention_to(head, previous_token_targets(REPEATED)).tolist() == [1.0]

    def test_a_sequence_without_targets_is_refused(self):
        tokens = torch.cat([REPEATED, torch.arange(8).unsqueeze(0)])
        with pytest.raises(ValueError, match="no query of sequence 1 has a target"):
            prefix_matching_score(normal(2, 1, 8, 8).softmax(-1), tokens)
