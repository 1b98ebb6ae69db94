"""The circuits that claims on weights speak of: those of several heads are sums, because they act together."""

from collections.abc import Sequence
from functools import reduce
from operator import add

from torch import Tensor

from mechtests import Evidence, Head
from mechtests.instruments import Circuit, Heads, ov_circuit, token_match_circuit
from mechtests.systems import Induction, LanguageModel

ROUNDING = 1e-4
"""What float32 may lose in sums of the length that models have, as a share of the greatest value."""


def copying_circuit(model: LanguageModel, heads: Sequence[Head]) -> Circuit:
    """``W_E W_V W_O W_U``, summed over ``heads``: how attending to each token raises each logit."""

    def of(head: Head) -> Circuit:
        weights = model.weights(head.layer)
        return ov_circuit(model.W_E, weights.W_V[head.index], weights.W_O[head.index], model.W_U)

    return reduce(add, map(of, heads))


def matching_circuit(model: LanguageModel, reader: Head, writers: Sequence[Head]) -> Circuit:
    """A query token's score in ``reader`` for each token that a key brings from ``writers``, which it follows."""
    reads = model.weights(reader.layer)

    def of(writer: Head) -> Circuit:
        writes = model.weights(writer.layer)
        return token_match_circuit(
            model.W_E,
            reads.W_Q[reader.index],
            reads.W_K[reader.index],
            writes.W_V[writer.index],
            writes.W_O[writer.index],
        )

    return reduce(add, map(of, writers))


def attention_only(model: LanguageModel, evidence: Evidence) -> Induction:
    """The model, where its logits and scores are exactly sums over paths through its heads; untested elsewhere."""
    if not isinstance(model, Induction):
        evidence.untested(
            "a sum over paths through heads is exact only without MLPs and layer norms: --checkpoint induction=…"
        )
    return model


def one_head(model: LanguageModel, head: Head) -> Heads:
    """The weights of one head, as those of a layer that has no other."""
    layer, only = model.weights(head.layer), [head.index]
    return Heads(layer.W_Q[only], layer.W_K[only], layer.W_V[only], layer.W_O[only])


def relative(found: Tensor, expected: Tensor) -> Tensor:
    """The greatest difference, as a share of the greatest value."""
    return (found - expected).abs().max() / expected.abs().max()
