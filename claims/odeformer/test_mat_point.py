"""MAT point: does one input point get most of the tokens' attention, and what makes it that point?

The mostly-attended-to point is the one with the greatest value-weighted cross-attention, summed over heads and tokens.
The encoder does not see the places of its points, so a point can stand out by its time and its state alone. Claims
about an index are stated as the report states them, on evenly spaced points, where index and time are one;
``time-not-index`` tells the two apart.
"""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from claims.odeformer.attention import (
    another_point,
    attention_on,
    attention_to_points,
    over_heads,
    the_mat_point,
)
from claims.odeformer.circuits import averaged, deleted
from claims.odeformer.inputs import DISCOVERY, EVALUATION, HARMONICS, PLANES, SIGMOIDS, shifted, warped, with_equations
from claims.odeformer.source import ATTENTION_LENS, INHIBITION
from mechtests import Monotone, Rate, Value, claim, instead, shuffled_weights, untrained
from mechtests.instruments import rank_correlation
from mechtests.instruments.profiles import at_points, prominence, shares

POINTS = HARMONICS.points
FOUND, JUDGED = HARMONICS.discovery(DISCOVERY), HARMONICS.evaluation(EVALUATION)
"""Harmonics on which heads and points are looked for, and those on which claims judge."""


@claim(
    "odeformer/mat-point/exists",
    "One point stands out by three standard deviations of the other points or more, in plain and in value-weighted "
    "cross-attention, on nine harmonics in ten.",
    source=ATTENTION_LENS,
    expect=Rate(at_least=0.9),
    controls=[untrained, shuffled_weights],
    published="LALens5, LALens7",
)
@pytest.mark.parametrize("weighting", ["plain", "value"])
def test_exists(odeformer, weighting, evidence):
    attention = over_heads(getattr(attention_on(odeformer, JUDGED), weighting))
    evidence.observe(prominence(attention) >= 3)
    times = HARMONICS.at([dict.fromkeys(HARMONICS.ranges, 1.0)]).times[0]
    evidence.figure("share of cross-attention against time, mean over harmonics", times, attention.mean(0))


@claim(
    "odeformer/mat-point/at-sixty-percent",
    "The point lies 50 to 70 % of the way through the input, on nine harmonics in ten.",
    source=ATTENTION_LENS,
    expect=Rate(at_least=0.9),
    controls=[untrained],
    published="the 60 % point: 15 of 25",
)
@pytest.mark.parametrize("points", [15, 25, 40, 60])
def test_at_sixty_percent(odeformer, points, evidence):
    places = []
    for trajectories in evidence.batches(replace(HARMONICS, points=points), most=512, search=False):
        place = (the_mat_point(attention_to_points(odeformer, with_equations(odeformer, trajectories))) + 1) / points
        evidence.observe((place >= 0.5) & (place <= 0.7))
        places.append(place)
    counts = torch.cat(places).mul(points).round().long().bincount(minlength=points + 1)[1:]
    label = f"share of harmonics whose MAT point is point k of {points}"
    evidence.figure(label, range(1, points + 1), counts / counts.sum())


FAMILIES = {"harmonic": HARMONICS, "sigmoid": replace(SIGMOIDS, points=POINTS), "plane": PLANES}


@claim(
    "odeformer/mat-point/same-across-systems",
    "With 25 points it is the same point for every system, of one dimension or two: the one that is usual for "
    "harmonics, on nine trajectories in ten.",
    source=ATTENTION_LENS,
    expect=Rate(at_least=0.9),
    controls=[untrained],
    published="“In all cases, the MAT point remains the same”",
)
@pytest.mark.parametrize("family", FAMILIES)
def test_same_across_systems(odeformer, family, evidence):
    usual = the_mat_point(over_heads(attention_on(odeformer, FOUND).value)).mode().values
    for trajectories in evidence.batches(FAMILIES[family], most=512, search=False):
        attention = attention_to_points(odeformer, with_equations(odeformer, trajectories))
        evidence.observe(the_mat_point(attention) == usual)


