"""Derivative head: does one encoder head attend where the trajectory is steep?"""

from itertools import product

import pytest
import torch

from claims.odeformer.measures import (
    SHARE,
    averaged,
    centre,
    loss,
    name_of,
    rank_correlation,
    received,
    share_on,
    speed,
    steep,
    width,
    zeroed,
)
from claims.odeformer.selectors import (
    drawing_tracer,
    extrema_marked,
    extremum_head,
    flattest_head,
    fresh_steep_shares,
    fresh_tracings,
    next_steepest_head,
    receiving_tracer,
    steepest_head,
    the_head,
)
from claims.odeformer.source import (
    ATTENTION_LENS,
    EXPONENTIALS,
    HARMONICS,
    HYPERBOLAS,
    PLANES,
    REPORT,
    SIGMOIDS,
    Unsearched,
    few,
)
from mechtests import (
    Difference,
    Head,
    Monotone,
    Rank,
    Rate,
    Value,
    claim,
    instead,
    scale,
    shuffled_weights,
    untrained,
)

DERIVATIVE = REPORT.section("Derivative inference")
each_head = pytest.mark.parametrize("head", [Head(2, 7), steepest_head], ids=name_of)
"""The report's head, and the one that does it best on other sigmoids."""


def sigmoids(midpoints, steepnesses):
    """All sigmoids with these parameters, rising and falling. The amplitude is taken away before the model reads it."""
    every = product(steepnesses, midpoints, (0, 1))
    return SIGMOIDS.at([{"amplitude": 1.0, "steepness": b, "midpoint": t, "direction": d} for b, t, d in every])


GRID = sigmoids(torch.linspace(3, 8, 10).tolist(), (0.5, 1.0, 1.5, 2.5, 3.5, 5.0))
SHOWN = sigmoids((5.5,), (2.0,))[:1]
SMALL_GRID = sigmoids((3.0, 5.0, 7.0), (1.0, 2.0, 4.0))


def profile_of(odeformer, trajectories, head):
    """Where the head's value-weighted attention lies, over the points of each trajectory."""
    return received(odeformer.attention(trajectories, head, weighting="value"))


@claim(
    "odeformer/derivative-head/attends-to-steep-region",
    "The head's value-weighted attention lies mostly where |dx/dt| is at least half its maximum, on nine sigmoids in "
    "ten.",
    source=DERIVATIVE,
    expect=Rate(at_least=0.9),
    controls=[untrained, shuffled_weights],
    published="“mostly directed to the region of high derivative” (Fig. 1)",
)
@each_head
def test_attends_to_steep_region(odeformer, head, evidence):
    head = the_head(odeformer, head)
    for trajectories in few(evidence, SIGMOIDS, size=16, most=512):
        share = share_on(profile_of(odeformer, trajectories, head), steep(trajectories))
        evidence.observe(share > SHARE, margin=share - SHARE)
    times, slope = SHOWN.times[0], speed(SHOWN)[0]
    evidence.curve("share of attention against time, a falling sigmoid", times, profile_of(odeformer, SHOWN, head)[0])
    evidence.curve("|dx/dt| against time as a share of its sum, that sigmoid", times, slope / slope.sum())


@claim(
    "odeformer/derivative-head/follows-the-transition",
    "Over a grid of sigmoids the centre of the head's attention moves with the midpoint, and its width with the width "
    "of the transition.",
    source=ATTENTION_LENS,
    expect=Value(at_least=0.9),
    controls=[untrained],
    published="“when changing the values of a and b”",
)
@pytest.mark.parametrize("quantity", ["centre", "width"])
@each_head
def test_follows_the_transition(odeformer, head, quantity, evidence):
    profile = profile_of(odeformer, GRID, the_head(odeformer, head))
    if quantity == "centre":
        found, true = centre(profile, GRID.times), GRID.parameters["midpoint"]
    else:
        found, true = width(profile, GRID.times), 1 / GRID.parameters["steepness"]
    evidence.value(rank_correlation(found, true), len(GRID))


@claim(
    "odeformer/derivative-head/stands-out",
    "No other encoder head has a greater share of its attention on the steep region.",
    source=DERIVATIVE,
    expect=Rank(at_most=1),
    controls=[untrained],
    published="“one of the heads (namely layer 2 head 7)”",
)
@pytest.mark.parametrize("head", [Head(2, 7)], ids=str)
def test_stands_out(odeformer, head, evidence):
    head, shares = the_head(odeformer, head), fresh_steep_shares(odeformer).mean(1)
    place = odeformer.heads.index(head)
    evidence.rank(shares[place], [share for i, share in enumerate(shares.tolist()) if i != place])


@claim(
    "odeformer/derivative-head/one-head",
    "The head with the greatest share of attention on the steep region leads the next one by 0.1 or more.",
    source=DERIVATIVE,
    expect=Difference(at_least=0.1, bounds=(-1, 1)),
    controls=[untrained],
)
def test_one_head(odeformer, evidence):
    shares = fresh_steep_shares(odeformer)
    first, second = (shares[odeformer.heads.index(find(odeformer))] for find in (steepest_head, next_steepest_head))
    evidence.observe(first - second)


