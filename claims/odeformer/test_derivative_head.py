"""Derivative head: does one encoder head attend where the trajectory is steep?"""

import pytest
import torch

from claims.odeformer.attention import MOSTLY, profile
from claims.odeformer.circuits import ABLATIONS
from claims.odeformer.heads import (
    extremum_head,
    extremum_lifts,
    flattest_head,
    steep_shares,
    steepest_head,
    the_head,
    tracings,
)
from claims.odeformer.inputs import (
    DISCOVERY,
    EVALUATION,
    EXPONENTIALS,
    FALLING_SIGMOIDS,
    HARMONICS,
    HYPERBOLAS,
    PLANES,
    SIGMOIDS,
    sigmoids,
    speed,
    steep,
)
from claims.odeformer.losses import damage, loss
from claims.odeformer.source import ATTENTION_LENS, DERIVATIVE, REPORT
from mechtests import Difference, Head, Monotone, Rank, Rate, Value, claim, instead, shuffled_weights, untrained
from mechtests.instruments import explained_variance, rank_correlation
from mechtests.instruments.profiles import centre, share_on, width

GRID = sigmoids(torch.linspace(3, 8, 10).tolist(), (0.5, 1.0, 1.5, 2.5, 3.5, 5.0))
SMALL_GRID = sigmoids((3.0, 5.0, 7.0), (1.0, 2.0, 4.0))
SHOWN = sigmoids((5.5,), (2.0,))[:1]
"""A falling sigmoid, for the figure."""

L2H7 = Head(2, 7)
each_head = pytest.mark.parametrize("head", [L2H7, steepest_head])
"""The report's head, and the one that does it best on other sigmoids."""


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
    head = the_head(odeformer, head, evidence)
    for trajectories in evidence.batches(SIGMOIDS, most=512, size=16):
        share = share_on(profile(odeformer, trajectories, head), steep(trajectories))
        evidence.observe(share > MOSTLY, margin=share - MOSTLY)
    times, slope = SHOWN.times[0], speed(SHOWN)[0]
    evidence.figure("share of attention against time, a falling sigmoid", times, profile(odeformer, SHOWN, head)[0])
    evidence.figure("|dx/dt| against time as a share of its sum, that sigmoid", times, slope / slope.sum())


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
    attention = profile(odeformer, GRID, the_head(odeformer, head, evidence))
    if quantity == "centre":
        measured, true = centre(attention, GRID.times), GRID.parameters["midpoint"]
    else:
        measured, true = width(attention, GRID.times), 1 / GRID.parameters["steepness"]
    evidence.value(rank_correlation(measured, true, 0.0), len(GRID))


@claim(
    "odeformer/derivative-head/stands-out",
    "No other encoder head has a greater share of its attention on the steep region.",
    source=DERIVATIVE,
    expect=Rank(at_most=1),
    controls=[untrained],
    published="“one of the heads (namely layer 2 head 7)”",
)
def test_stands_out(odeformer, evidence, head=L2H7):
    head = the_head(odeformer, head, evidence)
    shares = steep_shares(odeformer, SIGMOIDS.evaluation(EVALUATION)).mean(-1)
    rivals = [float(shares[other.layer, other.index]) for other in odeformer.heads if other != head]
    evidence.rank(shares[head.layer, head.index], rivals)


@claim(
    "odeformer/derivative-head/one-head",
    "The head with the greatest share of attention on the steep region leads the next one by 0.1 or more.",
    source=DERIVATIVE,
    expect=Difference(at_least=0.1, bounds=(-1, 1)),
    controls=[untrained],
)
def test_one_head(odeformer, evidence):
    found, judged = (
        steep_shares(odeformer, sigmoids).flatten(0, 1)
        for sigmoids in (SIGMOIDS.discovery(DISCOVERY), SIGMOIDS.evaluation(EVALUATION))
    )
    first, second = found.mean(-1).argsort(descending=True)[:2]
    evidence.observe(judged[first] - judged[second])


READINGS = ["received", "drawn"]
each_tracer = pytest.mark.parametrize("head", [Head(0, 8), "the head found"])
"""The report's head, and the head of layer 0 that does it best on other falling sigmoids."""


def tracing(odeformer, head, reading, evidence):
    """Correlation of a layer-0 head's pattern with falling sigmoids, and with the same ones rising."""
    number, falling = READINGS.index(reading), FALLING_SIGMOIDS.evaluation(EVALUATION)
    rising = SIGMOIDS.build(**{**falling.parameters, "direction": torch.ones(len(falling), dtype=torch.int64)})
    if isinstance(head, Head):
        index = the_head(odeformer, head, evidence).index
    else:
        index = int(tracings(odeformer, FALLING_SIGMOIDS.discovery(DISCOVERY))[number].mean(1).argmax())
    return [tracings(odeformer, sigmoids)[number, index] for sigmoids in (falling, rising)]


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
    falling, _ = tracing(odeformer, head, reading, evidence)
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
    falling, rising = tracing(odeformer, head, reading, evidence)
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
    for trajectories in evidence.batches(HARMONICS, most=512, search=False):
        evidence.observe(extremum_lifts(odeformer, trajectories)[side, dimension, head.index] >= 2)


