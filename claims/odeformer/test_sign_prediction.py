"""Sign prediction: at which layer, by which logit and from which points is the sign of x' = ±kx written?

The equation's tokens are given as they should be, which before the sign is one token that all these systems share.
"""

import pytest
import torch

from claims.odeformer.circuits import ABLATIONS
from claims.odeformer.heads import the_layer
from claims.odeformer.inputs import BOTH_WAYS, DIGITS, EVALUATION, GROWTH, SIGN, SLIGHT_GROWTH, up_to_the_sign
from claims.odeformer.logit_lens import (
    JUDGED,
    PAIRS,
    first_layer,
    plus_layer,
    predictions,
    repeats,
    signs,
)
from claims.odeformer.source import ATTENTION_LENS
from mechtests import Difference, Rate, Value, claim, instead, shuffled_weights, untrained

RISING, FALLING = 0, 1


@claim(
    "odeformer/sign-prediction/plus-first",
    "At the decoder's middle layer the likeliest token is '+', for a rising and for a falling system alike, on nine "
    "pairs in ten.",
    source=ATTENTION_LENS,
    expect=Rate(at_least=0.9),
    controls=[untrained, shuffled_weights],
    published="layer 6",
)
@pytest.mark.parametrize("layer", [6, plus_layer])
def test_plus_first(odeformer, layer, evidence):
    layer, plus = the_layer(odeformer, layer, evidence), odeformer.vocabulary.id("+")
    for growth in evidence.batches(GROWTH, most=512, size=16):
        logits = odeformer.logit_lens(up_to_the_sign(odeformer, growth), layers=[layer])[0, :, SIGN].cpu()
        others = logits.index_fill(1, torch.tensor([plus]), -torch.inf)
        lead = (logits[:, plus] - others.amax(-1)).unflatten(0, (2, -1)).amin(0)
        evidence.observe(lead > 0, margin=lead)
    judged = signs(odeformer, JUDGED)
    for name, lead in zip(("rising", "falling"), (judged.plus - judged.minus).mean(1).T, strict=True):
        evidence.figure(f"logit of '+' less that of '−' against decoder layer, {name} systems", range(len(lead)), lead)


@claim(
    "odeformer/sign-prediction/minus-late",
    "For falling systems '−' becomes the likeliest token at decoder layer 8 or later, on nine in ten.",
    source=ATTENTION_LENS,
    expect=Rate(at_least=0.9),
    controls=[untrained],
    published="layer 8",
)
def test_minus_late(odeformer, evidence, layer=8):
    layer, tops = the_layer(odeformer, layer, evidence), signs(odeformer, JUDGED).tops
    first = first_layer(tops[..., FALLING], odeformer.vocabulary.id("-"))
    evidence.observe((first >= layer) & (first < len(tops)))


@claim(
    "odeformer/sign-prediction/minus-after-plus",
    "In nine pairs of systems in ten, '−' becomes the likeliest token for the falling one at a later layer than '+' "
    "does for it.",
    source=ATTENTION_LENS,
    expect=Rate(at_least=0.9),
    controls=[untrained],
    published="layer 8 after layer 6",
)
def test_minus_after_plus(odeformer, evidence):
    tops = signs(odeformer, JUDGED).tops[..., FALLING]
    plus, minus = (first_layer(tops, odeformer.vocabulary.id(sign)) for sign in "+-")
    evidence.observe((plus < minus) & (minus < len(tops)))


@claim(
    "odeformer/sign-prediction/plus-is-default",
    "Where the decoder sees nothing of the trajectory it prefers '+' to '−'.",
    source=ATTENTION_LENS,
    expect=Value(above=0),
    kind="causal",
    controls=[untrained],
    published="“a bias towards ‘+’”",
)
@pytest.mark.parametrize("ablation", ABLATIONS)
def test_plus_is_default(odeformer, ablation, evidence):
    inputs = up_to_the_sign(odeformer, PAIRS)
    ablated = odeformer.ablate("encoded", ABLATIONS[ablation], reference=inputs[:2])
    logits = odeformer.logits(inputs, None, *ablated)[0, SIGN]
    evidence.value(logits[odeformer.vocabulary.id("+")] - logits[odeformer.vocabulary.id("-")])


@claim(
    "odeformer/sign-prediction/one-logit",
    "Nine tenths or more of the variance of the last layer's difference between the signs' logits, over rising and "
    "falling systems, come from the logit of '+'. Logits are taken from their mean over all tokens.",
    source=ATTENTION_LENS,
    expect=Value(at_least=0.9),
    controls=[untrained, instead(sign="minus")],
    published="“carried by logit 389 alone”",
)
def test_one_logit(odeformer, evidence, sign="plus"):
    judged = signs(odeformer, JUDGED)
    plus, minus = judged.plus[-1].flatten().double(), judged.minus[-1].flatten().double()
    difference = plus - minus
    both = torch.cov(torch.stack([plus if sign == "plus" else -minus, difference]))
    if both[1, 1] == 0:
        return evidence.undefined("the difference of the logits does not vary")
    evidence.value(both[0, 1] / both[1, 1], len(difference))


