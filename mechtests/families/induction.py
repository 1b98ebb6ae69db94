"""Sequences of random tokens in which one segment is shown twice."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache

import torch
from jaxtyping import Bool, Int, Shaped
from torch import Tensor

from mechtests.families.family import Family, Integer, Real


@dataclass(frozen=True, eq=False)
class RepeatedSequences:
    """A batch of sequences that end with the second occurrence of a segment; no other token occurs twice.

    Attributes:
        tokens: the sequences.
        unrepeated: the same with other tokens in the place of the first occurrence, so that no token occurs twice. The
            second occurrence is the same in both: they differ in whether it has been seen before, and in nothing else.
        length: how many tokens each segment has.
        distance: by how many positions the second occurrence comes after the first.
    """

    tokens: Int[Tensor, "sequence pos"]
    unrepeated: Int[Tensor, "sequence pos"]
    length: Int[Tensor, " sequence"]
    distance: Int[Tensor, " sequence"]

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, index: Int[Tensor, " chosen"]) -> "RepeatedSequences":
        return RepeatedSequences(self.tokens[index], self.unrepeated[index], self.length[index], self.distance[index])

    @property
    def first(self) -> Bool[Tensor, "sequence pos"]:
        """Where the segment is shown for the first time."""
        return self._from_second(self._place + self.distance.unsqueeze(1), 0)

    @property
    def second(self) -> Bool[Tensor, "sequence pos"]:
        """Where the segment is shown for the second time."""
        return self._from_second(self._place, 0)

    @property
    def predicted(self) -> Bool[Tensor, "sequence pos"]:
        """The tokens that induction predicts: those of the second occurrence but its first, which comes unannounced."""
        return self._from_second(self._place, 1)

    @property
    def shown_before(self) -> Bool[Tensor, "sequence pos"]:
        """The same tokens where they are shown for the first time."""
        return self._from_second(self._place + self.distance.unsqueeze(1), 1)

    @property
    def targets(self) -> Int[Tensor, "sequence query"]:
        """Where induction attends from each position of the second occurrence: after the first occurrence of its token.

        -1 elsewhere. Attention to these places in ``unrepeated`` is what position alone achieves.
        """
        return torch.where(self.second, self._place - self.distance.unsqueeze(1) + 1, -1)

    @property
    def _place(self) -> Int[Tensor, " pos"]:
        return torch.arange(self.tokens.shape[1])

    def _from_second(self, place: Tensor, skipped: int) -> Bool[Tensor, "sequence pos"]:
        n = self.tokens.shape[1]
        return (place >= n - self.length.unsqueeze(1) + skipped) & (place < n)


@dataclass(frozen=True)
class RepeatedTokens(Family[RepeatedSequences]):
    """Sequences of different random tokens in which one segment has been shown before, at a random distance.

    Length and distance are independent, and both occurrences lie in the sequence whole and apart.

    Attributes:
        d_vocab: tokens are drawn from 0 to ``d_vocab - 1``, each at most once besides the repetition.
        n_ctx: how long a sequence is; the second occurrence is its end.
        length: tokens of the segment.
        distance: from the first occurrence to the second, in positions.

    Raises:
        ValueError: two occurrences would overlap, or do not fit, or there are too few tokens.
    """

    d_vocab: int = 256
    n_ctx: int = 64
    length: Integer = field(default=Integer(8, 16))
    distance: Integer = field(default=Integer(16, 48))

    def __post_init__(self) -> None:
        longest = self.length.high + self.distance.high
        if not 2 <= self.length.low <= self.length.high <= self.distance.low or longest > self.n_ctx:
            raise ValueError(
                f"RepeatedTokens: two occurrences of {self.length.low} to {self.length.high} tokens, "
                f"{self.distance.low} to {self.distance.high} positions apart, in {self.n_ctx} positions. Expected a "
                "length of 2 or more, distances no shorter than the longest segment, and both together within n_ctx."
            )
        if self.d_vocab < self.n_ctx:
            raise ValueError(
                f"RepeatedTokens: {self.n_ctx} different tokens cannot be drawn from {self.d_vocab}. "
                "Give a larger d_vocab or a shorter n_ctx."
            )

    @property
    def parameters(self) -> Mapping[str, Integer | Real]:
        return {"length": self.length, "distance": self.distance, "seed": Integer(0, 2**31 - 1)}

    def build(self, **parameters: Shaped[Tensor, " sequence"]) -> RepeatedSequences:
        length, distance, seed = (parameters[name] for name in ("length", "distance", "seed"))
        unrepeated = torch.stack([_different_tokens(self.d_vocab, self.n_ctx, one) for one in seed.tolist()])
        plain = RepeatedSequences(unrepeated, unrepeated, length, distance)
        place = torch.arange(self.n_ctx)
        shown_again = (place + distance.unsqueeze(1)).clamp(max=self.n_ctx - 1)
        tokens = torch.where(plain.first, unrepeated.gather(1, shown_again), unrepeated)
        return replace(plain, tokens=tokens)


@lru_cache(1 << 16)  # a claim draws the same sequences on the model and on every control, and so for all its heads
def _different_tokens(d_vocab: int, n: int, seed: int) -> Int[Tensor, " n"]:
    return torch.randperm(d_vocab, generator=torch.Generator().manual_seed(seed))[:n]
