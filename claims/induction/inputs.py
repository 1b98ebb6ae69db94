"""The sequences that the claims of this folder are about."""

import torch
from jaxtyping import Int
from torch import Tensor

from mechtests.families import Integer, RepeatedSequences, RepeatedTokens
from mechtests.systems import LanguageModel

Tokens = Int[Tensor, "sequence pos"]

DISCOVERY = 128
"""Sequences on which heads are looked for. A claim draws its own, so that choosing the best of many heads here does not
flatter them there; and every control chooses among its own heads in the same way."""


def sequences(model: LanguageModel) -> RepeatedTokens:
    """Sequences of 64 different tokens of the model's vocabulary in which one segment is shown twice."""
    return RepeatedTokens(d_vocab=model.d_vocab)


def short_sequences(model: LanguageModel) -> RepeatedTokens:
    """Sequences of 24 tokens with segments of two to four: another family than the one that heads are looked for on."""
    return RepeatedTokens(model.d_vocab, n_ctx=24, length=Integer(2, 4), distance=Integer(4, 12))


def long_segments(model: LanguageModel) -> RepeatedTokens:
    """Sequences of 64 tokens with segments of 24 to 30, shown again soon after."""
    return RepeatedTokens(model.d_vocab, length=Integer(24, 30), distance=Integer(30, 34))


def some_tokens(model: LanguageModel, generator: torch.Generator) -> Tokens:
    """Sixteen sequences, on the model's device."""
    return sequences(model).sample(16, generator).tokens.to(model.device)


def repeated(drawn: RepeatedSequences) -> Tokens:
    """The sequences with two occurrences of their segment."""
    return drawn.tokens


def unrepeated(drawn: RepeatedSequences) -> Tokens:
    """The same sequences with other tokens in the place of the segment's first occurrence."""
    return drawn.unrepeated
