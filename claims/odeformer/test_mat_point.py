"""MAT point: does one input point get most of the words' attention, and what makes it that point?

The mostly-attended-to point is the one with the greatest value-weighted cross-attention, summed over heads and words.
The encoder is not told the places of its points, so a point can stand out by its time and its state alone. Claims about
an index are stated as the report states them, on evenly spaced points, where index and time are one; ``time-not-index``
tells the two apart.
"""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from claims.odeformer.attended import (
    at_points,
    attention_and_logits,
    attention_to_points,
    discovered,
    judged,
    mat_points,
    overall,
    shares,
)
from claims.odeformer.measures import forced, name_of, rank_correlation
from claims.odeformer.source import ATTENTION_LENS, HARMONICS, PLANES, SIGMOIDS, Unsearched, few, fresh
from mechtests import Monotone, Rate, Value, claim, instead, patch, shuffled_weights, untrained

POINTS = HARMONICS.points


def value_share(odeformer):
    """Each point's share of value-weighted attention, over all heads, on the harmonics on which claims judge."""
    return overall(judged(odeformer).value, odeformer.module.config.n_dec_layers)


def prominence(attention):
    """By how many standard deviations of the other points the greatest lies above their mean."""
    top = attention.amax(1)
    others = attention.scatter(1, attention.argmax(1, keepdim=True), float("nan"))
    mean = others.nanmean(1)
    spread = (others - mean[:, None]).square().nanmean(1).sqrt()
    return (top - mean) / spread.clamp(min=1e-12)


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
    attention = overall(getattr(judged(odeformer), weighting), odeformer.module.config.n_dec_layers)
    evidence.observe(prominence(attention) >= 3)
    times = HARMONICS.at([dict.fromkeys(HARMONICS.ranges, 1.0)]).times[0]
    evidence.curve("share of cross-attention against time, mean over harmonics", times, attention.mean(0))


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
    for trajectories in few(evidence, Unsearched(replace(HARMONICS, points=points))):
        place = (mat_points(attention_to_points(odeformer, forced(odeformer, trajectories))) + 1) / points
        evidence.observe((place >= 0.5) & (place <= 0.7))
        places.append(place)
    counts = torch.cat(places).mul(points).round().long().bincount(minlength=points + 1)[1:]
    label = f"share of harmonics whose MAT point is point k of {points}"
    evidence.curve(label, range(1, points + 1), counts / counts.sum())


FAMILIES = {"harmonic": HARMONICS, "sigmoid": replace(SIGMOIDS, points=POINTS), "plane": PLANES}


def usual_point(odeformer):
    """The point that most harmonics have as their MAT point, among those on which it is looked for."""
    attention = overall(discovered(odeformer).value, odeformer.module.config.n_dec_layers)
    return int(mat_points(attention).mode().values)


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
    usual = usual_point(odeformer)
    for trajectories in few(evidence, Unsearched(FAMILIES[family])):
        attention = attention_to_points(odeformer, forced(odeformer, trajectories))
        evidence.observe(mat_points(attention) == usual)


def of_states(_odeformer):
    """The length of each point's state, in the model's units."""
    return fresh(HARMONICS).rescaled().states.norm(dim=-1)


def of_encodings(odeformer):
    """The length of each point's encoding."""
    return judged(odeformer).norms


@claim(
    "odeformer/mat-point/low-norm",
    "Its norm is among the lowest tenth of its trajectory's points, on nine harmonics in ten.",
    source=ATTENTION_LENS,
    expect=Rate(at_least=0.9),
    controls=[untrained],
    published="LALens6",
)
@pytest.mark.parametrize("norms", [of_states, of_encodings], ids=name_of)
def test_low_norm(odeformer, norms, evidence):
    lengths = norms(odeformer).double()
    point = at_points(lengths, mat_points(value_share(odeformer)))
    lower = (lengths < point[:, None]).sum(1)
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
    attention = value_share(odeformer)
    steps = attention.diff(dim=1)
    before = torch.arange(POINTS - 1) < mat_points(attention)[:, None]
    wrong = torch.where(before, -steps, steps).clamp(min=0).sum(1)
    evidence.observe(wrong <= 0.1 * steps.abs().sum(1))


@claim(
    "odeformer/mat-point/forms-from-layer-2",
    "From the second encoder layer to the last, the point gets more and more of the value-weighted attention there.",
    source=ATTENTION_LENS.section("Self-Inhibiting Behaviour of the Encoders"),
    expect=Monotone("increasing", at_least=1),
    controls=[untrained],
    published="“begins forming from the second encoder layer”",
)
def test_forms_from_layer_2(odeformer, evidence):
    layers = odeformer.module.config.n_enc_layers
    if layers < 3:
        pytest.skip(f"{odeformer.name} has {layers} encoder layers: from the second to the last is no curve")
    by_layer = shares(judged(odeformer).encoder_value.unflatten(0, (layers, -1)).sum(1))
    mat = at_points(by_layer, mat_points(value_share(odeformer))).mean(1)
    label = "encoder attention to the MAT point, in shares of a point, against layer"
    evidence.curve(label, range(1, layers), (POINTS * mat[1:]).tolist())


