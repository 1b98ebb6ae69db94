import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mechtests.instruments import attention_pattern, causal_mask, copying_score
from tests.instruments.weights import normal

steady = settings(deadline=None, derandomize=True, max_examples=40)
seeds = st.integers(0, 2**31)
VOCAB, N = 20, 6


def sequences(batch=3, seed=0):
    drawn = torch.Generator().manual_seed(seed)
    return torch.stack([torch.randperm(VOCAB, generator=drawn)[:N] for _ in range(batch)])


def score_of(pattern, tokens, OV):
    """The score of a head whose whole OV circuit is ``OV``: the stream is one-hot tokens, the head as wide as it."""
    one_hot = torch.nn.functional.one_hot(tokens, VOCAB).double()
    z = (pattern @ one_hot).unsqueeze(1)
    return copying_score(pattern.unsqueeze(1), z, OV.unsqueeze(0), torch.eye(VOCAB, dtype=torch.float64), tokens)


def one_at_a_time(batch=3):
    """Attention to one key a query: the one before, and the first to itself."""
    back = torch.eye(N, dtype=torch.float64).roll(-1, 1)
    back[0] = 0
    return torch.cat([torch.eye(N, dtype=torch.float64)[:1], torch.eye(N, dtype=torch.float64)[:-1]]).expand(
        batch, N, N
    )


def written_out(pattern, z, W_O, W_U, tokens):
    logits = z @ W_O @ W_U
    raised = (logits - logits.mean(-1, keepdim=True)).clamp(min=0)
    attended = sum(float(pattern[q, k] * raised[q, tokens[k]]) for q in range(len(z)) for k in range(len(tokens)))
    every = sum(float(raised[q, token]) for q in range(len(z)) for token in set(tokens.tolist()))
    return attended / every if every else 0.0


def test_a_head_that_raises_what_it_attends_to_scores_one():
    found = score_of(one_at_a_time(), sequences(), torch.eye(VOCAB, dtype=torch.float64))
    torch.testing.assert_close(found, torch.ones(3, 1, dtype=torch.float64))


def test_a_head_that_lowers_what_it_attends_to_scores_zero():
    found = score_of(one_at_a_time(), sequences(), -torch.eye(VOCAB, dtype=torch.float64))
    assert not found.any()


def test_a_head_that_raises_the_next_token_of_the_vocabulary_scores_zero():
    tokens = torch.tensor([[0, 4, 8, 12, 16, 2]])
    assert not score_of(one_at_a_time(1), tokens, torch.eye(VOCAB, dtype=torch.float64).roll(1, 1)).any()


def test_a_head_without_output_raises_nothing_and_scores_zero():
    assert not score_of(one_at_a_time(), sequences(), torch.zeros(VOCAB, VOCAB, dtype=torch.float64)).any()


def test_random_heads_score_what_their_attention_would_by_chance():
    # A head that raises tokens at random gives each token of the sequence alike: the attended one gets one in six.
    found = [score_of(one_at_a_time(), sequences(seed=seed), normal(VOCAB, VOCAB, seed=seed)) for seed in range(100)]
    assert torch.cat(found).mean().item() == pytest.approx(1 / N, abs=0.02)


@steady
@given(seeds, st.integers(1, 8), st.integers(1, 3), st.integers(1, 5), st.integers(2, 6))
def test_agrees_with_the_definition_written_out(seed, n, heads, d_head, vocab):
    tokens = torch.randint(vocab, (2, n), generator=torch.Generator().manual_seed(seed))
    q, k = normal(2, 2, heads, n, d_head, seed=seed)
    pattern, z = attention_pattern(q, k, causal_mask(n)), normal(2, heads, n, d_head, seed=seed + 1)
    W_O, W_U = normal(heads, d_head, 7, seed=seed + 2), normal(7, vocab, seed=seed + 3)
    found = copying_score(pattern, z, W_O, W_U, tokens)
    for batch in range(2):
        for head in range(heads):
            expected = written_out(pattern[batch, head], z[batch, head], W_O[head], W_U, tokens[batch])
            assert found[batch, head].item() == pytest.approx(expected)
