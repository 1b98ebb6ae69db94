"""What the claims of this folder measure of a sequence, and how they ablate heads."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from claims.induction.selectors import DISCOVERY, discovery_sequences
from claims.induction.source import sequences
from mechtests import Edit, Head, memoized, replace, resample, scale, zero
from mechtests.families import RepeatedSequences
from mechtests.systems import LanguageModel

Tokens = Int[Tensor, "sequence pos"]
Ablation = Callable[[LanguageModel, Sequence[Head], Tokens, torch.Generator], list[Edit]]


ROUNDING = 1e-4
"""What float32 may lose in sums of the length that models have, as a share of the greatest value."""


def relative(found: Tensor, expected: Tensor) -> Tensor:
    """The greatest difference, as a share of the greatest value."""
    return (found - expected).abs().max() / expected.abs().max()


def some_tokens(model: LanguageModel, generator: torch.Generator) -> Tokens:
    """Sixteen sequences, on the model's device."""
    return sequences(model).sample(16, generator).tokens.to(model.device)


def repeated(drawn: RepeatedSequences) -> Tokens:
    """The sequences with their segment shown twice."""
    return drawn.tokens


def unrepeated(drawn: RepeatedSequences) -> Tokens:
    """The same sequences with other tokens in the place of the first showing."""
    return drawn.unrepeated


def attention_of(model: LanguageModel, tokens: Tokens, head: Head) -> Float[Tensor, "sequence query key"]:
    """How one head attends."""
    return model.pattern(tokens, head.layer)[:, head.index]


def mean_over(
    losses: Float[Tensor, "sequence foretold"], where: Bool[Tensor, "sequence pos"]
) -> Float[Tensor, " sequence"]:
    """Each sequence's mean loss over the tokens in ``where``."""
    asked = where[:, 1:].to(losses.device)
    return (losses * asked).sum(1) / asked.sum(1)


def segment_losses(
    model: LanguageModel, drawn: RepeatedSequences, edits: Callable[[Tokens], Sequence[Edit]] = lambda _: ()
) -> tuple[Float[Tensor, " sequence"], Float[Tensor, " sequence"]]:
    """Mean loss on a segment's second showing: where nothing repeats, and where the segment does."""
    tokens = torch.cat([drawn.unrepeated, drawn.tokens])  # one pass for both
    without, with_repeats = mean_over(model.losses(tokens, *edits(tokens)), drawn.foretold.repeat(2, 1)).chunk(2)
    return without, with_repeats


def gain(
    model: LanguageModel, drawn: RepeatedSequences, edits: Callable[[Tokens], Sequence[Edit]] = lambda _: ()
) -> Float[Tensor, " sequence"]:
    """In-context learning, in nats a token: how much easier the segment is for having been shown before.

    Loss on the second showing where nothing repeats, less that where the segment does; both with the edits made, so
    that an edit which harms every prediction alike takes nothing away.
    """
    without, with_repeats = segment_losses(model, drawn, edits)
    return without - with_repeats


@memoized
def mean_outputs(model: LanguageModel) -> Float[Tensor, "layer pos head d_head"]:
    """What the heads give at each position, in the mean over the sequences on which heads were looked for."""
    sites = [place.site for place in model.places(model.heads).values()]
    found = model.activations(discovery_sequences(model).tokens, sites)
    return torch.stack([found[site].mean(0) for site in sites])


def zeroed(model: LanguageModel, heads: Sequence[Head], _tokens: Tokens, _generator: torch.Generator) -> list[Edit]:
    """Zero ablation of the heads' outputs."""
    return [zero(place) for place in model.places(heads).values()]


def averaged(model: LanguageModel, heads: Sequence[Head], _tokens: Tokens, _generator: torch.Generator) -> list[Edit]:
    """Mean ablation: each position gets its mean over the sequences on which heads were looked for."""
    means, label = mean_outputs(model), f"mean of {DISCOVERY} sequences"
    return [replace(place, means[layer, None], label) for layer, place in model.places(heads).items()]


def resampled(model: LanguageModel, heads: Sequence[Head], tokens: Tokens, generator: torch.Generator) -> list[Edit]:
    """Resample ablation: each sequence gets the heads' outputs on one of those on which heads were looked for.

    The heads of a layer get theirs on the same one.
    """
    reference = discovery_sequences(model).tokens
    rows = torch.randperm(len(reference), generator=generator)[: len(tokens)]
    return [
        resample(place, model.activations(reference, [place.site])[place.site][rows], generator)
        for place in model.places(heads).values()
    ]


def scaled(model: LanguageModel, heads: Sequence[Head], factor: float) -> list[Edit]:
    """The heads' outputs multiplied by ``factor``."""
    return [scale(place, factor) for place in model.places(heads).values()]
