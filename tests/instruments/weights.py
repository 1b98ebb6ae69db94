"""Random weights of attention-only models, in float64 and large enough that no part can be left out unnoticed."""

from dataclasses import dataclass

import torch
from hypothesis import strategies as st

from mechtests.instruments import Heads, attention_pattern, causal_mask


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def random_heads(heads, model, d_head, seed=0, d_value=None):
    W_Q, W_K = normal(2, heads, model, d_head, seed=seed) / model**0.5
    W_V = normal(heads, model, d_value or d_head, seed=seed + 1) / model**0.5
    return Heads(W_Q, W_K, W_V, normal(heads, d_value or d_head, model, seed=seed + 2))


@dataclass(frozen=True)
class Model:
    """A random attention-only model, run directly: layer by layer, as its authors would write it."""

    embedded: torch.Tensor
    layers: list[Heads]
    W_U: torch.Tensor

    def run(self):
        """The residual streams before each layer and after the last, the scores and the patterns of each layer."""
        resid, scores, patterns = [self.embedded], [], []
        for heads in self.layers:
            q, k, v = (torch.einsum("bpm,hmd->bhpd", resid[-1], W) for W in (heads.W_Q, heads.W_K, heads.W_V))
            scores.append(q @ k.mT / q.shape[-1] ** 0.5)
            patterns.append(attention_pattern(q, k, causal_mask(q.shape[2])))
            resid.append(resid[-1] + torch.einsum("bhpd,hdm->bpm", patterns[-1] @ v, heads.W_O))
        return resid, scores, patterns


@st.composite
def models(draw, least_layers=1):
    seed, batch, n = draw(st.integers(0, 2**31)), draw(st.integers(1, 3)), draw(st.integers(1, 6))
    model, vocab = draw(st.integers(1, 8)), draw(st.integers(1, 9))
    heads_by_layer = draw(st.lists(st.integers(1, 3), min_size=least_layers, max_size=3))
    sizes = st.integers(1, 5)
    layers = [
        random_heads(heads, model, draw(sizes), seed + 10 * layer, draw(sizes))
        for layer, heads in enumerate(heads_by_layer)
    ]
    return Model(normal(batch, n, model, seed=seed + 7), layers, normal(model, vocab, seed=seed + 8))
