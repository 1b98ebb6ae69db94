"""Three ways of taking heads away."""

from collections.abc import Sequence

import torch

from claims.induction.inputs import Tokens, discovery_sequences
from mechtests import Edit, Head
from mechtests.systems import LanguageModel


def zeroed(model: LanguageModel, heads: Sequence[Head], _tokens: Tokens, _generator: torch.Generator) -> list[Edit]:
    """Zero ablation of the heads' outputs."""
    return model.ablate(heads, "zero")


def averaged(model: LanguageModel, heads: Sequence[Head], _tokens: Tokens, _generator: torch.Generator) -> list[Edit]:
    """Mean ablation: each position gets its mean over the sequences on which heads were looked for."""
    return model.ablate(heads, "mean", discovery_sequences(model).tokens)


def resampled(model: LanguageModel, heads: Sequence[Head], tokens: Tokens, generator: torch.Generator) -> list[Edit]:
    """Resample ablation: each sequence gets the heads' outputs on one of those on which heads were looked for.

    The heads of a layer get theirs on the same one.
    """
    return model.ablate(heads, "resample", discovery_sequences(model).tokens, generator, inputs=len(tokens))
