"""Induction heads at work: does in-context learning on repeats rest on these heads, and on these alone?"""

import numpy as np
import pytest

from claims.induction.measures import averaged, gain, mean_over, resampled, scaled, zeroed
from claims.induction.selectors import both_kinds, induction_heads, other_heads, previous_token_heads
from claims.induction.source import LECTURE, long_segments, sequences, short_sequences
from mechtests import Monotone, Rate, claim, instead, shuffled_weights, untrained, zero

SUMMARY = LECTURE.section("Induction head")
each_ablation = pytest.mark.parametrize("ablation", [zeroed, averaged, resampled])


def left_of_gain(model, drawn, heads, ablation, generator):
    """In-context learning of the model as it is, and what is left of it with ``heads`` ablated."""
    ablated = gain(model, drawn, lambda tokens: ablation(model, heads, tokens, generator))
    return gain(model, drawn), ablated


@claim(
    "induction/induction-heads/necessary",
    "Ablating the heads takes away four fifths or more of in-context learning on repeats, on nine sequences in ten.",
    source=SUMMARY,
    expect=Rate(at_least=0.9),
    kind="causal",
    criterion="necessity",
    controls=[untrained, instead("heads", other_heads)],
)
@each_ablation
@pytest.mark.parametrize("heads", [previous_token_heads, induction_heads])
def test_necessary(induction, heads, ablation, evidence):
    if not (ablated := heads(induction)):
        return evidence.undefined("there are no such heads")
    for drawn in evidence.batches(sequences(induction), size=16):
        whole, left = left_of_gain(induction, drawn, ablated, ablation, evidence.generator)
        gone = (0.2 * whole - left).minimum(whole)  # where there was nothing, nothing is taken away
        evidence.observe(gone > 0, margin=gone)


@claim(
    "induction/induction-heads/specific-to-repeats",
    "Ablating the heads raises the loss of a segment that has not been shown before by a tenth at most of what it "
    "raises that of one that has, on nine sequences in ten.",
    source=SUMMARY,
    expect=Rate(at_least=0.9),
    kind="causal",
    criterion="specificity",
    controls=[untrained, instead("heads", other_heads)],
)
@pytest.mark.parametrize("heads", [previous_token_heads, induction_heads])
def test_specific_to_repeats(induction, heads, evidence):
    if not (ablated := heads(induction)):
        return evidence.undefined("there are no such heads")
    edits = [zero(induction.head(head)) for head in ablated]
    for drawn in evidence.batches(sequences(induction), size=16):
        raised = [
            mean_over(induction.losses(tokens, *edits) - induction.losses(tokens), drawn.foretold)
            for tokens in (drawn.tokens, drawn.unrepeated)
        ]
        spared = 0.1 * raised[0] - raised[1].abs()
        evidence.observe(spared > 0, margin=spared)


@claim(
    "induction/induction-heads/sufficient",
    "With every other head ablated, the previous-token heads and the induction heads keep four fifths or more of "
    "in-context learning on repeats, on nine sequences in ten.",
    source=SUMMARY,
    expect=Rate(at_least=0.9),
    kind="causal",
    criterion="sufficiency",
    controls=[untrained, instead("kept", previous_token_heads, induction_heads)],
)
@each_ablation
@pytest.mark.parametrize("kept", [both_kinds])
def test_sufficient(induction, kept, ablation, evidence):
    if not (ablated := sorted({*induction.heads}.difference(kept(induction)))):
        return evidence.undefined("every head is a previous-token head or an induction head")
    for drawn in evidence.batches(sequences(induction), size=16):
        whole, left = left_of_gain(induction, drawn, ablated, ablation, evidence.generator)
        enough = (left - 0.8 * whole).minimum(whole)
        evidence.observe(enough > 0, margin=enough)


@claim(
    "induction/induction-heads/graded",
    "In-context learning on repeats falls steadily as the heads are scaled from 1 to 0.",
    source=SUMMARY,
    expect=Monotone("decreasing", at_least=0.95),
    kind="causal",
    criterion="graded response",
    controls=[untrained, shuffled_weights],
)
@pytest.mark.parametrize("heads", [previous_token_heads, induction_heads])
def test_graded(induction, heads, evidence):
    drawn = sequences(induction).sample(128, evidence.generator)
    ablated, doses = heads(induction), np.linspace(0, 1, 6)
    left = [gain(induction, drawn, lambda _, f=1 - dose: scaled(induction, ablated, f)).mean() for dose in doses]
    evidence.curve("in-context learning, in nats a token, against the ablated share of the heads", doses, left)


@claim(
    "induction/induction-heads/necessary-on-other-sequences",
    "On sequences of another kind than the heads were found on, ablating the induction heads takes away four fifths or "
    "more of in-context learning too.",
    source=SUMMARY,
    expect=Rate(at_least=0.9),
    kind="causal",
    criterion="robustness",
    controls=[untrained, instead("heads", other_heads)],
)
@pytest.mark.parametrize("family", [short_sequences, long_segments])
@pytest.mark.parametrize("heads", [induction_heads])
def test_necessary_on_other_sequences(induction, heads, family, evidence):
    if not (ablated := heads(induction)):
        return evidence.undefined("there are no such heads")
    for drawn in evidence.batches(family(induction), size=16):
        whole, left = left_of_gain(induction, drawn, ablated, zeroed, evidence.generator)
        gone = (0.2 * whole - left).minimum(whole)
        evidence.observe(gone > 0, margin=gone)
