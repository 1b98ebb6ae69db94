"""Extremum heads: do cross-attention heads of the decoder mark minima and maxima, of one dimension or of all alike?"""

import pytest
import torch

from claims.odeformer.attention import attention_on
from claims.odeformer.heads import marking, separating_head, separation, the_head, uniting_head
from claims.odeformer.inputs import EVALUATION, HARMONICS
from claims.odeformer.source import ATTENTION_LENS
from mechtests import Head, Rate, Value, claim, untrained

JUDGED = HARMONICS.evaluation(EVALUATION)
APART = 0.05
"""Tokens of one equation tell its extrema from the other's when so much more of their attention lies on them."""

each_uniting = pytest.mark.parametrize("head", [Head(5, 12), uniting_head])
each_separating = pytest.mark.parametrize("head", [Head(6, 4), separating_head])


@claim(
    "odeformer/extremum-heads/marks-extrema",
    "The cross-attention head marks minima and maxima: a point there gets twice the attention of another point, or "
    "more, on nine harmonics in ten.",
    source=ATTENTION_LENS,
    expect=Rate(at_least=0.9),
    controls=[untrained],
    published="L5H12 and L6H4 (LALens11)",
)
@pytest.mark.parametrize("head", [Head(5, 12), Head(6, 4), uniting_head, separating_head])
def test_marks_extrema(odeformer, head, evidence):
    head = the_head(odeformer, head, evidence, "cross")
    marks = marking(attention_on(odeformer, JUDGED), JUDGED)
    evidence.observe(marks[head.layer, head.index] >= 2)


@claim(
    "odeformer/extremum-heads/without-separating",
    "The head does not separate the dimensions: from each equation's tokens, its own extrema get as much of the "
    "attention as the other's, to within 0.05, on nine harmonics in ten.",
    source=ATTENTION_LENS,
    expect=Rate(at_least=0.9),
    controls=[untrained],
    published="L5H12 (LALens11)",
)
@each_uniting
def test_without_separating(odeformer, head, evidence):
    head = the_head(odeformer, head, evidence, "cross")
    apart = separation(attention_on(odeformer, JUDGED), JUDGED)
    evidence.observe(apart[head.layer, head.index].abs() <= APART)


@claim(
    "odeformer/extremum-heads/separates-dimensions",
    "The head separates the dimensions: from each equation's tokens, its own extrema get more of the attention than "
    "the other's, by more than 0.05, on nine harmonics in ten.",
    source=ATTENTION_LENS,
    expect=Rate(at_least=0.9),
    controls=[untrained],
    published="L6H4 (LALens11)",
)
@each_separating
def test_separates_dimensions(odeformer, head, evidence):
    head = the_head(odeformer, head, evidence, "cross")
    apart = separation(attention_on(odeformer, JUDGED), JUDGED)
    evidence.observe(apart[head.layer, head.index] > APART)


@claim(
    "odeformer/extremum-heads/separated-is-more-frequent",
    "Of the heads that mark extrema on average, more separate the dimensions than do not.",
    source=ATTENTION_LENS,
    expect=Value(above=0),
    controls=[untrained],
    published="“more common”",
)
def test_separated_is_more_frequent(odeformer, evidence):
    attention = attention_on(odeformer, JUDGED)
    marks = marking(attention, JUDGED).mean(-1) >= 2
    if not marks.any():
        return evidence.undefined("no cross-attention head marks extrema")
    apart = separation(attention, JUDGED).mean(-1) > APART
    evidence.value(torch.where(apart, 1.0, -1.0)[marks].sum(), int(marks.sum()))
