"""Speed of tokenising trajectories, compared with the package's own embedder, which takes one at a time."""

import time

import pytest
import torch

from mechtests.families.ode import LinearPlane
from mechtests.systems.odeformer.package import OdeformerConfig, build
from mechtests.systems.odeformer.tokens import FloatTokens, encode_points

pytest.importorskip("odeformer", reason="pip install --no-deps odeformer==0.1.7")

TRAJECTORIES, POINTS, RATIO = 1_000, 100, 50
# The sizes of the model do not matter here; the dimensions and the precision are the published model's.
CONFIG = OdeformerConfig(
    emb_emb_dim=8, enc_emb_dim=16, dec_emb_dim=16, n_enc_layers=1, n_dec_layers=1, max_dimension=6, float_precision=3
)


def test_words_are_written_fifty_times_as_fast_and_are_the_same(benchmark):
    model = build(CONFIG)
    drawn = LinearPlane(points=POINTS).sample(2 * TRAJECTORIES, torch.Generator().manual_seed(0)).rescaled()
    made = drawn[drawn.valid][:TRAJECTORIES]
    floats = FloatTokens(model.env.float_word2id, CONFIG.float_precision, CONFIG.max_exponent)
    arguments = (floats, made.times, made.states, CONFIG.max_dimension, model.env.float_word2id["<OUTPUT_PAD>"])
    encode_points(*arguments)
    words = benchmark.pedantic(encode_points, args=arguments, rounds=5)
    batched = benchmark.stats["median"]
    pairs = [list(zip(t, x, strict=True)) for t, x in zip(made.times.numpy(), made.states.numpy(), strict=True)]
    began = time.perf_counter()
    expected = model.embedder.encode(pairs)
    looped = time.perf_counter() - began
    assert all(row.equal(right) for row, right in zip(words, expected, strict=True))
    benchmark.extra_info.update(trajectories=TRAJECTORIES, package_seconds=looped, ratio=looped / batched)
    assert looped / batched >= RATIO
