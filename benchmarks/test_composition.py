"""Composition scores of all pairs of heads at the sizes of GPT-2, by factors and by whole matrices."""

import time

import pytest
import torch

from benchmarks.meter import Meter
from mechtests.instruments import Heads, composition_null, composition_scores

WIDTH, HEADS, D_HEAD = 768, 12, 64
RATIO = 10


def drawn_heads(seed):
    drawn = torch.Generator().manual_seed(seed)
    W_Q, W_K, W_V = torch.randn(3, HEADS, WIDTH, D_HEAD, generator=drawn) / WIDTH**0.5
    return Heads(W_Q, W_K, W_V, torch.randn(HEADS, D_HEAD, WIDTH, generator=drawn) / D_HEAD**0.5)


def by_whole_matrices(writers, readers, into):
    """The formula as it is written: every matrix of width 768 on a side, and a product for each pair."""
    W_OV = writers.W_V @ writers.W_O
    W_QK = readers.W_Q @ readers.W_K.mT
    reads = {"q": W_QK, "k": W_QK.mT, "v": readers.W_V @ readers.W_O}[into]
    scores = torch.empty(len(writers), len(readers))
    for one, writer in enumerate(W_OV):
        for other, reader in enumerate(reads):
            scores[one, other] = (writer @ reader).norm() / (writer.norm() * reader.norm())
    return scores


@pytest.mark.parametrize("into", ["q", "k", "v"])
def test_scores_by_factors_are_ten_times_faster(benchmark, into):
    writers, readers = drawn_heads(0), drawn_heads(1)
    scores = benchmark.pedantic(composition_scores, args=(writers, readers, into), rounds=5, warmup_rounds=1)
    began = time.perf_counter()
    torch.testing.assert_close(scores, by_whole_matrices(writers, readers, into), rtol=1e-4, atol=1e-5)
    ratio = (time.perf_counter() - began) / benchmark.stats.stats.median
    with Meter() as thin:
        composition_scores(writers, readers, into)
    with Meter() as whole:
        by_whole_matrices(writers, readers, into)
    benchmark.extra_info.update(times_faster=ratio, times_less_memory=whole.peak_bytes / thin.peak_bytes)
    assert ratio >= RATIO


def test_a_hundred_draws_of_the_null_cost_less_than_the_whole_matrices_once(benchmark):
    writers, readers = drawn_heads(0), drawn_heads(1)
    null = benchmark.pedantic(
        composition_null, args=(writers, readers, "k", 99, torch.Generator().manual_seed(0)), rounds=2
    )
    began = time.perf_counter()
    by_whole_matrices(writers, readers, "k")
    ratio = (time.perf_counter() - began) / benchmark.stats.stats.median
    benchmark.extra_info.update(times_faster_than_whole_matrices_once=ratio)
    assert null.shape == (99, HEADS, HEADS)
    assert ratio >= 1