@claim(
    "odeformer/mat-point/low-norm",
    "Its norm is among the lowest tenth of its trajectory's points, on nine harmonics in ten.",
    source=ATTENTION_LENS,
    expect=Rate(at_least=0.9),
    controls=[untrained],
    published="LALens6",
)
@pytest.mark.parametrize("norms", ["of_states", "of_encodings"])
def test_low_norm(odeformer, norms, evidence):
    attention, states = attention_on(odeformer, JUDGED), JUDGED.rescaled().states
    lengths = (states.norm(dim=-1) if norms == "of_states" else attention.norms).double()
    mat = at_points(lengths, the_mat_point(over_heads(attention.value)))
    lower = (lengths < mat[:, None]).sum(1)
    evidence.observe(lower < -(-POINTS // 10))


@claim(
    "odeformer/mat-point/gradual",
    "Attention builds up to the point and falls off after it: a tenth at most of its ups and downs go the wrong way, "
    "on nine harmonics in ten.",
    source=ATTENTION_LENS,
    expect=Rate(at_least=0.9),
    controls=[untrained],
    published="“gradually increased”, “in some cases”",
)
def test_gradual(odeformer, evidence):
    attention = over_heads(attention_on(odeformer, JUDGED).value)
    steps = attention.diff(dim=1)
    before = torch.arange(POINTS - 1) < the_mat_point(attention)[:, None]
    wrong = torch.where(before, -steps, steps).clamp(min=0).sum(1)
    evidence.observe(wrong <= 0.1 * steps.abs().sum(1))


@claim(
    "odeformer/mat-point/forms-from-layer-2",
    "From the second encoder layer to the last, the point gets more and more of the value-weighted attention there.",
    source=INHIBITION,
    expect=Monotone("increasing", at_least=1),
    controls=[untrained],
    published="“begins forming from the second encoder layer”",
)
def test_forms_from_layer_2(odeformer, evidence):
    if (layers := odeformer.n_encoder_layers) < 3:
        evidence.untested(f"{odeformer.name} has {layers} encoder layers: from the second to the last is no curve")
    attention = attention_on(odeformer, JUDGED)
    by_layer = shares(attention.encoder_value.sum(1))
    mat = at_points(by_layer, the_mat_point(over_heads(attention.value))).mean(1)
    label = "encoder attention to the MAT point, in shares of a point, against layer"
    evidence.response(label, range(1, layers), (POINTS * mat[1:]).tolist())


@claim(
    "odeformer/mat-point/shunning-heads",
    "Some cross-attention head gives the point less than half of what it gives another point on average, on nine "
    "harmonics in ten.",
    source=ATTENTION_LENS,
    expect=Rate(at_least=0.9),
    controls=[untrained],
    published="“there exists some heads in which the MAT point is less attended to”",
)
def test_shunning_heads(odeformer, evidence):
    found, judged = (
        at_points(shares(value), the_mat_point(over_heads(value))).flatten(0, 1)
        for value in (attention_on(odeformer, trajectories).value for trajectories in (FOUND, JUDGED))
    )
    mat = judged[found.mean(-1).argmin()]
    evidence.observe(mat < 0.5 * (1 - mat) / (POINTS - 1))


# What makes it that point


def with_copies(odeformer, trajectories, points):
    """Inputs with three more points per trajectory, at the time of one of its points and with its states changed."""
    ready = trajectories.rescaled()
    tokens, counts, *equations = with_equations(odeformer, trajectories)
    changed = [odeformer.tokens(shifted(ready, points, by), rescale=False)[0] for by in (-0.5, 0.5, 1.0)]
    chosen = points[:, None, None].expand(-1, 1, tokens.shape[2]).to(tokens.device)
    copies = [one.gather(1, chosen) for one in changed]
    return torch.cat([tokens, *copies], 1), counts + len(copies), *equations


@claim(
    "odeformer/mat-point/time-not-value",
    "Where there are points with other states at the same time, each of them gets more attention than the mean of the "
    "others, on nine harmonics in ten; not so at another time.",
    source=ATTENTION_LENS,
    expect=Rate(at_least=0.9),
    kind="causal",
    criterion="specificity",
    controls=[untrained, instead(point=another_point)],
    published="LALens8",
)
def test_time_not_value(odeformer, evidence, point=the_mat_point):
    for trajectories in evidence.batches(HARMONICS, most=512, search=False):
        attention = attention_to_points(odeformer, with_equations(odeformer, trajectories))
        points = point(attention, evidence.generator)
        attention = attention_to_points(odeformer, with_copies(odeformer, trajectories, points))
        there = torch.nn.functional.one_hot(points, attention.shape[1]).bool()
        there[:, POINTS:] = True
        least = attention.masked_fill(~there, torch.inf).amin(1)
        evidence.observe(least > attention.masked_fill(there, 0).sum(1) / (~there).sum(1))


def moved(odeformer, trajectories, amplitudes):
    """Attention to the points; and the MAT point when its states are changed by ``amplitudes``, up and down."""
    ready = trajectories.rescaled()
    attention = attention_to_points(odeformer, with_equations(odeformer, trajectories))
    changed = (shifted(ready, the_mat_point(attention), side * amplitudes) for side in (1, -1))
    inputs = (with_equations(odeformer, trajectories, points) for points in changed)
    return attention, [the_mat_point(attention_to_points(odeformer, one)) for one in inputs]


@claim(
    "odeformer/mat-point/keeps-its-status-at-0-05",
    "It stays the MAT point when its states are changed by 0.05 of their amplitude, up or down, on nine harmonics in "
    "ten.",
    source=ATTENTION_LENS,
    expect=Rate(at_least=0.9),
    kind="causal",
    criterion="robustness",
    controls=[untrained],
    published="0.05",
)
def test_keeps_its_status(odeformer, evidence):
    for trajectories in evidence.batches(HARMONICS, most=512, search=False):
        attention, (up, down) = moved(odeformer, trajectories, 0.05)
        evidence.observe((up == the_mat_point(attention)) & (down == the_mat_point(attention)))


@claim(
    "odeformer/mat-point/loses-its-status-at-0-1",
    "When its states are changed by 0.1 of their amplitude, up or down, one of the two points that got most attention "
    "after it becomes the MAT point, on nine harmonics in ten.",
    source=ATTENTION_LENS,
    expect=Rate(at_least=0.9),
    kind="causal",
    controls=[untrained],
    published="more than 0.05",
)
def test_loses_its_status(odeformer, evidence):
    for trajectories in evidence.batches(HARMONICS, most=512, search=False):
        attention, mats = moved(odeformer, trajectories, 0.1)
        candidates = attention.topk(3, 1).indices[:, 1:]
        evidence.observe(torch.stack([(new[:, None] == candidates).any(1) for new in mats]).all(0))


SOME = 16
"""Trajectories of a response along a dose."""


@claim(
    "odeformer/mat-point/graded-by-the-shift",
    "The more its states are changed, up to 0.4 of their amplitude, the less attention it gets.",
    source=ATTENTION_LENS,
    expect=Monotone("decreasing", at_least=0.9),
    kind="causal",
    criterion="graded response",
    controls=[untrained],
    published="LALens9",
)
def test_graded_by_the_shift(odeformer, evidence):
    trajectories = HARMONICS.sample(SOME, evidence.generator)
    ready, shifts = trajectories.rescaled(), [0.0, 0.1, 0.2, 0.4]
    mat = the_mat_point(attention_to_points(odeformer, with_equations(odeformer, trajectories)))
    inputs = (with_equations(odeformer, trajectories, shifted(ready, mat, shift)) for shift in shifts)
    received = [at_points(attention_to_points(odeformer, one), mat).mean() for one in inputs]
    evidence.response("share of attention of the MAT point against its shift, in amplitudes", shifts, received)


@settings(deadline=None, derandomize=True, max_examples=5)
@given(HARMONICS.strategy(), st.permutations(range(POINTS)))
def test_attention_moves_with_the_points(odeformer, trajectory, order):
    """For every checkpoint, which is why a place in the input can be no reason: no claim, and it may not fail."""
    points, *rest = with_equations(odeformer, trajectory)
    before = attention_to_points(odeformer, (points, *rest))
    after = attention_to_points(odeformer, (points[:, order], *rest))
    torch.testing.assert_close(after, before[:, order], atol=1e-5, rtol=1e-3)


@claim(
    "odeformer/mat-point/not-the-index",
    "Each point keeps its attention to within 1e-4 when the points are given in another order: what makes it the MAT "
    "point is not its place.",
    source=ATTENTION_LENS,
    expect=Value(at_most=1e-4),
    kind="identity",
    controls=[instead(change="re_timed")],
)
def test_not_the_index(odeformer, evidence, change="permuted"):
    trajectories = HARMONICS.sample(SOME, evidence.generator)
    before = attention_to_points(odeformer, with_equations(odeformer, trajectories))
    order, ready = torch.arange(POINTS), trajectories.rescaled()
    if change == "permuted":
        order = torch.randperm(POINTS, generator=evidence.generator)
    else:
        ready = warped(ready, 2.0)
    points, *rest = with_equations(odeformer, trajectories, ready)
    after = attention_to_points(odeformer, (points[:, order.to(points.device)], *rest))
    evidence.value((after - before[:, order]).abs().max() / before.max(), SOME)


POWERS = (0.5, 0.75, 1.0, 1.5, 2.0)


@claim(
    "odeformer/mat-point/time-not-index",
    "When the points are given other times, the MAT point becomes the one whose time is now nearest to that of the MAT "
    "point before: over trajectories and re-timings, the two places go together.",
    source=ATTENTION_LENS,
    expect=Value(at_least=0.9),
    kind="causal",
    controls=[untrained],
)
def test_time_not_index(odeformer, evidence):
    trajectories = HARMONICS.sample(SOME, evidence.generator)
    bent = [warped(trajectories.rescaled(), power) for power in POWERS]
    mat = the_mat_point(attention_to_points(odeformer, with_equations(odeformer, trajectories)))
    time = at_points(trajectories.rescaled().times, mat)[:, None]
    predicted = torch.stack([(one.times - time).abs().argmin(1) for one in bent]).double()
    inputs = [with_equations(odeformer, trajectories, one) for one in bent]
    measured = torch.stack([the_mat_point(attention_to_points(odeformer, one)) for one in inputs]).double()
    # Within each trajectory, so that trajectories with different MAT points do not make the correlation.
    within = ((one - one.mean(0)).flatten() for one in (predicted, measured))
    evidence.value(rank_correlation(*within, constant=0.0), SOME)


@claim(
    "odeformer/mat-point/necessary",
    "Without the point, the tokens that the model would write change more than without another point drawn at random, "
    "on more than half of all harmonics.",
    source=ATTENTION_LENS,
    expect=Rate(above=0.5),
    kind="causal",
    criterion="necessity",
    controls=[untrained, instead(point=another_point)],
)
@pytest.mark.parametrize("ablation", [deleted, averaged])
def test_necessary(odeformer, ablation, evidence, point=the_mat_point):
    for trajectories in evidence.batches(HARMONICS, most=512, search=False):
        inputs = with_equations(odeformer, trajectories)
        attention, before = attention_to_points(odeformer, inputs), odeformer.logits(inputs).softmax(-1).cpu()
        chosen = point(attention, evidence.generator), another_point(attention, evidence.generator)
        changes = [ablation(odeformer, trajectories, points) - before for points in chosen]
        first, second = (change.abs().sum(-1).mean(1) for change in changes)
        evidence.observe(first > second)
