"""The sequences that the induction system learns from, and the least loss that anyone can have on them."""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

TABLE_SEED = 0
"""Decides the table of bigrams, which is the same for every training seed: all seeds learn one task."""


@dataclass(frozen=True, eq=False)
class Sequences:
    """A batch of sequences and how they came about.

    Attributes:
        tokens: the sequences.
        copied_from: the position that each token was copied from; -1 for a fresh token.
        markov: whether the fresh tokens of a sequence come from the bigram table; else they are uniform.
    """

    tokens: Int[Tensor, "batch pos"]
    copied_from: Int[Tensor, "batch pos"]
    markov: Bool[Tensor, " batch"]

    @property
    def going_on(self) -> Bool[Tensor, "batch pos"]:
        """Tokens that go on with a copy: all but the first of each copy, which nobody can foresee."""
        goes_on = self.copied_from[:, 1:] == self.copied_from[:, :-1] + 1
        return torch.nn.functional.pad(goes_on & (self.copied_from[:, :-1] >= 0), (1, 0))


@dataclass(frozen=True)
class CopyingSource:
    """Random sequences that now and then copy a stretch of their own past, of random length, from a random distance.

    A sequence is made token by token, from left to right:

    1. A fair coin decides where its fresh tokens come from: uniform over the vocabulary, or the table of bigrams. Row
       ``a`` of the table is the softmax of ``u_b + 2 g_ab`` over the next tokens ``b``, with ``u`` and ``g`` standard
       normal: some tokens are frequent (``u``), and some follow each other (``g``). The first token is uniform.
    2. While a copy is going on, it goes on with the next token of its original with probability ``1 - leave``.
    3. Otherwise a copy begins with probability ``begin``, from any position that is ``nearest`` or more back, each
       equally likely; not before there is one.
    4. Otherwise the token is fresh; from the table it follows the token before it, copied or not.

    So a copy is ``1 / leave`` tokens long on average, its distance tells nothing, and a position tells nothing either.
    """

    d_vocab: int = 256
    n_ctx: int = 64
    leave: float = 1 / 16
    begin: float = 1 / 8
    nearest: int = 8

    @cached_property
    def bigrams(self) -> Float[Tensor, "token next"]:
        """The probability of each next token after each token, in a sequence of bigrams."""
        drawn = torch.Generator().manual_seed(TABLE_SEED)
        frequent = torch.randn(self.d_vocab, generator=drawn, dtype=torch.float64)
        follows = torch.randn(self.d_vocab, self.d_vocab, generator=drawn, dtype=torch.float64)
        return (frequent + 2 * follows).softmax(-1)

    def sample(self, batch: int, generator: torch.Generator) -> Sequences:
        """``batch`` independent sequences; the generator's state decides them."""
        shape = (self.n_ctx, batch)
        leaves, begins, origin, fresh = torch.rand(4, *shape, generator=generator, dtype=torch.float64)
        markov = torch.rand(batch, generator=generator) < 0.5
        uniform = (fresh * self.d_vocab).long()
        tokens, copied_from = uniform.clone(), torch.full(shape, -1)
        cumulative = self.bigrams.cumsum(1)
        cumulative[:, -1] = 1  # exactly, so that every draw finds its token
        for t in range(1, self.n_ctx):
            before = copied_from[t - 1]
            places = t - self.nearest + 1
            begun = torch.where(begins[t] < self.begin, (origin[t] * places).long(), -1) if places > 0 else -1
            copied_from[t] = torch.where((before >= 0) & (leaves[t] >= self.leave), before + 1, begun)
            followed = torch.searchsorted(cumulative[tokens[t - 1]], fresh[t].unsqueeze(1)).squeeze(1)
            copied = tokens.gather(0, copied_from[t : t + 1].clamp(min=0)).squeeze(0)
            tokens[t] = torch.where(copied_from[t] >= 0, copied, torch.where(markov, followed, uniform[t]))
        return Sequences(tokens.T.contiguous(), copied_from.T.contiguous(), markov)

    def ideal_losses(self, tokens: Int[Tensor, "batch pos"]) -> Float[Tensor, "batch pos"]:
        """The loss in nats, token by token, of the predictor that knows this source and sees only the tokens.

        No predictor has a lower expected loss. It is the forward algorithm of a hidden Markov model whose state is
        "fresh" or "copying from j", run for both kinds of fresh token, which are weighed by how well they explain the
        past (Rabiner, "A tutorial on hidden Markov models", 1989, section III.A).
        """
        batch, n = tokens.shape
        losses = torch.full((batch, n), float(self.d_vocab), dtype=torch.float64).log()
        kind = torch.full((batch, 2), 0.5, dtype=torch.float64)
        is_fresh = torch.ones(batch, 2, dtype=torch.float64)
        copying = torch.zeros(batch, 2, n, dtype=torch.float64)  # by position copied from
        for t in range(1, n):
            places = t - self.nearest + 1
            begin = self.begin if places > 0 else 0.0
            stopped = is_fresh + self.leave * copying.sum(-1)
            copying = (1 - self.leave) * copying.roll(1, -1)
            copying[:, :, 0] = 0
            if begin:
                copying[:, :, :places] += (begin * stopped / places).unsqueeze(-1)
            copying *= ((tokens == tokens[:, t : t + 1]) & (torch.arange(n) < t)).unsqueeze(1)
            followed = self.bigrams[tokens[:, t - 1], tokens[:, t]]
            is_fresh = (1 - begin) * stopped * torch.stack([torch.full_like(followed, 1 / self.d_vocab), followed], 1)
            seen = is_fresh + copying.sum(-1)
            kind = kind * seen
            losses[:, t] = -kind.sum(1).log()
            kind = kind / kind.sum(1, keepdim=True)
            is_fresh, copying = is_fresh / seen, copying / seen.unsqueeze(-1)
        return losses
