"""Induction heads at work: does in-context learning on repeats rest on these heads, and on these alone?"""

import pytest
import torch

from claims.induction.heads import both_kinds, induction_heads, other_heads, previous_token_heads
from claims.induction.inputs import DISCOVERY, long_segments, sequences, short_sequences
from claims.induction.losses import gain, segment_losses
from claims.induction.source import LECTURE
from mechtests import Rate, claim, instead, shuffled_weights, untrained

SUMMARY = LECTURE.section("Induction head")
ABLATIONS = {"zeroed": "zero", "averaged": "mean", "resampled": "resample"}
"""Ablations by the name that claims' parameters give them. The mean is that over the sequences on which heads were
looked for; resampled, each sequence gets the heads' outputs on one of those, the same one for all heads of a layer."""
each_ablation = pytest.mark.parametrize("ablation", ABLATIONS)


def gains(model, family, ablated, ablation, evidence):
    """In-context learning on batches of ``family``: the model's, and what is left of it with heads ablated."""
    reference = sequences(model).discovery(DISCOVERY).tokens
    for drawn in evidence.batches(family(model), size=16):
        how = ABLATIONS[ablation], reference, evidence.generator
        left = gain(model, drawn, lambda tokens, how=how: model.ablate(ablated, *how, inputs=len(tokens)))
        yield gain(model, drawn), left


@claim(
    "induction/induction-heads/necessary",
    "Ablating the heads takes away four fifths or more of in-context learning on repeats, on nine sequences in ten.",
    source=SUMMARY,
    expect=Rate(at_least=0.9),
    kind="causal",
    criterion="necessity",
    controls=[untrained, instead(heads=other_heads)],
)
@each_ablation
@pytest.mark.parametrize("heads", [previous_token_heads, induction_heads])
def test_necessary(induction, heads, ablation, evidence):
    if not (ablated := heads(induction)):
        return evidence.undefined("there are no such heads")
    for whole, left in gains(induction, sequences, ablated, ablation, evidence):
        gone = (0.2 * whole - left).minimum(whole)  # where there was none, nothing is shown
        evidence.observe(gone > 0, margin=gone)


@claim(
    "induction/induction-heads/specific-to-repeats",
    "Ablating the heads raises the loss of a segment that has not been shown before by a tenth at most of what it "
    "raises that of one that has, on nine sequences in ten.",
    source=SUMMARY,
    expect=Rate(at_least=0.9),
    kind="causal",
    criterion="specificity",
    controls=[untrained, instead(heads=other_heads)],
)
@pytest.mark.parametrize("heads", [previous_token_heads, induction_heads])
def test_specific_to_repeats(induction, heads, evidence):
    if not (ablated := heads(induction)):
        return evidence.undefined("there are no such heads")
    edits = induction.ablate(ablated, "zero")
    for drawn in evidence.batches(sequences(induction), size=16):
        new, seen = segment_losses(induction, drawn)
        new_without, seen_without = segment_losses(induction, drawn, lambda _: edits)
        spared = 0.1 * (seen_without - seen) - (new_without - new)
        evidence.observe(spared > 0, margin=spared)


@claim(
    "induction/induction-heads/sufficient",
    "With every other head ablated, the previous-token heads and the induction heads keep four fifths or more of "
    "in-context learning on repeats, on nine sequences in ten.",
    source=SUMMARY,
    expect=Rate(at_least=0.9),
    kind="causal",
    criterion="sufficiency",
    controls=[untrained, shuffled_weights, instead(kept=[previous_token_heads, induction_heads])],
)
@each_ablation
def test_sufficient(induction, ablation, evidence, kept=both_kinds):
    if not (ablated := sorted({*induction.heads}.difference(kept(induction)))):
        return evidence.undefined("every head is a previous-token head or an induction head")
    for whole, left in gains(induction, sequences, ablated, ablation, evidence):
        retained = (left - 0.8 * whole).minimum(whole)  # where there was none, nothing is shown
        evidence.observe(retained > 0, margin=retained)


@claim(
    "induction/induction-heads/graded",
    "As the heads are scaled down from 1 to 0 by quarters, in-context learning on repeats falls with every step, on "
    "nine sequences in ten.",
    source=SUMMARY,
    # Sequence by sequence: the mean over sequences falls steadily in many an untrained twin, from next to nothing.
    expect=Rate(at_least=0.9),
    kind="causal",
    criterion="graded response",
    controls=[untrained],
)
@pytest.mark.parametrize("heads", [previous_token_heads, induction_heads])
def test_graded(induction, heads, evidence):
    ablated, factors = heads(induction), (1, 0.75, 0.5, 0.25, 0)
    for drawn in evidence.batches(sequences(induction), size=16):
        left = [gain(induction, drawn, lambda _, f=factor: induction.scale(ablated, f)) for factor in factors]
        least_fall = -torch.stack(left).diff(dim=0).amax(0)
        evidence.observe(least_fall > 0, margin=least_fall)


@claim(
    "induction/induction-heads/necessary-on-other-sequences",
    "On sequences of another kind than the heads were found on, ablating the induction heads takes away four fifths or "
    "more of in-context learning too.",
    source=SUMMARY,
    expect=Rate(at_least=0.9),
    kind="causal",
    criterion="robustness",
    controls=[untrained, instead(heads=other_heads)],
)
@pytest.mark.parametrize("family", [short_sequences, long_segments])
def test_necessary_on_other_sequences(induction, family, evidence, heads=induction_heads):
    if not (ablated := heads(induction)):
        return evidence.undefined("there are no such heads")
    for whole, left in gains(induction, family, ablated, "zeroed", evidence):
        gone = (0.2 * whole - left).minimum(whole)  # where there was none, nothing is shown
        evidence.observe(gone > 0, margin=gone)
