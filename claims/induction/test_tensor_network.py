"""Tensor networks: do the lecture's diagrams, contracted leg by leg, compute what the model computes?"""

import pytest

from claims.induction.circuits import attention_only
from claims.induction.measures import ROUNDING, relative, some_tokens
from claims.induction.source import LECTURE
from mechtests import Value, claim, instead
from mechtests.instruments import tensor_network

ARCHITECTURE = LECTURE.section("Transformer architecture")


def with_all_heads(pattern, weights):
    """The heads' weights and patterns as they are."""
    return pattern, weights.W_V, weights.W_O


def with_heads_swapped(pattern, weights):
    """Each head's weights on its neighbour's pattern."""
    return pattern.roll(1, 0), weights.W_V, weights.W_O


@claim(
    "induction/tensor-network/multi-head-attention",
    "The diagram of multi-head attention, contracted leg by leg, gives what the layer computes, to within rounding.",
    source=ARCHITECTURE,
    expect=Value(at_most=ROUNDING),
    kind="structural",
    controls=[instead("legs", with_heads_swapped)],
)
@pytest.mark.parametrize("legs", [with_all_heads])
def test_multi_head_attention(induction, legs, evidence):
    model = attention_only(induction)
    tokens, weights = some_tokens(model, evidence.generator)[:1], model.weights(0)
    pattern, out = model.activations(tokens, [model.pattern_site(0), "blocks.0.attn.out"]).values()
    found = tensor_network.multi_head(model.embedded(tokens)[0], *legs(pattern[0], weights))
    evidence.value(relative(found, out[0]))


def queries_by_keys(x, W_Q, W_K):
    """Queries and keys in their places."""
    return tensor_network.attention(x, W_Q, W_K)


def keys_by_queries(x, W_Q, W_K):
    """Queries in the place of keys."""
    return tensor_network.attention(x, W_K, W_Q)


@claim(
    "induction/tensor-network/attention-pattern",
    "The diagram of one head's attention, contracted leg by leg, gives the head's pattern, to within rounding.",
    source=ARCHITECTURE,
    expect=Value(at_most=ROUNDING),
    kind="structural",
    controls=[instead("diagram", keys_by_queries)],
)
@pytest.mark.parametrize("diagram", [queries_by_keys])
def test_attention_pattern(induction, diagram, evidence):
    model = attention_only(induction)
    tokens, weights = some_tokens(model, evidence.generator)[:1], model.weights(0)
    found = [diagram(model.embedded(tokens)[0], *pair) for pair in zip(weights.W_Q, weights.W_K, strict=True)]
    errors = [relative(one, own) for one, own in zip(found, model.pattern(tokens, 0)[0], strict=True)]
    evidence.value(max(errors))