BEYOND = (1.0, 2.0, 4.0, 8.0, 16.0, 25.0)
"""Steepnesses up to the report's 25, of which it says that the fit fails completely."""
GENTLE = (0.5, 0.75, 1.0, 1.25, 1.5, 2.0)
MOST_TOKENS = 24
"""As many tokens as the true equation has, and half as many again."""


@claim(
    "odeformer/derivative-head/steepness-limit-of-the-fit",
    "The share of sigmoids that the model fits with R² of 0.9 or more falls as they get steeper, up to steepness 25.",
    source=ATTENTION_LENS,
    expect=Monotone("decreasing", at_least=0.8),
    kind="behavioural",
    controls=[instead(steepnesses=GENTLE)],
    published="poor at (3, 20), failed at (8, 25)",
)
def test_steepness_limit_of_the_fit(odeformer, evidence, steepnesses=BEYOND):
    fitted = []
    for steepness in steepnesses:
        curves = sigmoids((3.0, 5.0, 8.0), (steepness,))
        written = odeformer.decode(curves, max_tokens=MOST_TOKENS)
        fitted.append((odeformer.r2(written, curves) >= 0.9).double().mean())
    evidence.response("share of sigmoids with R² ≥ 0.9 against steepness", steepnesses, fitted)


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
    head, shares = the_head(odeformer, head, evidence), []
    for steepness in BEYOND:
        curves = sigmoids((3.0, 5.0, 8.0), (steepness,))
        shares.append(share_on(profile(odeformer, curves, head), steep(curves)).mean())
    evidence.response("share of attention on the steep region against steepness", BEYOND, shares)


@claim(
    "odeformer/derivative-head/necessary",
    "Over a small grid of sigmoids, ablating L2H7 makes the true equation less likely, and more so than ablating any "
    "other head of its layer.",
    source=DERIVATIVE,
    expect=Difference(above=0),
    kind="causal",
    criterion="necessity",
    controls=[untrained, instead(head=[Head(2, i) for i in range(16) if i != 7])],
)
@pytest.mark.parametrize("ablation", ABLATIONS)
def test_necessary(odeformer, ablation, evidence, head=L2H7):
    head, reference = the_head(odeformer, head, evidence), SIGMOIDS.discovery(DISCOVERY)
    evidence.census(damage(odeformer, SMALL_GRID, odeformer.ablate(head, ABLATIONS[ablation], reference)))


@claim(
    "odeformer/derivative-head/found-head-is-necessary",
    "Over a small grid of sigmoids, ablating the head that attends most to the steep region makes the true equation "
    "less likely, and more so than ablating the head of its layer that attends least to it.",
    source=DERIVATIVE,
    expect=Difference(above=0),
    kind="causal",
    criterion="necessity",
    controls=[untrained, instead(head=flattest_head)],
)
@pytest.mark.parametrize("ablation", ABLATIONS)
def test_found_head_is_necessary(odeformer, ablation, evidence, head=steepest_head):
    ablated = odeformer.ablate(head(odeformer), ABLATIONS[ablation], SIGMOIDS.discovery(DISCOVERY))
    evidence.census(damage(odeformer, SMALL_GRID, ablated))


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
    head, doses = the_head(odeformer, head, evidence), [0, 1 / 3, 2 / 3, 1]
    losses = [loss(odeformer, SMALL_GRID, *odeformer.scale(head, 1 - dose)).mean() for dose in doses]
    evidence.response(
        "loss of the true equation, in nats per token, against the ablated share of the head", doses, losses
    )


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
    head = the_head(odeformer, head, evidence)
    for trajectories in evidence.batches(OTHERS[family], most=512, search=False):
        evidence.observe(share_on(profile(odeformer, trajectories, head), steep(trajectories)) > MOSTLY)


def window(trajectories):
    """Patterns in which all points attend to the steep points, or to each by its speed: a feature each."""
    slope = speed(trajectories)
    of_point = torch.stack([steep(trajectories).double(), slope / slope.amax(1, keepdim=True)], -1)
    return of_point[:, None].expand(-1, slope.shape[1], -1, -1).flatten(1, 2)


@claim(
    "odeformer/derivative-head/finite-difference",
    "The head's pattern is better explained by a stencil, in which a point attends to those up to two positions from "
    "itself, than by a window on the transition, to which all points attend alike.",
    source=REPORT.section("Future plans"),
    expect=Difference(above=0, bounds=(-1, 1)),
    controls=[untrained],
    published="“can we pinpoint the exact mechanism”",
)
@each_head
def test_finite_difference(odeformer, head, evidence):
    head, places = the_head(odeformer, head, evidence), torch.arange(SIGMOIDS.points)
    offsets = places - places[:, None]
    stencil = torch.stack([offsets == offset for offset in range(-2, 3)], -1).double().flatten(0, 1)[None]
    for trajectories in evidence.batches(SIGMOIDS, most=512, search=False):
        pattern = odeformer.attention(trajectories, head).cpu().double().flatten(1)
        evidence.observe(explained_variance(pattern, stencil) - explained_variance(pattern, window(trajectories)))
