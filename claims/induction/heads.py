"""Which heads a claim speaks of: found on sequences of their own, before a claim looks at any.

What counts is relative to the strongest head, so that a selection has no constant that a model could fall short of: an
untrained twin has its "induction heads" as well, and a claim on which they do as well is vacuous.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from claims.induction.inputs import DISCOVERY, sequences
from mechtests import Head, memoized
from mechtests.instruments import attention_to, previous_token_targets
from mechtests.systems import LanguageModel


class Scores(NamedTuple):
    """Mean attention of each head, layer by layer, to the previous token and to the token that induction predicts."""

    previous: Float[Tensor, " head"]
    prefix: Float[Tensor, " head"]


@memoized
def scores(model: LanguageModel) -> Scores:
    """How strongly each head shows the two patterns of attention, on sequences of their own."""
    drawn = sequences(model).discovery(DISCOVERY)
    sites = [model.pattern_site(layer) for layer in range(model.n_layers)]
    patterns = model.activations(drawn.tokens, sites).values()  # one pass for all layers
    return Scores(
        *(
            torch.cat([attention_to(pattern, where.to(pattern.device)).mean(0) for pattern in patterns])
            for where in (previous_token_targets(drawn.tokens), drawn.targets)
        )
    )


def induction_head(model: LanguageModel) -> Head:
    """The head that attends most to the token that induction predicts."""
    return strongest_induction_head(model)[0]


def previous_token_head(model: LanguageModel) -> Head:
    """The head that attends most to the previous token, in a layer below the strongest induction head's."""
    return strongest_previous_token_head(model)[0]


def strongest_induction_head(model: LanguageModel) -> list[Head]:
    """The one head that attends most to the token that induction predicts."""
    return [model.heads[int(scores(model).prefix.argmax())]]


def strongest_previous_token_head(model: LanguageModel) -> list[Head]:
    """The one head below the strongest induction head that attends most to the previous token."""
    return [model.heads[int(_previous_below(model).argmax())]]


def induction_heads(model: LanguageModel) -> list[Head]:
    """Heads that attend half as much as the strongest, or more, to the token that induction predicts."""
    return _half_as_strong(model, scores(model).prefix)


def previous_token_heads(model: LanguageModel) -> list[Head]:
    """Heads below the strongest induction head that attend half as much as the strongest to the previous token."""
    return _half_as_strong(model, _previous_below(model))


def both_kinds(model: LanguageModel) -> list[Head]:
    """The previous-token heads and the induction heads."""
    return sorted({*previous_token_heads(model), *induction_heads(model)})


def other_heads(model: LanguageModel) -> list[Head]:
    """The heads that are neither previous-token heads nor induction heads."""
    return sorted({*model.heads}.difference(both_kinds(model)))


def next_previous_token_head(model: LanguageModel) -> Head | None:
    """The next best previous-token head of the same layer; none where the best is alone."""
    best, previous = previous_token_head(model), scores(model).previous
    rivals = [head for head in model.heads if head.layer == best.layer and head != best]
    return max(rivals, key=lambda head: previous[model.heads.index(head)].item(), default=None)


def _half_as_strong(model: LanguageModel, strength: Float[Tensor, " head"]) -> list[Head]:
    taken = (strength >= strength.max() / 2).tolist()
    return [head for head, strong in zip(model.heads, taken, strict=True) if strong]


def _previous_below(model: LanguageModel) -> Float[Tensor, " head"]:
    """Scores of the heads that an induction head can read from; below zero for the others.

    Where the strongest induction head is in layer 0, no layer is below it, and layer 0 stands in.
    """
    previous = scores(model).previous
    layers = torch.tensor([head.layer for head in model.heads], device=previous.device)
    return torch.where(layers < max(1, induction_head(model).layer), previous, -1.0)
