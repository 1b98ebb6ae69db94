"""Tensor networks: do the lecture's diagrams, contracted leg by leg, compute what the model computes?"""

from claims.induction.circuits import ROUNDING, attention_only
from claims.induction.inputs import some_tokens
from claims.induction.source import LECTURE
from mechtests import Value, claim, instead
from mechtests.instruments import relative_error, tensor_network

ARCHITECTURE = LECTURE.section("Transformer architecture")


@claim(
    "induction/tensor-network/multi-head-attention",
    "The diagram of multi-head attention, contracted leg by leg, gives what the layer computes, to within rounding.",
    source=ARCHITECTURE,
    expect=Value(at_most=ROUNDING),
    kind="identity",
    controls=[instead(legs="with_heads_swapped")],
)
def test_multi_head_attention(induction, evidence, legs="with_all_heads"):
    model = attention_only(induction, evidence)
    tokens, weights = some_tokens(model, evidence.generator)[:1], model.weights(0)
    pattern, out = model.activations(tokens, [model.pattern_site(0), model.attention_site(0, "out")]).values()
    joined = pattern[0].roll(1, 0) if legs == "with_heads_swapped" else pattern[0]
    found = tensor_network.multi_head(model.embedded(tokens)[0], joined, weights.W_V, weights.W_O)
    evidence.value(relative_error(found, out[0]))


@claim(
    "induction/tensor-network/attention-pattern",
    "The diagram of one head's attention, contracted leg by leg, gives the head's pattern, to within rounding.",
    source=ARCHITECTURE,
    expect=Value(at_most=ROUNDING),
    kind="identity",
    controls=[instead(diagram="keys_by_queries")],
)
def test_attention_pattern(induction, evidence, diagram="queries_by_keys"):
    model = attention_only(induction, evidence)
    tokens, weights = some_tokens(model, evidence.generator)[:1], model.weights(0)
    legs = (weights.W_Q, weights.W_K) if diagram == "queries_by_keys" else (weights.W_K, weights.W_Q)
    found = [tensor_network.attention(model.embedded(tokens)[0], *pair) for pair in zip(*legs, strict=True)]
    errors = [relative_error(one, own) for one, own in zip(found, model.pattern(tokens, 0)[0], strict=True)]
    evidence.value(max(errors))
