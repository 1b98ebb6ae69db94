import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mechtests.instruments import Heads, along_paths, attributions, score_terms
from tests.instruments.weights import models, normal, random_heads

steady = settings(deadline=None, derandomize=True, max_examples=50)


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


class TestAlongPaths:
    @steady
    @given(models())
    def test_the_paths_sum_to_the_logits(self, model):
        resid, _, patterns = model.run()
        terms = dict(along_paths(model.embedded, model.layers, patterns, model.W_U))
        assert len(terms) == math.prod(1 + len(heads) for heads in model.layers)
        close(sum(terms.values()), resid[-1] @ model.W_U)

    @steady
    @given(models(least_layers=2))
    def test_each_path_is_the_product_written_out(self, model):
        _, _, patterns = model.run()
        for path, term in along_paths(model.embedded, model.layers, patterns, model.W_U):
            expected = model.embedded
            for layer, head in path:
                W_OV = model.layers[layer].W_V[head] @ model.layers[layer].W_O[head]
                expected = patterns[layer][:, head] @ expected @ W_OV
            close(term, expected @ model.W_U)

    @steady
    @given(models(), st.floats(-3, 3))
    def test_paths_are_linear_in_the_embedding(self, model, factor):
        _, _, patterns = model.run()
        other = normal(*model.embedded.shape, seed=99)
        whole, first, second = (
            dict(along_paths(part, model.layers, patterns, model.W_U))
            for part in (model.embedded + factor * other, model.embedded, other)
        )
        for path, term in whole.items():
            close(term, first[path] + factor * second[path])

    def test_a_planted_virtual_head_is_found_on_its_path(self):
        """Two heads that write into dimensions of their own: the second reads what the first wrote, nothing else."""
        first, second = torch.zeros(2, 1, 3, 1, dtype=torch.float64)
        first[0, 0] = second[0, 1] = 1  # the first reads dimension 0, the second dimension 1
        write_1, write_2 = torch.zeros(2, 1, 1, 3, dtype=torch.float64)
        write_1[0, 0, 1] = write_2[0, 0, 2] = 1
        layers = [Heads(first, first, first, write_1), Heads(second, second, second, write_2)]
        back = torch.eye(4, dtype=torch.float64).roll(1, 0)  # every query attends to the position before it
        embedded = torch.zeros(1, 4, 3, dtype=torch.float64)
        embedded[0, 0, 0] = 5
        terms = dict(along_paths(embedded, layers, [back[None, None]] * 2, torch.eye(3, dtype=torch.float64)))
        virtual = terms[((0, 0), (1, 0))]
        assert virtual[0, 2].tolist() == [0, 0, 5]  # two positions on, in the dimension the second head writes
        assert virtual.count_nonzero() == 1
        assert not terms[((1, 0),)].any()

    def test_layers_without_patterns_are_refused(self):
        with pytest.raises(ValueError, match="2 layers and 1 patterns"):
            list(along_paths(normal(1, 2, 4), [random_heads(1, 4, 2)] * 2, [normal(1, 1, 2, 2)], normal(4, 3)))


class TestAttributions:
    @steady
    @given(models(), st.integers(0, 2**31))
    def test_are_the_terms_along_the_directions(self, model, seed):
        _, _, patterns = model.run()
        n = model.embedded.shape[1]
        tokens = torch.randint(model.W_U.shape[1], (n,), generator=torch.Generator().manual_seed(seed))
        directions = model.W_U.T[tokens].expand(len(model.embedded), -1, -1)
        found = attributions(model.embedded, model.layers, patterns, directions)
        terms = dict(along_paths(model.embedded, model.layers, patterns, model.W_U))
        assert found.keys() == terms.keys()
        for path, term in terms.items():
            close(found[path], term[:, torch.arange(n), tokens])


class TestScoreTerms:
    @steady
    @given(models())
    def test_the_four_compositions_sum_to_the_scores_of_every_head(self, model):
        _, scores, patterns = model.run()
        for layer, heads in enumerate(model.layers):
            for head in range(len(heads)):
                terms = score_terms(model.embedded, model.layers, patterns, layer, head)
                four = [terms.no_composition, terms.q_composition, terms.k_composition, terms.qk_composition]
                close(sum(four), scores[layer][:, head])

    @steady
    @given(models(least_layers=2))
    def test_every_pair_of_paths_is_the_product_written_out(self, model):
        _, scores, patterns = model.run()
        resid = dict(
            along_paths(model.embedded, model.layers[:1], patterns[:1], torch.eye(model.embedded.shape[2]).double())
        )
        heads = model.layers[1]
        terms = score_terms(model.embedded, model.layers, patterns, 1, 0)
        total = torch.zeros_like(scores[1][:, 0])
        for q_path, from_q in resid.items():
            for k_path, from_k in resid.items():
                expected = from_q @ heads.W_Q[0] @ heads.W_K[0].T @ from_k.mT / heads.W_Q.shape[2] ** 0.5
                close(terms.between(q_path, k_path), expected)
                total += expected
        close(total, scores[1][:, 0])

    @steady
    @given(models(least_layers=2))
    def test_the_first_layer_has_no_composition(self, model):
        _, scores, patterns = model.run()
        terms = score_terms(model.embedded, model.layers, patterns, 0, 0)
        close(terms.no_composition, scores[0][:, 0])
        for other in (terms.q_composition, terms.k_composition, terms.qk_composition):
            assert not other.any()

    def test_a_planted_previous_token_head_composes_with_keys_alone(self):
        """Tokens are in dimensions 0-2; one head copies the token before into 3-5, where the other reads its keys."""
        into, out = torch.zeros(2, 1, 6, 3, dtype=torch.float64)
        into[0, :3], out[0, 3:] = torch.eye(3), torch.eye(3)
        layers = [Heads(into, into, into, out.mT), Heads(into, out, into, into.mT)]
        back = torch.ones(4, dtype=torch.float64)[:3].diag(-1)[None, None]
        embedded = torch.zeros(1, 4, 6, dtype=torch.float64)
        embedded[0, range(4), [0, 1, 2, 0]] = 1  # the last token is the first one again
        terms = score_terms(embedded, layers, [back], 1, 0)
        assert terms.k_composition[0, 3].argmax() == 1  # after the first occurrence
        close(terms.k_composition[0, 3, 1], torch.tensor(3**-0.5, dtype=torch.float64))
        for other in (terms.no_composition, terms.q_composition, terms.qk_composition):
            assert not other.any()


def test_heads_that_do_not_fit_together_are_refused():
    W = normal(2, 4, 3)
    with pytest.raises(ValueError, match=r"W_O \(2, 4, 3\)"):
        Heads(W, W, W, W)
    with pytest.raises(ValueError, match=r"W_K \(1, 4, 3\)"):
        Heads(W, W[:1], W, W.mT)