def shunning_head(odeformer):
    """The cross-attention head, by place, that attends least to the MAT point where heads are looked for."""
    found = discovered(odeformer)
    mat = mat_points(overall(found.value, odeformer.module.config.n_dec_layers))
    return int(at_points(shares(found.value), mat).mean(1).argmin())


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
    profile = shares(judged(odeformer).value[shunning_head(odeformer)])
    mat = at_points(profile, mat_points(value_share(odeformer)))
    evidence.observe(mat < 0.5 * (1 - mat) / (POINTS - 1))


# What makes it that point


def the_mat_point(attention, _generator):
    """The mostly-attended-to point."""
    return mat_points(attention)


def another_point(attention, generator):
    """Any other point, by lot."""
    n = attention.shape[1]
    return (mat_points(attention) + torch.randint(1, n, (len(attention),), generator=generator)) % n


def amplitudes(trajectories):
    """Half the range of each trajectory and dimension."""
    states = trajectories.states
    return (states.amax(1, keepdim=True) - states.amin(1, keepdim=True)) / 2


def shifted(trajectories, points, by):
    """The same with the states of one point of each changed by ``by`` amplitudes."""
    chosen = torch.arange(trajectories.times.shape[1]) == points[:, None]
    return replace(trajectories, states=trajectories.states + by * amplitudes(trajectories) * chosen[..., None])


def told_as(odeformer, ready, like):
    """Inputs with the points of ``ready``, which are in the model's units, and the equations of ``like``."""
    return odeformer.tokens(ready, odeformer.truth(like), rescale=False)


@claim(
    "odeformer/mat-point/time-not-value",
    "Where there are points with other states at the same time, each of them gets more attention than the mean of the "
    "others, on nine harmonics in ten; not so at another time.",
    source=ATTENTION_LENS,
    expect=Rate(at_least=0.9),
    kind="causal",
    criterion="specificity",
    controls=[untrained, instead("point", another_point)],
    published="LALens8",
)
@pytest.mark.parametrize("point", [the_mat_point], ids=name_of)
def test_time_not_value(odeformer, point, evidence):
    for trajectories in few(evidence, Unsearched(HARMONICS)):
        ready = trajectories.rescaled()
        inputs = told_as(odeformer, ready, trajectories)
        points = point(attention_to_points(odeformer, inputs), evidence.generator)
        more = [inputs[0], *(added(odeformer, ready, points, by) for by in (-0.5, 0.5, 1.0))]
        several = torch.cat(more, 1), inputs[1] + len(more) - 1, *inputs[2:]
        attention = attention_to_points(odeformer, several)
        there = torch.nn.functional.one_hot(points, POINTS + len(more) - 1).bool()
        there[:, POINTS:] = True
        least = attention.masked_fill(~there, torch.inf).amin(1)
        evidence.observe(least > attention.masked_fill(there, 0).sum(1) / (~there).sum(1))


def added(odeformer, ready, points, by):
    """One more point of each trajectory, in words: at the time of ``points``, with its states changed."""
    words, *_ = odeformer.tokens(shifted(ready, points, by), rescale=False)
    return words.gather(1, points[:, None, None].expand(-1, 1, words.shape[2]).to(words.device))


def moved_to(odeformer, trajectories, by):
    """The MAT point; and what it is when its states are changed by ``by`` amplitudes, up and down."""
    ready = trajectories.rescaled()
    attention = attention_to_points(odeformer, told_as(odeformer, ready, trajectories))
    moved = [
        mat_points(
            attention_to_points(
                odeformer, told_as(odeformer, shifted(ready, mat_points(attention), side * by), trajectories)
            )
        )
        for side in (1, -1)
    ]
    return attention, moved


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
    for trajectories in few(evidence, Unsearched(HARMONICS)):
        attention, (up, down) = moved_to(odeformer, trajectories, 0.05)
        evidence.observe((up == mat_points(attention)) & (down == mat_points(attention)))


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
    for trajectories in few(evidence, Unsearched(HARMONICS)):
        attention, moved = moved_to(odeformer, trajectories, 0.1)
        candidates = attention.topk(3, 1).indices[:, 1:]
        evidence.observe(torch.stack([(new[:, None] == candidates).any(1) for new in moved]).all(0))


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
    attention = attention_to_points(odeformer, told_as(odeformer, ready, trajectories))
    mat = mat_points(attention)
    paid = [at_points(attention, mat).mean()]
    for shift in shifts[1:]:
        inputs = told_as(odeformer, shifted(ready, mat, shift), trajectories)
        paid.append(at_points(attention_to_points(odeformer, inputs), mat).mean())
    evidence.curve("share of attention of the MAT point against its shift, in amplitudes", shifts, paid)


