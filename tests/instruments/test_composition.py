import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from mechtests.instruments import Heads, composition_null, composition_scores
from tests.instruments.weights import normal, random_heads

steady = settings(deadline=None, derandomize=True, max_examples=40)
seeds = st.integers(0, 2**31)
INTO = ("q", "k", "v")


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def whole_matrix(readers, head, into):
    """The reader's matrix, from the stream that it reads."""
    if into == "v":
        return readers.W_V[head] @ readers.W_O[head]
    W_QK = readers.W_Q[head] @ readers.W_K[head].T
    return W_QK if into == "q" else W_QK.T


def planted(into):
    """One writer into dimensions 0-1 and readers of dimensions 0-1 and 2-3, each through ``into`` alone."""
    place = torch.eye(6, dtype=torch.float64)
    elsewhere = place[:, 4:6]
    writer = Heads(*[elsewhere[None]] * 3, place[:, 0:2].T[None])
    read = torch.stack([place[:, 0:2], place[:, 2:4]])
    away = elsewhere.expand(2, -1, -1)
    q, k, v = (read if into == one else away for one in INTO)
    return writer, Heads(q, k, v, away.mT)


class TestScores:
    @pytest.mark.parametrize("into", INTO)
    def test_of_some_heads_are_theirs_among_all(self, into):
        writers, readers = random_heads(3, 8, 2), random_heads(4, 8, 2, seed=5)
        some = composition_scores(writers[[2]], readers[[3, 0]], into)
        torch.testing.assert_close(some, composition_scores(writers, readers, into)[[2]][:, [3, 0]])

    @steady
    @given(
        seeds,
        st.integers(1, 3),
        st.integers(1, 3),
        st.integers(1, 10),
        st.integers(1, 6),
        st.integers(1, 6),
        st.sampled_from(INTO),
    )
    def test_agree_with_whole_matrices(self, seed, n_writers, n_readers, model, d_writer, d_reader, into):
        writers = random_heads(n_writers, model, d_writer, seed)
        readers = random_heads(n_readers, model, d_reader, seed + 10, d_value=d_writer)
        found = composition_scores(writers, readers, into)
        for writer in range(n_writers):
            W_OV = writers.W_V[writer] @ writers.W_O[writer]
            for reader in range(n_readers):
                W = whole_matrix(readers, reader, into)
                expected = (W_OV @ W).norm() / (W_OV.norm() * W.norm())
                torch.testing.assert_close(found[writer, reader], expected)

    @steady
    @given(seeds, st.sampled_from(INTO), st.floats(0.01, 100))
    def test_do_not_depend_on_scale_or_on_the_streams_basis(self, seed, into, factor):
        writers, readers = random_heads(2, 8, 3, seed), random_heads(2, 8, 3, seed + 10)
        turn = torch.linalg.qr(normal(8, 8, seed=seed + 20)).Q

        def turned(heads):
            return Heads(turn.T @ heads.W_Q, turn.T @ heads.W_K, factor * turn.T @ heads.W_V, heads.W_O @ turn)

        expected = composition_scores(writers, readers, into)
        torch.testing.assert_close(composition_scores(turned(writers), turned(readers), into), expected)
        assert (expected <= 1).all()

    @pytest.mark.parametrize("into", INTO)
    def test_a_planted_pair_composes_where_it_was_planted_and_nowhere_else(self, into):
        writer, readers = planted(into)
        assert composition_scores(writer, readers, into)[0].tolist() == pytest.approx([2**-0.5, 0])
        for other in INTO:
            if other != into:
                assert not composition_scores(writer, readers, other).any()


class TestNull:
    @pytest.mark.parametrize("into", INTO)
    def test_is_the_score_after_a_random_rotation(self, into):
        """The shortcut through singular values has the distribution of scores of matrices that were rotated whole."""
        writers, readers = random_heads(1, 8, 3), random_heads(1, 8, 2, seed=10, d_value=3)
        drawn = torch.randn(4000, 8, 8, generator=generator(1), dtype=torch.float64)
        turns = torch.linalg.qr(drawn).Q
        W_OV, W = writers.W_V[0] @ writers.W_O[0], whole_matrix(readers, 0, into)
        rotated = torch.linalg.matrix_norm(W_OV @ turns @ W) / (W_OV.norm() * W.norm())
        found = composition_null(writers, readers, into, 4000, generator(2))[:, 0, 0]
        assert ks_2samp(found, rotated).pvalue > 0.001

    def test_its_mean_square_is_one_over_the_width(self):
        writers, readers = random_heads(2, 32, 4), random_heads(3, 32, 4, seed=10)
        null = composition_null(writers, readers, "k", 4000, generator())
        assert null.shape == (4000, 2, 3)
        torch.testing.assert_close(null.square().mean(0), torch.full((2, 3), 1 / 32).double(), rtol=0.03, atol=0)

    def test_scores_of_random_heads_are_like_the_null(self):
        writers, readers = random_heads(12, 64, 8, seed=3), random_heads(12, 64, 8, seed=33)
        scores = composition_scores(writers, readers, "k")
        null = composition_null(writers, readers, "k", 199, generator())
        p_values = (1 + (null >= scores).sum(0)) / 200
        assert (p_values <= 0.05).double().mean() < 0.12
        assert p_values.mean().item() == pytest.approx(0.5, abs=0.1)

    @pytest.mark.parametrize("into", INTO)
    def test_a_planted_pair_is_above_it(self, into):
        writer, readers = planted(into)
        null = composition_null(writer, readers, into, 999, generator())
        scores = composition_scores(writer, readers, into)
        assert ((null >= scores).sum(0) / 999).tolist() == [[pytest.approx(0, abs=0.05), 1]]

    def test_the_generator_decides(self):
        heads = random_heads(2, 8, 3)
        first, again, other = (composition_null(heads, heads, "q", 5, generator(seed)) for seed in (1, 1, 2))
        assert first.equal(again)
        assert not first.equal(other)


@pytest.mark.parametrize("into", INTO)
def test_a_head_of_no_weight_composes_with_none(into):
    writers, readers = random_heads(2, 6, 3), random_heads(2, 6, 3)
    for weight in (readers.W_Q, readers.W_K, readers.W_V, readers.W_O, writers.W_V, writers.W_O):
        weight[1] = 0
    scores = composition_scores(writers, readers, into)
    null = composition_null(writers, readers, into, 5, generator())
    for found in (scores, null):
        assert (found[..., 1, :] == 0).all()
        assert (found[..., 1] == 0).all()
        assert (found[..., 0, 0] > 0).all()
