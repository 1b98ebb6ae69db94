import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mechtests.instruments import (
    Circuit,
    circuits,
    eigenvalue_positivity,
    ov_circuit,
    qk_circuit,
    token_match_circuit,
)
from tests.instruments.weights import normal

steady = settings(deadline=None, derandomize=True, max_examples=40)
seeds = st.integers(0, 2**31)
sizes = st.integers(1, 12)


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def random_circuit(n, rank, seed=0):
    return Circuit(normal(n, rank, seed=seed), normal(rank, n, seed=seed + 1))


def copying_circuit(n, rank, seed=0, noise=0.0):
    """A matrix of low rank that is as near to the identity as its rank allows, and noise."""
    embedding = torch.nn.functional.normalize(normal(n, rank, seed=seed), dim=1)
    return Circuit(embedding, embedding.T + noise * normal(rank, n, seed=seed + 1))


class TestAgainstTheWholeMatrix:
    @steady
    @given(seeds, st.integers(2, 12), sizes)
    def test_diagonal_and_its_mean(self, seed, n, rank):
        circuit = random_circuit(n, rank, seed)
        whole = circuit.dense()
        close(circuit.diagonal(), whole.diagonal())
        rest = whole[~torch.eye(n, dtype=torch.bool)].mean()
        assert circuit.diagonal_mean_minus_rest() == pytest.approx((whole.diagonal().mean() - rest).item())

    @steady
    @given(seeds, st.integers(1, 12), sizes, st.integers(1, 40))
    def test_row_maxima_however_many_rows_are_formed_at_once(self, seed, n, rank, at_once):
        circuit = random_circuit(n, rank, seed)
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(circuits, "AT_ONCE", at_once)
            found = circuit.diagonal_is_row_maximum()
        assert found.equal(circuit.dense().argmax(1) == torch.arange(n))

    @steady
    @given(seeds, st.integers(1, 12), sizes)
    def test_eigenvalues_but_for_zeros(self, seed, n, rank):
        circuit = random_circuit(n, min(rank, n), seed)
        found, whole = circuit.eigenvalues(), torch.linalg.eigvals(circuit.dense())
        nearest = (found.unsqueeze(1) - whole).abs()
        assert nearest.amin(1).max() < 1e-6 * whole.abs().max()
        close(found.sum().real, circuit.dense().trace())
        close(found.square().sum().real, (circuit.dense() @ circuit.dense()).trace())

    @steady
    @given(seeds, sizes, sizes, sizes)
    def test_sums(self, seed, n, rank, other_rank):
        first, second = random_circuit(n, rank, seed), random_circuit(n, other_rank, seed + 5)
        close((first + second).dense(), first.dense() + second.dense())

    @steady
    @given(seeds, st.integers(1, 9), sizes, st.integers(1, 4), st.integers(1, 4))
    def test_circuits_of_weights(self, seed, vocab, model, d_head, d_earlier):
        W_E, W_U = normal(vocab, model, seed=seed), normal(model, vocab, seed=seed + 1)
        W_Q, W_K, W_V = normal(3, model, d_head, seed=seed + 2)
        W_O = normal(d_head, model, seed=seed + 3)
        V_earlier, O_earlier = normal(model, d_earlier, seed=seed + 4), normal(d_earlier, model, seed=seed + 5)
        close(ov_circuit(W_E, W_V, W_O, W_U).dense(), W_E @ W_V @ W_O @ W_U)
        close(qk_circuit(W_E, W_Q, W_K).dense(), W_E @ W_Q @ W_K.T @ W_E.T)
        through = W_E @ V_earlier @ O_earlier
        close(token_match_circuit(W_E, W_Q, W_K, V_earlier, O_earlier).dense(), W_E @ W_Q @ W_K.T @ through.T)