READINGS = ["received", "drawn"]
TRACERS = {"received": receiving_tracer, "drawn": drawing_tracer}
found_head = "the head found"
each_tracer = pytest.mark.parametrize("head", [Head(0, 8), found_head], ids=str)
"""The report's head, and the head of layer 0 that does it best on other falling sigmoids."""


def tracing(odeformer, head, reading):
    """Correlation of a layer-0 head's pattern with falling sigmoids, and with the same ones rising."""
    head = the_head(odeformer, TRACERS[reading] if head == found_head else head)
    return fresh_tracings(odeformer)[:, READINGS.index(reading), head.index]


@claim(
    "odeformer/derivative-head/tracing-head",
    "The head of layer 0 traces falling sigmoids, with a correlation of 0.9 or more on nine in ten: by how much "
    "attention a point receives (received), or by the line that its pattern draws (drawn).",
    source=ATTENTION_LENS,
    expect=Rate(at_least=0.9),
    controls=[untrained],
    published="“trace the input sigmoid trajectory itself”",
)
@pytest.mark.parametrize("reading", READINGS)
@each_tracer
def test_tracing_head(odeformer, head, reading, evidence):
    falling, _ = tracing(odeformer, head, reading)
    evidence.observe(falling >= 0.9)


@claim(
    "odeformer/derivative-head/tracing-is-worse-for-rising",
    "The head of layer 0 traces a falling sigmoid better than the same one rising, on more than half of all sigmoids.",
    source=ATTENTION_LENS,
    expect=Rate(above=0.5),
    controls=[untrained],
    published="“does not seem to perfectly trace the trajectory”",
)
@pytest.mark.parametrize("reading", READINGS)
@each_tracer
def test_tracing_is_worse_for_rising(odeformer, head, reading, evidence):
    falling, rising = tracing(odeformer, head, reading)
    evidence.observe(falling > rising)


@claim(
    "odeformer/derivative-head/extremum-heads",
    "Some head of layer 0 picks out the minima, and some the maxima, of one dimension of harmonics: a point there gets "
    "twice the attention of another point, or more, on nine trajectories in ten.",
    source=ATTENTION_LENS,
    expect=Rate(at_least=0.9),
    controls=[untrained],
    published="“heads that capture the maximum and minimum in a trajectory in layer 0”",
)
@pytest.mark.parametrize("extremum", ["minimum", "maximum"])
def test_extremum_heads(odeformer, extremum, evidence):
    side = ["minimum", "maximum"].index(extremum)
    dimension, head = extremum_head(odeformer, side)
    for trajectories in few(evidence, Unsearched(HARMONICS), most=512):
        evidence.observe(extrema_marked(odeformer, trajectories)[side, dimension, head.index] >= 2)


BEYOND = (1.0, 2.0, 4.0, 8.0, 16.0, 25.0)
"""Steepnesses up to the report's 25, of which it says that the fit fails completely."""
GENTLE = (0.5, 0.75, 1.0, 1.25, 1.5, 2.0)


@claim(
    "odeformer/derivative-head/steepness-limit-of-the-fit",
    "The share of sigmoids that the model fits with R² of 0.9 or more falls as they get steeper, up to steepness 25.",
    source=ATTENTION_LENS,
    expect=Monotone("decreasing", at_least=0.8),
    kind="behavioural",
    controls=[instead("steepnesses", GENTLE)],
    published="poor at (3, 20), failed at (8, 25)",
)
@pytest.mark.parametrize("steepnesses", [BEYOND], ids=["1 to 25"])
def test_steepness_limit_of_the_fit(odeformer, steepnesses, evidence):
    fitted = []
    for steepness in steepnesses:
        curves = sigmoids((3.0, 5.0, 8.0), (steepness,))
        fitted.append((odeformer.r2(written(odeformer, curves), curves) >= 0.9).double().mean())
    evidence.curve("share of sigmoids with R² ≥ 0.9 against steepness", steepnesses, fitted)


def written(odeformer, trajectories):
    """What the model writes of them, in as many words as the true equation has and half as many again."""
    longest, odeformer.longest = odeformer.longest, 24
    try:
        return odeformer.decode(trajectories)
    finally:
        odeformer.longest = longest


@claim(
    "odeformer/derivative-head/steepness-limit-of-the-head",
    "The head's share of attention on the steep region falls as sigmoids get steeper, up to steepness 25.",
    source=ATTENTION_LENS,
    expect=Monotone("decreasing", at_least=0.8),
    controls=[untrained],
    published="“no meaningful patterns in the attention heads, just noise” at (8, 25)",
)
@each_head
def test_steepness_limit_of_the_head(odeformer, head, evidence):
    head, shares = the_head(odeformer, head), []
    for steepness in BEYOND:
        curves = sigmoids((3.0, 5.0, 8.0), (steepness,))
        shares.append(share_on(profile_of(odeformer, curves, head), steep(curves)).mean())
    evidence.curve("share of attention on the steep region against steepness", BEYOND, shares)


