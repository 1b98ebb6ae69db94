"""What the claims of this folder measure of a sequence's losses, in nats per token."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from claims.induction.inputs import Tokens
from mechtests import Edit
from mechtests.families import RepeatedSequences
from mechtests.systems import LanguageModel


def mean_over(
    losses: Float[Tensor, "sequence predicted"], where: Bool[Tensor, "sequence pos"]
) -> Float[Tensor, " sequence"]:
    """Each sequence's mean loss over the tokens in ``where``."""
    asked = where[:, 1:].to(losses.device)
    return (losses * asked).sum(1) / asked.sum(1)


def segment_losses(
    model: LanguageModel, drawn: RepeatedSequences, edits: Callable[[Tokens], Sequence[Edit]] = lambda _: ()
) -> tuple[Float[Tensor, " sequence"], Float[Tensor, " sequence"]]:
    """Mean loss on a segment's second occurrence: where nothing repeats, and where the segment does."""
    tokens = torch.cat([drawn.unrepeated, drawn.tokens])  # one pass for both
    without, with_repeats = mean_over(model.losses(tokens, *edits(tokens)), drawn.predicted.repeat(2, 1)).chunk(2)
    return without, with_repeats


def gain(
    model: LanguageModel, drawn: RepeatedSequences, edits: Callable[[Tokens], Sequence[Edit]] = lambda _: ()
) -> Float[Tensor, " sequence"]:
    """In-context learning, in nats per token: how much easier the segment is for having been shown before.

    Loss on the second occurrence where nothing repeats, less that where the segment does; both with the edits made, so
    that an edit which harms every prediction alike takes nothing away.
    """
    without, with_repeats = segment_losses(model, drawn, edits)
    return without - with_repeats