class TestPlanted:
    def test_a_copying_circuit_has_its_row_maxima_on_the_diagonal(self):
        copies = copying_circuit(200, 32)
        assert copies.diagonal_is_row_maximum().all()
        assert copies.diagonal_mean_minus_rest() == pytest.approx(1, abs=0.05)
        assert eigenvalue_positivity(copies.eigenvalues()) == pytest.approx(1)

    def test_its_negative_has_none(self):
        copies = copying_circuit(200, 32)
        against = Circuit(-copies.left, copies.right)
        assert not against.diagonal_is_row_maximum().any()
        assert eigenvalue_positivity(against.eigenvalues()) == pytest.approx(-1)

    def test_heads_of_low_rank_copy_together_what_none_copies_alone(self):
        """Four heads that read and write a quarter of the embedding each, as in the lecture's note on low rank."""
        embedding = torch.nn.functional.normalize(normal(400, 24), dim=1)
        heads = [Circuit(embedding[:, part], embedding[:, part].T) for part in torch.arange(24).chunk(8)]
        alone = max(head.diagonal_is_row_maximum().double().mean().item() for head in heads)
        assert alone < 0.6
        assert sum(heads[1:], heads[0]).diagonal_is_row_maximum().all()

    def test_an_eigenvalue_counts_by_its_size(self):
        planted = torch.tensor([3.0, 1.0, -1.0, 1e-12, -1e-12, -1e-12], dtype=torch.float64)
        circuit = Circuit(torch.diag(planted), torch.eye(6))
        assert eigenvalue_positivity(circuit.eigenvalues()) == pytest.approx(3 / 5)

    @pytest.mark.parametrize("closer", [1e-3, 1e-7, 1e-9])
    def test_an_entry_that_float32_cannot_tell_from_the_diagonal_is_told_in_float64(self, closer):
        whole = torch.full((4, 4), 1.0, dtype=torch.float64) + closer * torch.diag(torch.tensor([1.0, -1.0, 1.0, -1.0]))
        circuit = Circuit(whole, torch.eye(4, dtype=torch.float64))
        assert circuit.diagonal_is_row_maximum().tolist() == [True, False, True, False]

    def test_weights_in_float32_are_multiplied_in_float64(self):
        W_E, W_U, W_V = normal(50, 700).float(), normal(700, 50, seed=1).float(), normal(700, 8, seed=2).float()
        W_O = normal(8, 700, seed=3).float()
        exact = ov_circuit(W_E.double(), W_V.double(), W_O.double(), W_U.double())
        assert ov_circuit(W_E, W_V, W_O, W_U).dense().equal(exact.dense())

    def test_equal_entries_are_no_row_maximum(self):
        assert not Circuit(torch.ones(3, 1), torch.ones(1, 3)).diagonal_is_row_maximum().any()


class TestNull:
    def test_a_random_circuit_copies_nothing(self):
        circuit = random_circuit(1000, 64)
        assert circuit.diagonal_is_row_maximum().double().mean() < 0.01
        # Entries have mean 0 and variance 64; the mean of 1,000 of them has a standard error of 0.25.
        assert abs(circuit.diagonal_mean_minus_rest()) < 1

    def test_the_eigenvalues_of_random_circuits_cancel(self):
        found = [random_circuit(100, 64, seed).eigenvalues() for seed in range(0, 100, 2)]
        assert sum(map(eigenvalue_positivity, found)) / 50 == pytest.approx(0, abs=0.05)


class TestRefusals:
    def test_factors_that_do_not_fit(self):
        with pytest.raises(ValueError, match=r"found \(4, 2\) and \(3, 4\)"):
            Circuit(torch.ones(4, 2), torch.ones(3, 4))

    @pytest.mark.parametrize("asked", ["eigenvalues", "diagonal", "diagonal_is_row_maximum"])
    def test_a_matrix_that_is_not_square_has_no_diagonal(self, asked):
        with pytest.raises(ValueError, match=r"a matrix of shape \(4, 5\) has no"):
            getattr(Circuit(torch.ones(4, 2), torch.ones(2, 5)), asked)()

    def test_zero_has_no_sign(self):
        with pytest.raises(ValueError, match="all eigenvalues are zero"):
            eigenvalue_positivity(torch.zeros(3, dtype=torch.complex64))