def damage(odeformer, head, ablation):
    """By how much the true equations' words get harder when the head is ablated, over a small grid of sigmoids."""
    return loss(odeformer, SMALL_GRID, ablation(odeformer, head)) - loss(odeformer, SMALL_GRID)


@claim(
    "odeformer/derivative-head/necessary",
    "Over a small grid of sigmoids, ablating L2H7 makes the true equation less likely, and more so than ablating any "
    "other head of its layer.",
    source=DERIVATIVE,
    expect=Difference(above=0),
    kind="causal",
    criterion="necessity",
    controls=[untrained, instead("head", *(Head(2, i) for i in range(16) if i != 7))],
)
@pytest.mark.parametrize("ablation", [zeroed, averaged])
@pytest.mark.parametrize("head", [Head(2, 7)], ids=str)
def test_necessary(odeformer, head, ablation, evidence):
    evidence.census(damage(odeformer, the_head(odeformer, head), ablation))


@claim(
    "odeformer/derivative-head/found-head-is-necessary",
    "Over a small grid of sigmoids, ablating the head that attends most to the steep region makes the true equation "
    "less likely, and more so than ablating the head of its layer that attends least to it.",
    source=DERIVATIVE,
    expect=Difference(above=0),
    kind="causal",
    criterion="necessity",
    controls=[untrained, instead("head", flattest_head)],
)
@pytest.mark.parametrize("ablation", [zeroed, averaged])
@pytest.mark.parametrize("head", [steepest_head], ids=name_of)
def test_found_head_is_necessary(odeformer, head, ablation, evidence):
    evidence.census(damage(odeformer, head(odeformer), ablation))


@claim(
    "odeformer/derivative-head/graded",
    "The true equation gets steadily less likely as the head's output is scaled from 1 to 0.",
    source=DERIVATIVE,
    expect=Monotone("increasing", at_least=0.95),
    kind="causal",
    criterion="graded response",
    controls=[untrained],
)
@each_head
def test_graded(odeformer, head, evidence):
    place, doses = odeformer.head(the_head(odeformer, head)), [0, 1 / 3, 2 / 3, 1]
    losses = [loss(odeformer, SMALL_GRID, scale(place, 1 - dose)).mean() for dose in doses]
    evidence.curve("loss of the true equation, in nats a word, against the ablated share of the head", doses, losses)


OTHERS = {"exponential": EXPONENTIALS, "hyperbolic": HYPERBOLAS, "harmonic": HARMONICS, "plane": PLANES}


@claim(
    "odeformer/derivative-head/beyond-sigmoids",
    "On other families too, the head's value-weighted attention lies mostly where |dx/dt| is at least half its "
    "maximum, on nine trajectories in ten.",
    source=DERIVATIVE,
    expect=Rate(at_least=0.9),
    criterion="robustness",
    controls=[untrained],
    published="“we tried only logistic equation”",
)
@pytest.mark.parametrize("family", OTHERS)
@each_head
def test_beyond_sigmoids(odeformer, head, family, evidence):
    head = the_head(odeformer, head)
    for trajectories in few(evidence, Unsearched(OTHERS[family]), most=512):
        evidence.observe(share_on(profile_of(odeformer, trajectories, head), steep(trajectories)) > SHARE)


NEAR = range(-2, 3)


def explained(targets, features):
    """R² of each target's least-squares fit on its features and a constant; 0 for a target that does not vary."""
    y = targets - targets.mean(1, keepdim=True)
    x = features - features.mean(1, keepdim=True)
    products = x.mT @ y[..., None]
    # What a fit explains is slopes·(xᵀy), the normal equations; where features are collinear, by the shortest slopes.
    fitted = (products * (torch.linalg.pinv(x.mT @ x, hermitian=True) @ products)).sum((1, 2))
    total = y.square().sum(1)
    return torch.where(total > 1e-12, fitted / total.clamp(min=1e-12), 0.0).clamp(0, 1)


@claim(
    "odeformer/derivative-head/finite-difference",
    "The head's pattern is better explained by a stencil, in which a point attends to those up to two places from "
    "itself, than by a window on the transition, to which all points attend alike.",
    source=REPORT.section("Future plans"),
    expect=Difference(above=0, bounds=(-1, 1)),
    controls=[untrained],
    published="“can we pinpoint the exact mechanism”",
)
@each_head
def test_finite_difference(odeformer, head, evidence):
    head, n = the_head(odeformer, head), SIGMOIDS.points
    places = torch.arange(n)
    stencil = torch.stack([(places - places[:, None]) == offset for offset in NEAR], -1).double().flatten(0, 1)[None]
    for trajectories in few(evidence, Unsearched(SIGMOIDS), most=256):
        targets = odeformer.attention(trajectories, head).cpu().double().flatten(1)
        slope = speed(trajectories)
        window = torch.stack([steep(trajectories).double(), slope / slope.amax(1, keepdim=True)], -1)
        window = window[:, None].expand(-1, n, -1, -1).flatten(1, 2)
        evidence.observe(explained(targets, stencil) - explained(targets, window))