def permuted(_ready, generator):
    """The points in another order."""
    return torch.randperm(POINTS, generator=generator), None


def re_timed(ready, _generator):
    """The points in their order, at other times."""
    return torch.arange(POINTS), warped(ready, 2.0)


def warped(ready, power):
    """The same points with the times between the first and the last bent by a power."""
    return replace(ready, times=1 + 9 * ((ready.times - 1) / 9) ** power)


@settings(deadline=None, derandomize=True, max_examples=5)
@given(HARMONICS.strategy(), st.permutations(range(POINTS)))
def test_attention_moves_with_the_points(odeformer, trajectory, order):
    """For every checkpoint, which is why a place in the input can be no reason: no claim, and it may not fail."""
    points, *rest = forced(odeformer, trajectory)
    before = attention_to_points(odeformer, (points, *rest))
    after = attention_to_points(odeformer, (points[:, order], *rest))
    torch.testing.assert_close(after, before[:, order], atol=1e-5, rtol=1e-3)


@claim(
    "odeformer/mat-point/not-the-index",
    "Each point keeps its attention to within 1e-4 when the points are given in another order: what makes it the MAT "
    "point is not its place.",
    source=ATTENTION_LENS,
    expect=Value(at_most=1e-4),
    kind="causal",
    controls=[instead("change", re_timed)],
)
@pytest.mark.parametrize("change", [permuted], ids=name_of)
def test_not_the_index(odeformer, change, evidence):
    trajectories = HARMONICS.sample(SOME, evidence.generator)
    ready = trajectories.rescaled()
    inputs = told_as(odeformer, ready, trajectories)
    order, at_times = change(ready, evidence.generator)
    points, *rest = inputs if at_times is None else told_as(odeformer, at_times, trajectories)
    before, after = (
        attention_to_points(odeformer, one) for one in (inputs, (points[:, order.to(points.device)], *rest))
    )
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
    ready = trajectories.rescaled()
    mat = mat_points(attention_to_points(odeformer, told_as(odeformer, ready, trajectories)))
    time = at_points(ready.times, mat)
    expected, found = [], []
    for power in POWERS:
        bent = warped(ready, power)
        expected.append((bent.times - time[:, None]).abs().argmin(1))
        found.append(mat_points(attention_to_points(odeformer, told_as(odeformer, bent, trajectories))))
    # Within each trajectory, so that trajectories with different MAT points do not make the correlation.
    places = [torch.stack(one).double() for one in (expected, found)]
    evidence.value(rank_correlation(*((one - one.mean(0)).flatten() for one in places)), SOME)


def deleted(odeformer, trajectories, points):
    """Next-word probabilities when one point of each trajectory is left out."""
    inputs = told_as(odeformer, trajectories.rescaled().without(points), trajectories)
    return odeformer.logits(inputs).softmax(-1).cpu()


def averaged(odeformer, trajectories, points):
    """Next-word probabilities when one point of each trajectory has the mean encoding of all of them."""
    inputs = forced(odeformer, trajectories)
    encoded = odeformer.activations(inputs[:2], ["encoded"])["encoded"]
    chosen = (torch.arange(encoded.shape[1]) == points[:, None]).to(encoded.device)[..., None]
    changed = torch.where(chosen, encoded.mean(1, keepdim=True), encoded)
    return odeformer.logits(inputs, None, patch("encoded", changed)).softmax(-1).cpu()


@claim(
    "odeformer/mat-point/necessary",
    "Without the point, the words that the model would write change more than without another point drawn by lot, on "
    "more than half of all harmonics.",
    source=ATTENTION_LENS,
    expect=Rate(above=0.5),
    kind="causal",
    criterion="necessity",
    controls=[untrained, instead("point", another_point)],
)
@pytest.mark.parametrize("ablation", [deleted, averaged], ids=name_of)
@pytest.mark.parametrize("point", [the_mat_point], ids=name_of)
def test_necessary(odeformer, point, ablation, evidence):
    for trajectories in few(evidence, Unsearched(HARMONICS), most=32):
        attention, logits = attention_and_logits(odeformer, forced(odeformer, trajectories))
        chosen = point(attention, evidence.generator), another_point(attention, evidence.generator)
        before = logits.softmax(-1).cpu()
        first, second = (
            (ablation(odeformer, trajectories, points) - before).abs().sum(-1).mean(1) for points in chosen
        )
        evidence.observe(first > second)
