"""The circuits that claims on weights speak of: those of several heads are sums, because they act together."""

from collections.abc import Sequence
from functools import reduce
from operator import add

from mechtests import Evidence, Head
from mechtests.instruments import Circuit, ov_circuit, token_match_circuit
from mechtests.systems import Induction, LanguageModel

ROUNDING = 1e-4
"""What float32 may lose in sums of the length that models have, as a share of the greatest value."""


def copying_circuit(model: LanguageModel, heads: Sequence[Head]) -> Circuit:
    """``W_E W_V W_O W_U``, summed over ``heads``: how attending to each token raises each logit."""
    pairs = [(model.weights(head.layer), head.index) for head in heads]
    return reduce(add, [ov_circuit(model.W_E, one.W_V[i], one.W_O[i], model.W_U) for one, i in pairs])


def matching_circuit(model: LanguageModel, reader: Head, writers: Sequence[Head]) -> Circuit:
    """A query token's score in ``reader`` for each token that a key brings from ``writers``, which it follows."""
    reads, pairs = model.weights(reader.layer), [(model.weights(writer.layer), writer.index) for writer in writers]
    W_Q, W_K = reads.W_Q[reader.index], reads.W_K[reader.index]
    return reduce(add, [token_match_circuit(model.W_E, W_Q, W_K, one.W_V[i], one.W_O[i]) for one, i in pairs])


def attention_only(model: LanguageModel, evidence: Evidence) -> Induction:
    """The model, where its logits and scores are exactly sums over paths through its heads; untested elsewhere."""
    if not isinstance(model, Induction):
        evidence.untested(
            "a sum over paths through heads is exact only without MLPs and layer norms: --checkpoint induction=…"
        )
    return model
