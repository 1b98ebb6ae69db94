"""Sign prediction: at which layer, by which logit and from which points is the sign of x' = ±kx written?

The equation's words are given as they should be, which before the sign is one word that all these systems share.
"""

import pytest
import torch

from claims.odeformer.lens import (
    DIGITS,
    SIGN,
    discovered_signs,
    discovered_words,
    judged_signs,
    judged_words,
    pairs,
    slight_words,
)
from claims.odeformer.measures import forced, name_of
from claims.odeformer.selectors import the_layer
from claims.odeformer.source import ATTENTION_LENS, BOTH_WAYS, GROWTH, Unsearched, discovery, few
from mechtests import Difference, Rate, Value, claim, instead, mean, shuffled_weights, untrained, zero

RISING, FALLING = 0, 1


def plus_layer(odeformer):
    """The layer of the middle half at which '+' is most often the likeliest word, for rising and falling alike."""
    layers = odeformer.module.config.n_dec_layers
    plus = discovered_signs(odeformer).tops == odeformer.vocabulary.id("+")
    middle = range(layers // 4, max(layers * 3 // 4, layers // 4 + 1))
    return max(middle, key=lambda layer: plus[layer].all(-1).double().mean())


@claim(
    "odeformer/sign-prediction/plus-first",
    "At the decoder's middle layer the likeliest word is '+', for a rising and for a falling system alike, on nine "
    "pairs in ten.",
    source=ATTENTION_LENS,
    expect=Rate(at_least=0.9),
    controls=[untrained, shuffled_weights],
    published="layer 6",
)
@pytest.mark.parametrize("layer", [6, plus_layer], ids=name_of)
def test_plus_first(odeformer, layer, evidence):
    layer, plus = the_layer(odeformer, layer), odeformer.vocabulary.id("+")
    for growth in few(evidence, GROWTH, size=16, most=512):
        logits = odeformer.logit_lens(pairs(odeformer, growth), None, layers=[layer])[0, :, SIGN].cpu()
        others = logits.clone()
        others[:, plus] = -torch.inf
        lead = (logits[:, plus] - others.amax(-1)).unflatten(0, (2, -1)).amin(0)
        evidence.observe(lead > 0, margin=lead)
    found = judged_signs(odeformer)
    lead = (found.plus - found.minus).mean(1)
    for direction, name in enumerate(("rising", "falling")):
        label = f"logit of '+' less that of '−' against decoder layer, {name} systems"
        evidence.curve(label, range(len(lead)), lead[:, direction])


def first_layer(tops, word):
    """The first layer at which a word is the likeliest; as many as there are layers where it never is."""
    there = tops == word
    return torch.where(there.any(0), there.int().argmax(0), len(tops))


@claim(
    "odeformer/sign-prediction/minus-late",
    "For falling systems '−' becomes the likeliest word at decoder layer 8 or later, on nine in ten.",
    source=ATTENTION_LENS,
    expect=Rate(at_least=0.9),
    controls=[untrained],
    published="layer 8",
)
@pytest.mark.parametrize("layer", [8])
def test_minus_late(odeformer, layer, evidence):
    layer, tops = the_layer(odeformer, layer), judged_signs(odeformer).tops
    first = first_layer(tops[..., FALLING], odeformer.vocabulary.id("-"))
    evidence.observe((first >= layer) & (first < len(tops)))


@claim(
    "odeformer/sign-prediction/minus-after-plus",
    "In nine pairs of systems in ten, '−' becomes the likeliest word for the falling one at a later layer than '+' "
    "does for it.",
    source=ATTENTION_LENS,
    expect=Rate(at_least=0.9),
    controls=[untrained],
    published="layer 8 after layer 6",
)
def test_minus_after_plus(odeformer, evidence):
    tops = judged_signs(odeformer).tops[..., FALLING]
    plus, minus = (first_layer(tops, odeformer.vocabulary.id(sign)) for sign in "+-")
    evidence.observe((plus < minus) & (minus < len(tops)))


def zeroed(_odeformer, _inputs):
    """The encoded points are zero."""
    return zero("encoded")


def averaged(odeformer, _inputs):
    """The encoded points are what they are on average over as many rising as falling systems."""
    inputs = pairs(odeformer, discovery(GROWTH, 32))[:2]
    return mean("encoded", odeformer.activations(inputs, ["encoded"])["encoded"])


@claim(
    "odeformer/sign-prediction/plus-is-default",
    "Where the decoder is told nothing of the trajectory it prefers '+' to '−'.",
    source=ATTENTION_LENS,
    expect=Value(above=0),
    kind="causal",
    controls=[untrained],
    published="“a bias towards ‘+’”",
)
@pytest.mark.parametrize("ablation", [zeroed, averaged])
def test_plus_is_default(odeformer, ablation, evidence):
    inputs = pairs(odeformer, discovery(GROWTH, 32))
    logits = odeformer.logits(inputs, None, ablation(odeformer, inputs))[0, SIGN]
    evidence.value(logits[odeformer.vocabulary.id("+")] - logits[odeformer.vocabulary.id("-")])


@claim(
    "odeformer/sign-prediction/one-logit",
    "Nine tenths or more of the variance of the last layer's difference between the signs' logits, over rising and "
    "falling systems, come from the logit of '+'. Logits are taken from their mean over all words.",
    source=ATTENTION_LENS,
    expect=Value(at_least=0.9),
    controls=[untrained, instead("sign", "minus")],
    published="“carried by logit 389 alone”",
)
@pytest.mark.parametrize("sign", ["plus"])
def test_one_logit(odeformer, sign, evidence):
    found = judged_signs(odeformer)
    plus, minus = found.plus[-1].flatten().double(), found.minus[-1].flatten().double()
    difference = plus - minus
    carried = {"plus": plus, "minus": -minus}[sign]
    both = torch.cov(torch.stack([carried, difference]))
    if both[1, 1] == 0:
        return evidence.undefined("the difference of the logits does not vary")
    evidence.value(both[0, 1] / both[1, 1], len(difference))


# The other words


def repeats(odeformer, layer, trajectories):
    """Whether the likeliest word is the one before, ``[trajectory word]``."""
    inputs = forced(odeformer, trajectories)
    return (odeformer.logit_lens(inputs, None, layers=[layer])[0].argmax(-1) == inputs[2].to(odeformer.device)).cpu()


AFTER_CONSTANT = [place + 1 for place in DIGITS]
"""The places whose word before is part of a constant: its digits or its exponent."""


@claim(
    "odeformer/sign-prediction/early-layers-repeat",
    "The decoder's first layers foretell the word before, wherever that is no part of a constant, on nine systems in "
    "ten.",
    source=ATTENTION_LENS,
    expect=Rate(at_least=0.9),
    controls=[untrained],
    published="LALens1",
)
@pytest.mark.parametrize("layer", [0, 1, 2])
def test_early_layers_repeat(odeformer, layer, evidence):
    layer = the_layer(odeformer, layer)
    for trajectories in few(evidence, Unsearched(BOTH_WAYS)):
        repeated = repeats(odeformer, layer, trajectories)
        evidence.observe(repeated[:, [i for i in range(repeated.shape[1]) if i not in AFTER_CONSTANT]].all(1))


@claim(
    "odeformer/sign-prediction/no-repeat-after-a-constant",
    "After a part of a constant the decoder's first layers foretell another word, on nine systems in ten.",
    source=ATTENTION_LENS,
    expect=Rate(at_least=0.9),
    controls=[untrained],
    published="“does not hold true while predicting a token following a constant”",
)
@pytest.mark.parametrize("layer", [0, 1, 2])
def test_no_repeat_after_a_constant(odeformer, layer, evidence):
    layer = the_layer(odeformer, layer)
    for trajectories in few(evidence, Unsearched(BOTH_WAYS), most=512):
        evidence.observe(~repeats(odeformer, layer, trajectories)[:, AFTER_CONSTANT].any(1))


def rises(found):
    """By how much the right word gets likelier over the last quarter of the layers, ``[trajectory word]``."""
    layers = len(found.right)
    return (found.right[-1] - found.right[layers - 1 - max(1, layers // 4)])[:, :-1]


@claim(
    "odeformer/sign-prediction/confidence-late",
    "Over the last quarter of the decoder's layers the right words get likelier, on average over a system's words.",
    source=ATTENTION_LENS,
    expect=Difference(above=0, bounds=(-1, 1)),
    controls=[untrained],
    published="LALens1",
)
def test_confidence_late(odeformer, evidence):
    evidence.observe(rises(judged_words(odeformer)).mean(1))
    by_layer = judged_words(odeformer).right[..., :-1].mean((1, 2))
    evidence.curve("probability of the right word against decoder layer", range(len(by_layer)), by_layer)


@claim(
    "odeformer/sign-prediction/not-for-slight-constants",
    "For constants of the order of 1e-4, the other words of the equation get likelier over these layers by more than "
    "the constant's digits do.",
    source=ATTENTION_LENS,
    expect=Difference(above=0, bounds=(-2, 2)),
    controls=[untrained],
    published="“constants are in the order of 10⁻⁴”",
)
def test_not_for_slight_constants(odeformer, evidence):
    rise, digits = rises(slight_words(odeformer)), DIGITS[0]
    others = [i for i in range(rise.shape[1]) if i not in DIGITS]
    evidence.observe(rise[:, others].mean(1) - rise[:, digits])


@claim(
    "odeformer/sign-prediction/direction-heads",
    "Where the sign is foretold, some cross-attention head's attention runs from the smallest points to the greatest, "
    "or back: its rank correlation with their size is 0.9 or more, one way for rising and falling systems, on nine "
    "pairs in ten.",
    source=ATTENTION_LENS,
    expect=Rate(at_least=0.9),
    controls=[untrained],
    published="LALens2",
)
def test_direction_heads(odeformer, evidence):
    found = discovered_signs(odeformer).gradients.mean((1, 2))
    head = int(found.abs().argmax())
    along = judged_signs(odeformer).gradients[head] * found[head].sign()
    evidence.observe(along.amin(-1) >= 0.9)


def the_reports_words(odeformer):
    """The words that the report names."""
    try:
        return [odeformer.vocabulary.id(word) for word in ("N1010", "add", "<EOS>")]
    except KeyError:
        pytest.skip(f"{odeformer.name} has no word N1010: its constants have fewer digits than the report's")


def usual_word(odeformer):
    """The word that is most often the likeliest after the end, where it is looked for."""
    return [int(discovered_words(odeformer).tops[-1, :, -1].mode().values)]


@claim(
    "odeformer/sign-prediction/sampling-default",
    "After the end of an equation the likeliest next word is a default, whatever was read: N1010, add or <EOS> in the "
    "report, one word otherwise, on nine systems in ten.",
    source=ATTENTION_LENS,
    expect=Rate(at_least=0.9),
    controls=[untrained],
    published="LALens4",
)
@pytest.mark.parametrize("default", [the_reports_words, usual_word], ids=name_of)
def test_sampling_default(odeformer, default, evidence):
    tops = judged_words(odeformer).tops[-1, :, -1]
    evidence.observe(torch.isin(tops, torch.tensor(default(odeformer))))
