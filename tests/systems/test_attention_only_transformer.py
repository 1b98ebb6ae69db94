"""The transformer against a slow reimplementation, and against the path expansion of its weights."""

import math

import pytest
import torch
from torch import nn

from mechtests.activations.capture import run
from mechtests.instruments import Heads, along_paths, attributions, score_terms
from mechtests.systems.induction.transformer import AttentionOnlyConfig, AttentionOnlyTransformer

SMALL = AttentionOnlyConfig(d_vocab=11, n_ctx=9, d_model=12, n_heads=3, d_head=4)


def random_weights(seed=0, config=SMALL, dtype=torch.float64):
    """A model whose weights are large enough that no part of it can be left out."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module = AttentionOnlyTransformer(config)
        for weight in module.parameters():
            nn.init.normal_(weight, std=0.5)
    return module.to(dtype).requires_grad_(False)


def sequences(batch=3, n=9, seed=0):
    return torch.randint(11, (batch, n), generator=torch.Generator().manual_seed(seed))


def explicit(module, tokens):
    """The forward pass written out for one sequence, with the name of each site: matrix by vector, step by step."""
    places, heads = range(len(tokens)), range(module.config.n_heads)
    embedded = [module.W_E[token] for token in tokens.tolist()]
    resid = [embedded[place] + module.W_pos[place] for place in places]
    sites = {"tok_embed": torch.stack(embedded)}
    for layer, block in enumerate(module.blocks):
        attn = block.attn
        q, k, v = (
            [[resid[place] @ weight[head] for place in places] for head in heads]
            for weight in (attn.W_Q, attn.W_K, attn.W_V)
        )
        pattern = torch.zeros(len(heads), len(places), len(places), dtype=torch.float64)
        z = torch.zeros(len(heads), len(places), module.config.d_head, dtype=torch.float64)
        for head in heads:
            for query in places:
                scores = [q[head][query] @ k[head][key] / module.config.d_head**0.5 for key in range(query + 1)]
                total = sum(math.exp(score) for score in scores)
                for key, score in enumerate(scores):
                    pattern[head, query, key] = math.exp(score) / total
                    z[head, query] += math.exp(score) / total * v[head][key]
        out = [sum(z[head, place] @ attn.W_O[head] for head in heads) for place in places]
        resid = [resid[place] + out[place] for place in places]
        named = {"q": q, "k": k, "v": v}
        sites |= {
            f"blocks.{layer}.attn.{name}": torch.stack([torch.stack(one) for one in named[name]]) for name in named
        }
        sites |= {f"blocks.{layer}.attn.pattern": pattern, f"blocks.{layer}.attn.z": z}
        sites |= {f"blocks.{layer}.attn.out": torch.stack(out), f"blocks.{layer}.resid_post": torch.stack(resid)}
    return sites | {"logits": torch.stack([one @ module.W_U for one in resid])}


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("length", [1, 4, 9])
def test_every_site_agrees_with_the_model_written_out(seed, length):
    module, tokens = random_weights(seed), sequences(n=length, seed=seed)
    for row, sequence in enumerate(tokens):
        expected = explicit(module, sequence)
        found = run(module, tokens, list(expected))
        for site, values in expected.items():
            torch.testing.assert_close(found[site][row], values, rtol=1e-9, atol=1e-9)


def test_agrees_with_the_model_written_out_at_full_size_in_float32():
    module = random_weights(config=AttentionOnlyConfig(), dtype=torch.float32)
    for weight in module.parameters():
        weight.mul_(0.2)
    tokens = torch.randint(256, (1, 20), generator=torch.Generator().manual_seed(0))
    found = module(tokens)
    torch.testing.assert_close(found[0].double(), explicit(module.double(), tokens[0])["logits"], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("place", range(9))
def test_a_token_changes_the_logits_from_its_place_on_and_none_before(place):
    module, tokens = random_weights(), sequences(batch=1)
    changed = tokens.clone()
    changed[0, place] = (tokens[0, place] + 1) % 11
    difference = (module(tokens) - module(changed)).abs().amax((0, 2))
    assert (difference[:place] == 0).all()
    assert (difference[place:] > 0).all()


def test_patterns_sum_to_one_and_no_head_attends_to_what_comes_later():
    module, tokens = random_weights(), sequences()
    for site, pattern in run(module, tokens, [f"blocks.{layer}.attn.pattern" for layer in (0, 1)]).items():
        torch.testing.assert_close(pattern.sum(-1), torch.ones(3, 3, 9, dtype=torch.float64), msg=site)
        assert not pattern.triu(1).any()
        assert (pattern.diagonal(dim1=2, dim2=3) > 0).all()


def test_new_weights_have_the_stated_spread():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = AttentionOnlyTransformer(AttentionOnlyConfig())
    for weight in module.parameters():
        assert weight.std().item() == pytest.approx(0.8 / 128**0.5, rel=0.05)


class TestPathsOfTheModel:
    """The path expansion takes the module's own weights and patterns, and gives back what the module computed."""

    def expand(self, module, tokens):
        layers = [
            Heads(*(getattr(block.attn, name) for name in ("W_Q", "W_K", "W_V", "W_O"))) for block in module.blocks
        ]
        sites = [f"blocks.{layer}.attn.{name}" for layer in range(len(layers)) for name in ("q", "k", "pattern")]
        found = run(module, tokens, [*sites, "logits", "tok_embed", "pos_embed"])
        patterns = [found[f"blocks.{layer}.attn.pattern"] for layer in range(len(layers))]
        return found, found["tok_embed"] + found["pos_embed"], layers, patterns

    @pytest.mark.parametrize("n_layers", [1, 2, 3])
    def test_sums_to_the_logits(self, n_layers):
        config = AttentionOnlyConfig(d_vocab=11, n_ctx=9, d_model=12, n_heads=3, d_head=4, n_layers=n_layers)
        module, tokens = random_weights(config=config), sequences()
        found, embedded, layers, patterns = self.expand(module, tokens)
        terms = dict(along_paths(embedded, layers, patterns, module.W_U))
        assert len(terms) == 4**n_layers
        torch.testing.assert_close(sum(terms.values()), found["logits"], rtol=1e-9, atol=1e-9)
        right = attributions(embedded, layers, patterns, module.W_U.T[tokens])
        of_tokens = found["logits"].gather(2, tokens.unsqueeze(2)).squeeze(2)
        torch.testing.assert_close(sum(right.values()), of_tokens, rtol=1e-9, atol=1e-9)

    def test_sums_to_the_scores(self):
        module, tokens = random_weights(), sequences()
        found, embedded, layers, patterns = self.expand(module, tokens)
        for head in range(3):
            terms = score_terms(embedded, layers, patterns, 1, head)
            whole = terms.no_composition + terms.q_composition + terms.k_composition + terms.qk_composition
            expected = found["blocks.1.attn.q"][:, head] @ found["blocks.1.attn.k"][:, head].mT / 2
            torch.testing.assert_close(whole, expected, rtol=1e-9, atol=1e-9)
