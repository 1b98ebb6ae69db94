"""Path expansion: are logits and attention scores exactly the sums over paths that the lecture writes down?"""

import pytest

from claims.induction.circuits import attention_only
from claims.induction.measures import ROUNDING, relative, some_tokens
from claims.induction.source import LECTURE
from mechtests import Value, claim, instead
from mechtests.instruments import along_paths, score_terms

EXPANSION = LECTURE.section("Two-layer attention only transformer")


def every_path(_path):
    """All paths: the direct one, through single heads, through virtual heads."""
    return True


def without_virtual_heads(path):
    """The direct path and those through single heads."""
    return len(path) < 2


@claim(
    "induction/path-expansion/logits",
    "The logits are the sum over all paths through the heads, virtual heads included, to within rounding.",
    source=EXPANSION,
    expect=Value(at_most=ROUNDING),
    kind="structural",
    controls=[instead("paths", without_virtual_heads)],
)
@pytest.mark.parametrize("paths", [every_path])
def test_logits(induction, paths, evidence):
    model = attention_only(induction)
    tokens = some_tokens(model, evidence.generator)
    layers = [model.weights(layer) for layer in range(model.n_layers)]
    terms = along_paths(model.embedded(tokens), layers, model.patterns(tokens), model.W_U)
    total = sum(term for path, term in terms if paths(path))
    evidence.value(relative(total, model.logits(tokens)), len(tokens))


def four_terms(terms):
    """No composition, Q-composition, K-composition, and both."""
    return terms.no_composition + terms.q_composition + terms.k_composition + terms.qk_composition


def three_terms(terms):
    """All but K-composition."""
    return terms.no_composition + terms.q_composition + terms.qk_composition


@claim(
    "induction/path-expansion/scores",
    "The last layer's attention scores split into no-, Q-, K- and Q&K-composition, to within rounding.",
    source=LECTURE.section("Induction head – prefix matching"),
    expect=Value(at_most=ROUNDING),
    kind="structural",
    controls=[instead("terms", three_terms)],
)
@pytest.mark.parametrize("terms", [four_terms])
def test_scores(induction, terms, evidence):
    model = attention_only(induction)
    tokens, layer = some_tokens(model, evidence.generator), model.n_layers - 1
    layers = [model.weights(each) for each in range(model.n_layers)]
    embedded, patterns = model.embedded(tokens), model.patterns(tokens)
    found = model.activations(tokens, [f"blocks.{layer}.attn.q", f"blocks.{layer}.attn.k"])
    q, k = found.values()
    direct = q @ k.mT / q.shape[-1] ** 0.5
    errors = [
        relative(terms(score_terms(embedded, layers, patterns, layer, head)), direct[:, head])
        for head in range(model.n_heads)
    ]
    evidence.value(max(errors), len(tokens))
