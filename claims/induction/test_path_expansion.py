"""Path expansion: are logits and attention scores exactly the sums over paths that the lecture writes down?"""

from claims.induction.circuits import ROUNDING, attention_only
from claims.induction.inputs import some_tokens
from claims.induction.source import LECTURE
from mechtests import Value, claim, instead
from mechtests.instruments import along_paths, relative_error, score_terms

EXPANSION = LECTURE.section("Two-layer attention only transformer")
SUMMED = {
    "four_terms": ("no_composition", "q_composition", "k_composition", "qk_composition"),
    "three_terms": ("no_composition", "q_composition", "qk_composition"),
}


@claim(
    "induction/path-expansion/logits",
    "The logits are the sum over all paths through the heads, virtual heads included, to within rounding.",
    source=EXPANSION,
    expect=Value(at_most=ROUNDING),
    kind="identity",
    controls=[instead(paths="without_virtual_heads")],
)
def test_logits(induction, evidence, paths="every_path"):
    model = attention_only(induction, evidence)
    tokens = some_tokens(model, evidence.generator)
    layers = [model.weights(layer) for layer in range(model.n_layers)]
    terms = along_paths(model.embedded(tokens), layers, model.patterns(tokens), model.W_U)
    total = sum(term for path, term in terms if paths == "every_path" or len(path) < 2)
    evidence.value(relative_error(total, model.logits(tokens)), len(tokens))


@claim(
    "induction/path-expansion/scores",
    "The last layer's attention scores split into no-, Q-, K- and Q&K-composition, to within rounding.",
    source=LECTURE.section("Induction head – prefix matching"),
    expect=Value(at_most=ROUNDING),
    kind="identity",
    controls=[instead(terms="three_terms")],
)
def test_scores(induction, evidence, terms="four_terms"):
    model = attention_only(induction, evidence)
    tokens, layer = some_tokens(model, evidence.generator), model.n_layers - 1
    path = model.embedded(tokens), [model.weights(each) for each in range(model.n_layers)], model.patterns(tokens)
    q, k = model.activations(tokens, [model.attention_site(layer, part) for part in ("q", "k")]).values()
    direct, errors = q @ k.mT / q.shape[-1] ** 0.5, []
    for head in range(model.n_heads):
        split = score_terms(*path, layer, head)
        errors.append(relative_error(sum(getattr(split, term) for term in SUMMED[terms]), direct[:, head]))
    evidence.value(max(errors), len(tokens))
