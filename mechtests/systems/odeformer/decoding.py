"""How an ODEFormer writes: the likeliest word, a word drawn, or several equations side by side, for a whole batch.

The package's own loops need an older torch. Its decoder is used as it is, with its cache of keys and values.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

Decoded = tuple[Int[Tensor, "equation word"], Float[Tensor, " equation"]]
"""Words, ended by the end mark and padded, and the sum of their log-probabilities."""


def greedy(
    decoder: Any, encoded: Float[Tensor, "equation point model"], counts: Int[Tensor, " equation"], longest: int
) -> Decoded:
    """The likeliest next word, again and again, up to the end mark or ``longest`` words.

    Args:
        decoder: the package's decoder, in evaluation mode.
        encoded: what the encoder made of each trajectory.
        counts: how many points each has.
        longest: words at most, the end mark among them.
    """
    return _one_by_one(decoder, encoded, counts, longest, lambda logits: logits.argmax(-1))


def sampled(
    decoder: Any,
    encoded: Float[Tensor, "equation point model"],
    counts: Int[Tensor, " equation"],
    longest: int,
    temperature: float,
    generator: torch.Generator,
) -> Decoded:
    """Words drawn from ``softmax(logits / temperature)``; the rest as in :func:`greedy`."""

    def drawn(logits: Float[Tensor, "equation vocab"]) -> Int[Tensor, " equation"]:
        chances = (logits / temperature).softmax(-1).to(generator.device)
        return chances.multinomial(1, generator=generator)[:, 0].to(logits.device)

    return _one_by_one(decoder, encoded, counts, longest, drawn)


def beam(
    decoder: Any,
    encoded: Float[Tensor, "equation point model"],
    counts: Int[Tensor, " equation"],
    longest: int,
    size: int,
    length_penalty: float = 1.0,
) -> tuple[Int[Tensor, "equation size word"], Float[Tensor, "equation size"]]:
    """The ``size`` best equations of each trajectory that a beam of that size finds, best first.

    As in the package, an equation's score is the sum of its log-probabilities over ``length ** length_penalty``, with
    the start mark counted and the end mark not, and a trajectory is done once ``size`` equations have ended.
    What has not ended after ``longest`` words counts as it is.

    Returns:
        The words, ended by the end mark where they did end, and the scores.
    """
    end, pad, n = decoder.eos_index, decoder.pad_index, len(encoded)
    step = _Step(decoder, encoded.repeat_interleave(size, 0), counts.repeat_interleave(size, 0))
    written = torch.full((n, size, 1), end, device=encoded.device)
    running = torch.zeros(n, size, device=encoded.device)
    running[:, 1:] = -torch.inf  # all beams are the same at first
    best = torch.full((n, size), -torch.inf, device=encoded.device)
    ended = torch.full((n, size, longest + 1), pad, device=encoded.device)
    with step.cached():
        for length in range(1, longest + 1):
            chances = step(written.flatten(0, 1)).log_softmax(-1).unflatten(0, (n, size))
            vocabulary = chances.shape[-1]
            # Of twice as many as there are beams, at least that many go on, since each beam ends in one way only.
            scores, index = (running[..., None] + chances).flatten(1).topk(2 * size, 1)
            beams, words = index // vocabulary, index % vocabulary
            longer = torch.cat([written.gather(1, beams[..., None].expand(-1, -1, length)), words[..., None]], -1)
            ends = words == end
            # An end counts only where it ranks above the last beam that goes on.
            ends &= (~ends).cumsum(1) < size
            done = (best > -torch.inf).all(1, keepdim=True)
            finished = (scores / length**length_penalty).masked_fill(~ends | done, -torch.inf)
            ended[..., : length + 1], best = _best(ended[..., : length + 1], best, longer, finished)
            going = scores.masked_fill(words == end, -torch.inf).topk(size, 1)
            running = going.values
            written = longer.gather(1, going.indices[..., None].expand(-1, -1, length + 1))
            origin = beams.gather(1, going.indices) + size * torch.arange(n, device=beams.device)[:, None]
            step.reorder(origin.flatten())
            if bool((best > -torch.inf).all()):
                break
    length = written.shape[-1]
    full = (best > -torch.inf).all(1, keepdim=True)
    rest = (running / length**length_penalty).masked_fill(full, -torch.inf)
    ended[..., :length], best = _best(ended[..., :length], best, written, rest)
    return ended[..., 1:length], best


def _best(
    kept: Int[Tensor, "equation size word"],
    scores: Float[Tensor, "equation size"],
    more: Int[Tensor, "equation more word"],
    more_scores: Float[Tensor, "equation more"],
) -> tuple[Int[Tensor, "equation size word"], Float[Tensor, "equation size"]]:
    """The best of both, best first."""
    top = torch.cat([scores, more_scores], 1).topk(scores.shape[1], 1)
    words = torch.cat([kept, more], 1)
    return words.gather(1, top.indices[..., None].expand(-1, -1, words.shape[-1])), top.values


def _one_by_one(
    decoder: Any, encoded: Tensor, counts: Tensor, longest: int, choose: Callable[[Tensor], Tensor]
) -> Decoded:
    end, pad, n = decoder.eos_index, decoder.pad_index, len(encoded)
    step = _Step(decoder, encoded, counts)
    written = torch.full((n, 1), end, device=encoded.device)
    ended = torch.zeros(n, dtype=torch.bool, device=encoded.device)
    scores = torch.zeros(n, device=encoded.device)
    with step.cached():
        while written.shape[1] <= longest and not bool(ended.all()):
            logits = step(written)
            chosen = choose(logits)
            chances = logits.log_softmax(-1).gather(1, chosen[:, None])[:, 0]
            scores = scores + chances.masked_fill(ended, 0.0)
            written = torch.cat([written, chosen.masked_fill(ended, pad)[:, None]], 1)
            ended |= chosen == end
    return written[:, 1:], scores


class _Step:
    """One more word: the decoder with its cache, which is gone afterwards."""

    def __init__(self, decoder: Any, encoded: Tensor, counts: Tensor) -> None:
        self.decoder, self.encoded, self.counts = decoder, encoded.contiguous(), counts

    @contextmanager
    def cached(self) -> Iterator[None]:
        self.decoder.cache = {"slen": 0}
        try:
            yield
        finally:
            for layer in (self.decoder, *self.decoder.attentions, *self.decoder.encoder_attn):
                layer.cache = None

    def __call__(self, written: Int[Tensor, "equation word"]) -> Float[Tensor, "equation vocab"]:
        """The logits of the next word."""
        lengths = torch.full((len(written),), written.shape[1], device=written.device)
        last = self.decoder(
            "fwd",
            x=written.T,
            lengths=lengths,
            causal=True,
            src_enc=self.encoded,
            src_len=self.counts,
            use_cache=True,
        )
        return self.decoder.proj(last.transpose(0, 1))[:, -1]

    def reorder(self, rows: Int[Tensor, " equation"]) -> None:
        """Go on from these rows of the last step."""
        cache = self.decoder.cache
        for layer, kept in cache.items():
            if layer != "slen":
                cache[layer] = tuple(one[rows] for one in kept)
