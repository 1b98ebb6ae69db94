"""The attention-only transformer of the lecture: embeddings, layers of attention heads, an unembedding, nothing else.

Without MLPs, layer norms and biases the logits are an exact sum over paths through the heads, which
:mod:`mechtests.instruments.paths` writes out (Elhage et al., "A Mathematical Framework for Transformer Circuits",
2021).

Every activation that a claim may want passes through a :class:`~mechtests.systems.site.Site`, whose dotted path is the
name of the site: ``blocks.0.attn.pattern``, ``blocks.1.resid_post``, ``logits``.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from mechtests.systems.site import Site, per_head


@dataclass(frozen=True)
class AttentionOnlyConfig:
    """Sizes of the transformer, in units; the defaults are those of the checkpoints trained here."""

    d_vocab: int = 256
    n_ctx: int = 64
    d_model: int = 128
    n_heads: int = 4
    d_head: int = 32
    n_layers: int = 2


class Attention(nn.Module):
    """Causal multi-head self-attention without biases; a matrix a head, as ``W_Q[head]``."""

    mask: Tensor

    def __init__(self, config: AttentionOnlyConfig) -> None:
        super().__init__()
        heads, model, head = config.n_heads, config.d_model, config.d_head
        self.W_Q = nn.Parameter(torch.empty(heads, model, head))
        self.W_K = nn.Parameter(torch.empty(heads, model, head))
        self.W_V = nn.Parameter(torch.empty(heads, model, head))
        self.W_O = nn.Parameter(torch.empty(heads, head, model))
        self.q, self.k, self.v = Site(), Site(), Site()
        self.pattern, self.z, self.out = Site(), Site(), Site()
        # Added to the scores, which is faster than filling; the first row is never all minus infinity.
        later = torch.full((config.n_ctx, config.n_ctx), float("-inf")).triu(1)
        self.register_buffer("mask", later, persistent=False)

    def forward(self, resid: Float[Tensor, "batch pos model"]) -> Float[Tensor, "batch pos model"]:
        n = resid.shape[1]
        # Queries are scaled before the product: there are fewer of them than of scores.
        q = self.q(per_head(resid, self.W_Q))
        k = self.k(per_head(resid, self.W_K))
        v = self.v(per_head(resid, self.W_V))
        scores = (q / q.shape[-1] ** 0.5) @ k.mT + self.mask[:n, :n]
        z = self.z(self.pattern(scores.softmax(-1)) @ v)
        # Summing the heads' outputs is one product with their W_O stacked.
        return self.out(z.transpose(1, 2).flatten(2) @ self.W_O.flatten(0, 1))


class Block(nn.Module):
    """The heads of one layer, added to the residual stream."""

    def __init__(self, config: AttentionOnlyConfig) -> None:
        super().__init__()
        self.attn = Attention(config)
        self.resid_post = Site()

    def forward(self, resid: Float[Tensor, "batch pos model"]) -> Float[Tensor, "batch pos model"]:
        return self.resid_post(resid + self.attn(resid))


class AttentionOnlyTransformer(nn.Module):
    """Decoder of attention layers with token embeddings and learned positions.

    Weights are drawn from a normal distribution of standard deviation ``0.8 / sqrt(d_model)``.
    """

    def __init__(self, config: AttentionOnlyConfig) -> None:
        super().__init__()
        self.config = config
        self.W_E = nn.Parameter(torch.empty(config.d_vocab, config.d_model))
        self.W_pos = nn.Parameter(torch.empty(config.n_ctx, config.d_model))
        self.blocks = nn.ModuleList([Block(config) for _ in range(config.n_layers)])
        self.W_U = nn.Parameter(torch.empty(config.d_model, config.d_vocab))
        self.tok_embed, self.pos_embed, self.logits = Site(), Site(), Site()
        for weight in self.parameters():
            nn.init.normal_(weight, std=0.8 / config.d_model**0.5)

    def forward(self, tokens: Int[Tensor, "batch pos"]) -> Float[Tensor, "batch pos vocab"]:
        """Logits of the token after each position."""
        resid = self.tok_embed(self.W_E[tokens]) + self.pos_embed(self.W_pos[: tokens.shape[1]])
        for block in self.blocks:
            resid = block(resid)
        return self.logits(resid @ self.W_U)