# The other tokens

AFTER_CONSTANT = [position + 1 for position in DIGITS]
"""The positions whose previous token is part of a constant: its digits or its exponent."""


@claim(
    "odeformer/sign-prediction/early-layers-repeat",
    "The decoder's first layers predict the previous token, wherever that is no part of a constant, on nine systems "
    "in ten.",
    source=ATTENTION_LENS,
    expect=Rate(at_least=0.9),
    controls=[untrained],
    published="LALens1",
)
@pytest.mark.parametrize("layer", [0, 1, 2])
def test_early_layers_repeat(odeformer, layer, evidence):
    layer = the_layer(odeformer, layer, evidence)
    for trajectories in evidence.batches(BOTH_WAYS, most=512, search=False):
        repeated = repeats(odeformer, layer, trajectories)
        evidence.observe(repeated[:, [i for i in range(repeated.shape[1]) if i not in AFTER_CONSTANT]].all(1))


@claim(
    "odeformer/sign-prediction/no-repeat-after-a-constant",
    "After a part of a constant the decoder's first layers predict another token, on nine systems in ten.",
    source=ATTENTION_LENS,
    expect=Rate(at_least=0.9),
    controls=[untrained],
    published="“does not hold true while predicting a token following a constant”",
)
@pytest.mark.parametrize("layer", [0, 1, 2])
def test_no_repeat_after_a_constant(odeformer, layer, evidence):
    layer = the_layer(odeformer, layer, evidence)
    for trajectories in evidence.batches(BOTH_WAYS, most=512, search=False):
        evidence.observe(~repeats(odeformer, layer, trajectories)[:, AFTER_CONSTANT].any(1))


@claim(
    "odeformer/sign-prediction/confidence-late",
    "Over the last quarter of the decoder's layers the right tokens get likelier, on average over a system's tokens.",
    source=ATTENTION_LENS,
    expect=Difference(above=0, bounds=(-1, 1)),
    controls=[untrained],
    published="LALens1",
)
def test_confidence_late(odeformer, evidence):
    predicted = predictions(odeformer, JUDGED)
    evidence.observe(predicted.rises().mean(1))
    by_layer = predicted.right[..., :-1].mean((1, 2))
    evidence.figure("probability of the right token against decoder layer", range(len(by_layer)), by_layer)


@claim(
    "odeformer/sign-prediction/not-for-slight-constants",
    "For constants of the order of 1e-4, the other tokens of the equation get likelier over these layers by more than "
    "the constant's digits do.",
    source=ATTENTION_LENS,
    expect=Difference(above=0, bounds=(-2, 2)),
    controls=[untrained],
    published="“constants are in the order of 10⁻⁴”",
)
def test_not_for_slight_constants(odeformer, evidence):
    rise, digits = predictions(odeformer, SLIGHT_GROWTH.evaluation(EVALUATION)).rises(), DIGITS[0]
    others = [i for i in range(rise.shape[1]) if i not in DIGITS]
    evidence.observe(rise[:, others].mean(1) - rise[:, digits])


@claim(
    "odeformer/sign-prediction/direction-heads",
    "Where the sign is predicted, some cross-attention head's attention runs from the smallest points to the greatest, "
    "or back: its rank correlation with their size is 0.9 or more, one way for rising and falling systems, on nine "
    "pairs in ten.",
    source=ATTENTION_LENS,
    expect=Rate(at_least=0.9),
    controls=[untrained],
    published="LALens2",
)
def test_direction_heads(odeformer, evidence):
    gradients = signs(odeformer, PAIRS).gradients.mean((1, 2))
    head = int(gradients.abs().argmax())
    along = signs(odeformer, JUDGED).gradients[head] * gradients[head].sign()
    evidence.observe(along.amin(-1) >= 0.9)


def the_reports_words(odeformer, evidence):
    """The tokens that the report names."""
    try:
        return [odeformer.vocabulary.id(token) for token in ("N1010", "add", "<EOS>")]
    except KeyError:
        evidence.untested(f"{odeformer.name} has no token N1010: its constants have fewer digits than the report's")


def usual_word(odeformer, _evidence):
    """The token that is most often the likeliest after the end, where it is looked for."""
    return [int(predictions(odeformer, PAIRS).tops[-1, :, -1].mode().values)]


@claim(
    "odeformer/sign-prediction/sampling-default",
    "After the end of an equation the likeliest next token is a default, whatever was read: N1010, add or <EOS> in the "
    "report, one token otherwise, on nine systems in ten.",
    source=ATTENTION_LENS,
    expect=Rate(at_least=0.9),
    controls=[untrained],
    published="LALens4",
)
@pytest.mark.parametrize("default", [the_reports_words, usual_word])
def test_sampling_default(odeformer, default, evidence):
    tops = predictions(odeformer, JUDGED).tops[-1, :, -1]
    evidence.observe(torch.isin(tops, torch.tensor(default(odeformer, evidence))))
