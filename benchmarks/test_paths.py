"""Path expansion at the sizes of GPT-2: its cost, how that grows, and compared with whole matrices.

Width 768, two layers of 12 heads of 64, 169 paths, as many tokens as the lecture's vocabulary: 50,257.
"""

import time
from dataclasses import dataclass

import pytest
import torch

from benchmarks.meter import Meter
from mechtests.instruments import Heads, along_paths, attributions, score_terms

WIDTH, HEADS, D_HEAD, LAYERS = 768, 12, 64, 2
VOCAB, POSITIONS = 50_257, 64
PATHS = (1 + HEADS) ** LAYERS


@dataclass(frozen=True)
class Model:
    """Random weights, as large as those that are trained."""

    W_E: torch.Tensor
    W_U: torch.Tensor
    layers: list[Heads]

    @classmethod
    def drawn(cls, vocab):
        drawn = torch.Generator().manual_seed(0)

        def weights(*shape):
            return torch.randn(*shape, generator=drawn) / WIDTH**0.5

        into, out = (HEADS, WIDTH, D_HEAD), (HEADS, D_HEAD, WIDTH)
        layers = [Heads(weights(*into), weights(*into), weights(*into), weights(*out)) for _ in range(LAYERS)]
        return cls(weights(vocab, WIDTH), weights(WIDTH, vocab), layers)

    def inputs(self, n):
        """The embedded tokens of one sequence, and a pattern a layer."""
        drawn = torch.Generator().manual_seed(1)
        tokens = torch.randint(len(self.W_E), (1, n), generator=drawn)
        scores = torch.randn(LAYERS, 1, HEADS, n, n, generator=drawn)
        later = torch.ones(n, n, dtype=torch.bool).triu(1)
        return self.W_E[tokens], scores.masked_fill(later, float("-inf")).softmax(-1), tokens


def logits_by_paths(model, n):
    """The sum over all paths; each term is looked at and let go."""
    embedded, patterns, _ = model.inputs(n)
    total = torch.zeros(1, n, len(model.W_E))
    for _, term in along_paths(embedded, model.layers, list(patterns), model.W_U):
        total += term
    return total


def logits_by_whole_matrices(model, n):
    """The same as the formula is written: a ``d_vocab × d_vocab`` matrix a path, and the rows of it that occur."""
    _, patterns, tokens = model.inputs(n)
    first, second = ([heads.W_V[one] @ heads.W_O[one] for one in range(HEADS)] for heads in model.layers)
    total = (model.W_E @ model.W_U)[tokens]
    for one in range(HEADS):
        total += patterns[0][:, one] @ (model.W_E @ first[one] @ model.W_U)[tokens]
        total += patterns[1][:, one] @ (model.W_E @ second[one] @ model.W_U)[tokens]
        for other in range(HEADS):
            virtual = patterns[1][:, other] @ patterns[0][:, one]
            total += virtual @ (model.W_E @ first[one] @ second[other] @ model.W_U)[tokens]
    return total


def metered(run, *args):
    with Meter() as meter, torch.inference_mode():
        run(*args)
    return meter


def seconds_of(run, *args):
    began = time.perf_counter()
    with torch.inference_mode():
        run(*args)
    return time.perf_counter() - began


def test_logits_at_a_vocabulary_of_50257(benchmark):
    model, half = Model.drawn(VOCAB), Model.drawn(VOCAB // 2)
    with torch.inference_mode():
        benchmark.pedantic(logits_by_paths, args=(model, POSITIONS), rounds=1, warmup_rounds=0)
    whole, shorter, smaller = (metered(logits_by_paths, *of) for of in ((model, 64), (model, 32), (half, 64)))
    benchmark.extra_info.update(
        paths=PATHS,
        peak_megabytes=whole.peak_bytes / 1e6,
        one_whole_matrix_megabytes=4 * VOCAB**2 / 1e6,
        memory_at_twice_the_positions=whole.peak_bytes / shorter.peak_bytes,
        memory_at_twice_the_vocabulary=whole.peak_bytes / smaller.peak_bytes,
        operations_at_twice_the_positions=whole.operations / shorter.operations,
        operations_at_twice_the_vocabulary=whole.operations / smaller.operations,
        seconds_at_half_the_vocabulary=seconds_of(logits_by_paths, half, POSITIONS),
    )
    # A few terms and one head's way to the logits at a time; nothing grows faster than positions or vocabulary.
    assert whole.peak_bytes < 4 * 4 * (POSITIONS + D_HEAD) * VOCAB
    for other in (shorter, smaller):
        assert whole.peak_bytes <= 2.05 * other.peak_bytes
        assert whole.operations <= 2.05 * other.operations


def test_the_right_tokens_logits_cost_no_vocabulary(benchmark):
    """Each path's part in the logit of one token a position: a column a position in place of 50,257."""
    model = Model.drawn(VOCAB)
    embedded, patterns, tokens = model.inputs(POSITIONS)
    directions = model.W_U.T[tokens]
    with torch.inference_mode():
        benchmark.pedantic(attributions, args=(embedded, model.layers, list(patterns), directions), rounds=3)
    parts = metered(attributions, embedded, model.layers, list(patterns), directions)
    whole = metered(logits_by_paths, model, POSITIONS)
    benchmark.extra_info.update(
        peak_megabytes=parts.peak_bytes / 1e6, operations_spared=1 - parts.operations / whole.operations
    )
    assert parts.peak_bytes <= whole.peak_bytes / 10
    assert parts.operations <= whole.operations / 20


@pytest.mark.parametrize("n", [64, 128])
def test_attention_scores(benchmark, n):
    """All scores of one head of layer 1 by what they are composed of; the vocabulary does not come into it."""
    model = Model.drawn(VOCAB)
    embedded, patterns, _ = model.inputs(n)

    def four_terms(positions):
        before, pattern = embedded[:, :positions], [patterns[0][:, :, :positions, :positions]]
        terms = score_terms(before, model.layers, pattern, 1, 0)
        return terms.no_composition, terms.q_composition, terms.k_composition, terms.qk_composition

    with torch.inference_mode():
        benchmark.pedantic(four_terms, args=(n,), rounds=3)
    whole, half = metered(four_terms, n), metered(four_terms, n // 2)
    benchmark.extra_info.update(
        memory_at_twice_the_positions=whole.peak_bytes / half.peak_bytes,
        operations_at_twice_the_positions=whole.operations / half.operations,
    )
    assert whole.peak_bytes <= 4.1 * half.peak_bytes
    assert whole.operations <= 4.1 * half.operations


def test_beside_whole_matrices(benchmark):
    """At a vocabulary where whole matrices still fit, and are the same sums."""
    vocab, n = 1_024, 64
    model = Model.drawn(vocab)
    with torch.inference_mode():
        by_paths = benchmark.pedantic(logits_by_paths, args=(model, n), rounds=3, warmup_rounds=1)
        began = time.perf_counter()
        by_whole_matrices = logits_by_whole_matrices(model, n)
        ratio = (time.perf_counter() - began) / benchmark.stats.stats.median
    torch.testing.assert_close(by_paths, by_whole_matrices, rtol=1e-3, atol=1e-3)
    thin, whole = metered(logits_by_paths, model, n), metered(logits_by_whole_matrices, model, n)
    benchmark.extra_info.update(
        times_faster=ratio,
        times_fewer_operations=whole.operations / thin.operations,
        times_less_memory=whole.peak_bytes / thin.peak_bytes,
    )
    assert ratio >= 10
    assert whole.peak_bytes >= 5 * thin.peak_bytes
