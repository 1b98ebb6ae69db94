"""The one-layer transformer that reads ``a - b =`` and predicts the sign, then ``|a - b|``.

Every activation that a claim may want passes through a :class:`~mechtests.systems.site.Site`, whose dotted path is the
name of the site: ``blocks.0.attn.pattern``, ``blocks.0.mlp.pre``, ``logits``.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from mechtests.systems.site import Site, per_head

PLUS, MINUS, EQUALS = 100, 101, 102
"""Token ids of ``+``, ``-`` and ``=``; the numbers 0 to 99 stand for themselves."""

POSITIONS = {"a": 0, "-": 1, "b": 2, "=": 3, "sign": 4}
"""Where each token of a problem stands. The sign is predicted at ``=``, the number at ``sign``."""


@dataclass(frozen=True)
class SubtractionConfig:
    """Sizes of the transformer, in units; the defaults are those of the post."""

    d_vocab: int = 103
    n_ctx: int = 5
    d_model: int = 128
    n_heads: int = 4
    d_head: int = 32
    d_mlp: int = 512


class Attention(nn.Module):
    """Causal multi-head self-attention with biases; a matrix a head, as ``W_Q[head]``."""

    mask: Tensor

    def __init__(self, config: SubtractionConfig) -> None:
        super().__init__()
        heads, model, head = config.n_heads, config.d_model, config.d_head
        self.W_Q = nn.Parameter(torch.empty(heads, model, head))
        self.W_K = nn.Parameter(torch.empty(heads, model, head))
        self.W_V = nn.Parameter(torch.empty(heads, model, head))
        self.W_O = nn.Parameter(torch.empty(heads, head, model))
        self.b_Q = nn.Parameter(torch.zeros(heads, head))
        self.b_K = nn.Parameter(torch.zeros(heads, head))
        self.b_V = nn.Parameter(torch.zeros(heads, head))
        self.b_O = nn.Parameter(torch.zeros(model))
        self.q, self.k, self.v = Site(), Site(), Site()
        self.pattern, self.z, self.out = Site(), Site(), Site()
        causal = torch.ones(config.n_ctx, config.n_ctx, dtype=torch.bool).tril()
        self.register_buffer("mask", causal, persistent=False)

    def forward(
        self, resid: Float[Tensor, "batch key model"], positions: Int[Tensor, " query"]
    ) -> Float[Tensor, "batch query model"]:
        q = self.q(per_head(resid[:, positions], self.W_Q, self.b_Q))
        k = self.k(per_head(resid, self.W_K, self.b_K))
        v = self.v(per_head(resid, self.W_V, self.b_V))
        # Products this small cost less as sums than as a batch of thousands of tiny matrix products.
        scores = (q.unsqueeze(3) * k.unsqueeze(2)).sum(-1) / q.shape[-1] ** 0.5
        scores = scores.masked_fill(~self.mask[positions, : resid.shape[1]], float("-inf"))
        z = self.z((self.pattern(scores.softmax(-1)).unsqueeze(-1) * v.unsqueeze(2)).sum(3))
        # Summing the heads' outputs is one product with their W_O stacked.
        return self.out(z.transpose(1, 2).flatten(2) @ self.W_O.flatten(0, 1) + self.b_O)


class MLP(nn.Module):
    """A ReLU layer of ``d_mlp`` neurons with biases."""

    def __init__(self, config: SubtractionConfig) -> None:
        super().__init__()
        self.W_in = nn.Parameter(torch.empty(config.d_model, config.d_mlp))
        self.b_in = nn.Parameter(torch.zeros(config.d_mlp))
        self.W_out = nn.Parameter(torch.empty(config.d_mlp, config.d_model))
        self.b_out = nn.Parameter(torch.zeros(config.d_model))
        self.pre, self.post, self.out = Site(), Site(), Site()

    def forward(self, resid: Float[Tensor, "batch query model"]) -> Float[Tensor, "batch query model"]:
        pre = self.pre(resid @ self.W_in + self.b_in)
        return self.out(self.post(pre.relu()) @ self.W_out + self.b_out)


class Block(nn.Module):
    """Attention, then the MLP, each added to the residual stream; no layer norm, as in the post."""

    def __init__(self, config: SubtractionConfig) -> None:
        super().__init__()
        self.attn, self.mlp = Attention(config), MLP(config)
        self.resid_mid, self.resid_post = Site(), Site()

    def forward(
        self, resid: Float[Tensor, "batch key model"], positions: Int[Tensor, " query"]
    ) -> Float[Tensor, "batch query model"]:
        mid = self.resid_mid(resid[:, positions] + self.attn(resid, positions))
        return self.resid_post(mid + self.mlp(mid))


class SubtractionTransformer(nn.Module):
    """One-layer decoder with learned positions, biases and no layer norm.

    Weights are drawn from a normal distribution of standard deviation ``0.8 / sqrt(d_model)``, biases start at zero.
    """

    def __init__(self, config: SubtractionConfig) -> None:
        super().__init__()
        self.config = config
        self.W_E = nn.Parameter(torch.empty(config.d_vocab, config.d_model))
        self.W_pos = nn.Parameter(torch.empty(config.n_ctx, config.d_model))
        self.blocks = nn.ModuleList([Block(config)])
        self.W_U = nn.Parameter(torch.empty(config.d_model, config.d_vocab))
        self.b_U = nn.Parameter(torch.zeros(config.d_vocab))
        self.tok_embed, self.pos_embed, self.logits = Site(), Site(), Site()
        for name, weight in self.named_parameters():
            if not name.rpartition(".")[2].startswith("b_"):
                nn.init.normal_(weight, std=0.8 / config.d_model**0.5)

    def forward(
        self, tokens: Int[Tensor, "batch key"], positions: Int[Tensor, " query"] | None = None
    ) -> Float[Tensor, "batch query vocab"]:
        """Logits at ``positions`` (all of them when ``None``); keys and values are read at every position."""
        if positions is None:
            positions = torch.arange(tokens.shape[1], device=tokens.device)
        resid = self.tok_embed(self.W_E[tokens]) + self.pos_embed(self.W_pos[: tokens.shape[1]])
        for block in self.blocks:
            resid = block(resid, positions)
        return self.logits(resid @ self.W_U + self.b_U)
