"""Extremum heads: do cross-attention heads of the decoder mark minima and maxima, of one dimension or of all alike?"""

import pytest
import torch

from claims.odeformer.attended import discovered, judged, shares
from claims.odeformer.measures import lift_on, name_of, near_extremum, share_on
from claims.odeformer.selectors import the_head
from claims.odeformer.source import ATTENTION_LENS, HARMONICS, discovery, fresh
from mechtests import Head, Rate, Value, claim, untrained

APART = 0.05
"""Words of one equation tell its extrema from the other's when so much more of their attention lies on them."""


def extrema(trajectories):
    """The points near a minimum or maximum of each dimension."""
    return near_extremum(trajectories, 1) | near_extremum(trajectories, -1)


def marking(attended, trajectories):
    """How much more attention a point near an extremum of any dimension gets than another, for each head."""
    return lift_on(shares(attended.plain), extrema(trajectories).any(-1))


def separation(attended, trajectories):
    """How much more of the attention from each equation's words lies on its own extrema than on the other's."""
    first, second = extrema(trajectories).unbind(-1)
    from_first, from_second = shares(attended.first), shares(attended.second)
    own = share_on(from_first, first) - share_on(from_first, second)
    other = share_on(from_second, second) - share_on(from_second, first)
    return (own + other) / 2


def markers(odeformer):
    """The heads, by place, that mark extrema half as strongly as the strongest or more; and how they separate."""
    found, trajectories = discovered(odeformer), discovery(HARMONICS)
    marks = marking(found, trajectories).log().mean(1)
    return (marks >= marks.max() / 2).nonzero()[:, 0], separation(found, trajectories).mean(1)


def uniting_head(odeformer):
    """The head among those that marks the extrema of both dimensions most alike."""
    chosen, apart = markers(odeformer)
    return odeformer.decoder_heads[int(chosen[apart[chosen].abs().argmin()])]


def separating_head(odeformer):
    """The head among those that separates the dimensions most."""
    chosen, apart = markers(odeformer)
    return odeformer.decoder_heads[int(chosen[apart[chosen].argmax()])]


def place(odeformer, head):
    """Where a cross-attention head stands among all of them."""
    return odeformer.decoder_heads.index(the_head(odeformer, head, "cross"))


each_uniting = pytest.mark.parametrize("head", [Head(5, 12), uniting_head], ids=name_of)
each_separating = pytest.mark.parametrize("head", [Head(6, 4), separating_head], ids=name_of)


@claim(
    "odeformer/extremum-heads/marks-extrema",
    "The cross-attention head marks minima and maxima: a point there gets twice the attention of another point, or "
    "more, on nine harmonics in ten.",
    source=ATTENTION_LENS,
    expect=Rate(at_least=0.9),
    controls=[untrained],
    published="L5H12 and L6H4 (LALens11)",
)
@pytest.mark.parametrize("head", [Head(5, 12), Head(6, 4), uniting_head, separating_head], ids=name_of)
def test_marks_extrema(odeformer, head, evidence):
    evidence.observe(marking(judged(odeformer), fresh(HARMONICS))[place(odeformer, head)] >= 2)


@claim(
    "odeformer/extremum-heads/without-separating",
    "The head does not separate the dimensions: from each equation's words, its own extrema get as much of the "
    "attention as the other's, to within 0.05, on nine harmonics in ten.",
    source=ATTENTION_LENS,
    expect=Rate(at_least=0.9),
    controls=[untrained],
    published="L5H12 (LALens11)",
)
@each_uniting
def test_without_separating(odeformer, head, evidence):
    evidence.observe(separation(judged(odeformer), fresh(HARMONICS))[place(odeformer, head)].abs() <= APART)


@claim(
    "odeformer/extremum-heads/separates-dimensions",
    "The head separates the dimensions: from each equation's words, its own extrema get more of the attention than the "
    "other's, by more than 0.05, on nine harmonics in ten.",
    source=ATTENTION_LENS,
    expect=Rate(at_least=0.9),
    controls=[untrained],
    published="L6H4 (LALens11)",
)
@each_separating
def test_separates_dimensions(odeformer, head, evidence):
    evidence.observe(separation(judged(odeformer), fresh(HARMONICS))[place(odeformer, head)] > APART)


@claim(
    "odeformer/extremum-heads/separated-is-more-frequent",
    "Of the heads that mark extrema on average, more separate the dimensions than do not.",
    source=ATTENTION_LENS,
    expect=Value(above=0),
    controls=[untrained],
    published="“more common”",
)
def test_separated_is_more_frequent(odeformer, evidence):
    trajectories = fresh(HARMONICS)
    marks = marking(judged(odeformer), trajectories).mean(1) >= 2
    if not marks.any():
        return evidence.undefined("no cross-attention head marks extrema")
    apart = separation(judged(odeformer), trajectories).mean(1) > APART
    evidence.value(torch.where(apart, 1.0, -1.0)[marks].sum(), int(marks.sum()))
