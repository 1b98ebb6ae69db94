"""Composition: does the induction head read its keys, and not its queries, from the previous-token head?"""

import torch

from claims.induction.circuits import attention_only
from claims.induction.heads import induction_head, previous_token_head
from claims.induction.inputs import sequences
from claims.induction.source import CIRCUITS, LECTURE
from mechtests import Rate, Value, claim, instead, shuffled_weights, untrained
from mechtests.instruments import attention_to, causal_mask, composition_null, composition_scores, score_terms

PREFIX_MATCHING = LECTURE.section("Induction head – prefix matching")
VIRTUAL_HEADS = CIRCUITS.section("Virtual attention heads")
DRAWS = 199
"""Random rotations of the residual stream that a pair's composition score is compared with."""
SAME_LAYER = "the strongest induction head is in the first layer, and reads from no head"


def pair_of(model):
    """The strongest previous-token head and induction head; none where the second cannot read from the first."""
    writer, reader = previous_token_head(model), induction_head(model)
    return (writer, reader) if writer.layer < reader.layer else None


def null_scores(model, writer, reader, into, generator):
    """The pair's composition score, and what it is after random rotations of the residual stream between them."""
    weights = [model.weights(head.layer)[[head.index]] for head in (writer, reader)]
    score = composition_scores(*weights, into)[0, 0]
    return score, composition_null(*weights, into, DRAWS, generator)[:, 0, 0]


@claim(
    "induction/composition/k-term-dominates",
    "Where induction is relevant, the K-composition term of the induction head's scores favours the right key by more "
    "than the other three terms together, on nine sequences in ten.",
    source=PREFIX_MATCHING,
    expect=Rate(at_least=0.9),
    kind="structural",
    controls=[untrained.drawn(99), instead(term=["q_composition", "qk_composition", "no_composition"])],
)
def test_k_term_dominates(induction, evidence, term="k_composition"):
    model, head = attention_only(induction, evidence), induction_head(induction)
    if head.layer == 0:
        return evidence.undefined(SAME_LAYER)
    layers = [model.weights(layer) for layer in range(model.n_layers)]
    for drawn in evidence.batches(sequences(model), size=32):
        tokens, targets = drawn.tokens.to(model.device), drawn.targets.to(model.device)
        terms = score_terms(model.embedded(tokens), layers, model.patterns(tokens), head.layer, head.index)
        claimed, whole = getattr(terms, term), sum(terms.q.values()) @ sum(terms.k.values()).mT
        lead = favours(2 * claimed - whole, targets)
        evidence.observe(lead > 0, margin=lead)


def favours(scores, targets):
    """By how much the scores of the right keys exceed the mean over all keys up to the query, on average."""
    allowed = causal_mask(scores.shape[-1], scores.device)
    mean = (scores * allowed).sum(-1) / allowed.sum(-1)
    return attention_to(scores - mean.unsqueeze(-1), targets)


@claim(
    "induction/composition/k-above-random",
    "The pair's K-composition score is greater than after any of 199 random rotations of what lies between them: their "
    "ratio is above 1.",
    source=VIRTUAL_HEADS,
    expect=Value(above=1),
    kind="structural",
    controls=[untrained.drawn(99), shuffled_weights],
)
def test_k_above_random(induction, evidence):
    if (pair := pair_of(induction)) is None:
        return evidence.undefined(SAME_LAYER)
    score, null = null_scores(induction, *pair, "k", evidence.generator)
    evidence.value(score / null.max(), DRAWS)


@claim(
    "induction/composition/k-above-other-pairs",
    "The pair's K-composition score is greater than that of any other pair of heads of their two layers: its ratio to "
    "the next is above 1.",
    source=VIRTUAL_HEADS,
    expect=Value(above=1),
    kind="structural",
    controls=[untrained.drawn(99)],
)
def test_k_above_other_pairs(induction, evidence):
    if (pair := pair_of(induction)) is None:
        return evidence.undefined(SAME_LAYER)
    writer, reader = pair
    scores = composition_scores(induction.weights(writer.layer), induction.weights(reader.layer), "k")
    others = scores.flatten().tolist()
    own = others.pop(writer.index * scores.shape[1] + reader.index)
    evidence.value(own / max(others), len(others))


def k_composes(induction):
    """Most pairs that never trained have no Q-composition; it says something of a pair that composes at all."""
    if (pair := pair_of(induction)) is None:
        return True  # the claim says that there is nothing to measure
    score, null = null_scores(induction, *pair, "k", torch.Generator().manual_seed(0))
    return bool(score > null.max()) or "the pair's K-composition is no greater than random rotations make it"


@claim(
    "induction/composition/q-not-above-random",
    "The pair's Q-composition score is no greater than nineteen in twenty random rotations make it.",
    source=PREFIX_MATCHING,
    expect=Value(at_most=0.95),
    kind="structural",
    controls=[instead(into="k")],
    requires=k_composes,
)
def test_q_not_above_random(induction, evidence, into="q"):
    if (pair := pair_of(induction)) is None:
        return evidence.undefined(SAME_LAYER)
    score, null = null_scores(induction, *pair, into, evidence.generator)
    evidence.value((null < score).double().mean(), DRAWS)
