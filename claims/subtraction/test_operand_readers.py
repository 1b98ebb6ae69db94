"""Operand readers: do single heads carry one operand each, linearly, to the sign-relevant neurons?"""

import pytest

from claims.subtraction.selectors import sign_relevant
from claims.subtraction.source import POST, PROBLEMS
from mechtests import Head, Mean, Value, claim, instead, untrained, zero
from mechtests.instruments import linear_fit
from mechtests.systems.subtraction import POSITIONS, sign_loss

ATTENTION = POST.section("Attention Patterns")
EMBEDDING = POST.section("Embedding-Neuron connection")
A, DASH, B, EQUALS = (POSITIONS[token] for token in ("a", "-", "b", "="))
PREFERENCE = 0.2
OTHER_OPERAND = {"a": B, "b": A}


def reader(subtraction, operand):
    """The head that attends most to an operand, on average over all problems."""
    return int(subtraction.attention(PROBLEMS).mean(0)[:, POSITIONS[operand]].argmax())


def mixed_heads(subtraction):
    """Mean attention, by position, of the heads that are the reader of neither operand."""
    means = subtraction.attention(PROBLEMS).mean(0)
    readers = {reader(subtraction, operand) for operand in ("a", "b")}
    return means[[head for head in range(len(means)) if head not in readers]]


def opposed_preference(means):
    """How much one of the heads prefers a and another b: the smaller of the two preferences."""
    preference = means[:, A] - means[:, B]
    return min(preference.max(), -preference.min())


def operand_slopes(subtraction, head, neurons):
    """Linear fit of what attending to an operand adds to each of ``neurons``, on the operand's value."""
    contribution = subtraction.operand_to_neurons(head)[:, neurons]
    return linear_fit(PROBLEMS.b[: len(contribution)].unsqueeze(1).float(), contribution)


@claim(
    "subtraction/operand-readers/dedicated-heads",
    "At '=' one head attends to the operand nearly always: its mean attention there is at least 0.9.",
    source=ATTENTION,
    expect=Mean(at_least=0.9),
    controls=[untrained],
    published="heads 1 and 2, always",
)
@pytest.mark.parametrize("operand", ["a", "b"])
def test_dedicated_heads(subtraction, operand, evidence):
    evidence.census(subtraction.attention(PROBLEMS)[:, reader(subtraction, operand), POSITIONS[operand]])


@claim(
    "subtraction/operand-readers/dedicated-heads-ignore-the-other",
    "The head that attends most to one operand hardly attends to the other: 0.05 at most on average.",
    source=ATTENTION,
    expect=Mean(at_most=0.05),
    controls=[untrained],
    published="never",
)
@pytest.mark.parametrize("operand", ["a", "b"])
def test_dedicated_heads_ignore_the_other(subtraction, operand, evidence):
    evidence.census(subtraction.attention(PROBLEMS)[:, reader(subtraction, operand), OTHER_OPERAND[operand]])


@claim(
    "subtraction/operand-readers/mixed-heads",
    "Of the other two heads one prefers a and one prefers b, each by at least 0.2 of attention on average.",
    source=ATTENTION,
    expect=Value(at_least=PREFERENCE),
    controls=[untrained],
    published=0.6 - 0.1,
)
def test_mixed_heads(subtraction, evidence):
    evidence.value(opposed_preference(mixed_heads(subtraction)), len(PROBLEMS))


@claim(
    "subtraction/operand-readers/mixed-heads-split-the-rest",
    "The other two heads split what they leave over evenly between '-' and '=': to within 0.1 of attention.",
    source=ATTENTION,
    expect=Value(at_most=0.1),
    controls=[untrained],
    published="evenly",
)
def test_mixed_heads_split_the_rest(subtraction, evidence):
    means = mixed_heads(subtraction)
    if opposed_preference(means) < PREFERENCE:
        return evidence.undefined("the other two heads do not prefer an operand each")
    evidence.value((means[:, DASH] - means[:, EQUALS]).abs().max(), len(PROBLEMS))


@claim(
    "subtraction/operand-readers/linear-ov",
    "Attending to an operand adds to the sign-relevant neurons a linear function of it: mean R² at least 0.5.",
    source=EMBEDDING,
    expect=Mean(at_least=0.5),
    kind="structural",
    controls=[untrained],
    published="0.68, 0.97, 0.89, 0.53 for neuron 17",
)
@pytest.mark.parametrize("head", [Head(0, index) for index in range(4)], ids=str)
def test_linear_ov(subtraction, head, evidence):
    relevant = sign_relevant(subtraction)
    if not relevant.any():
        return evidence.undefined("no neuron is sign-relevant")
    evidence.census(operand_slopes(subtraction, head, relevant).r2)


@claim(
    "subtraction/operand-readers/opposite-ov-slopes",
    "The reader of b moves a sign-relevant neuron against the reader of a: the median ratio of slopes is near -1.",
    source=EMBEDDING,
    expect=Value(at_least=-1.5, at_most=-0.67),
    kind="structural",
    controls=[untrained],
    published="basically equal and opposite",
)
def test_opposite_ov_slopes(subtraction, evidence):
    relevant = sign_relevant(subtraction)
    if not relevant.any():
        return evidence.undefined("no neuron is sign-relevant")
    in_a, in_b = (
        operand_slopes(subtraction, Head(0, reader(subtraction, operand)), relevant).slopes[0] for operand in ("a", "b")
    )
    evidence.value((in_b / in_a).median(), int(relevant.sum()))


@claim(
    "subtraction/operand-readers/minus-sign-irrelevant",
    "Erasing the embedding of '-' changes the loss on the sign by at most a hundredth.",
    source=ATTENTION,
    # The post may mean the token and its position together. That was measured too, and changes the loss even more.
    expect=Value(at_most=0.01),
    kind="causal",
    criterion="specificity",
    controls=[instead("token", "a", "b", "=")],
    published="essentially no change",
)
@pytest.mark.parametrize("token", ["-"])
def test_minus_sign_irrelevant(subtraction, token, evidence):
    intact = sign_loss(subtraction.logits(PROBLEMS), PROBLEMS).mean()
    erased = sign_loss(subtraction.logits(PROBLEMS, zero("tok_embed", position=POSITIONS[token])), PROBLEMS).mean()
    evidence.value((erased - intact).abs() / intact, len(PROBLEMS))
