"""Attention sinks: are there points that get much attention and pass little on?"""

import pytest

from claims.odeformer.attended import discovered, judged, shares
from claims.odeformer.source import ATTENTION_LENS
from mechtests import Rate, claim, instead, shuffled_weights, untrained

MUCH, LITTLE = 3, 1
"""A sink gets three times a point's mean attention or more, and no more than a point's mean of value-weighted
attention."""


def sinks(plain, value):
    """Whether each head has a sink, on each trajectory."""
    points = plain.shape[-1]
    return ((shares(plain) >= MUCH / points) & (shares(value) <= LITTLE / points)).any(-1)


def of_stack(attended, stack):
    """Plain and value-weighted attention that points get, from the encoder's points or from the decoder's words."""
    return (attended.encoder_plain, attended.encoder_value) if stack == "encoder" else (attended.plain, attended.value)


def in_its_place(plain, value):
    """Attention, plain and value-weighted."""
    return plain, value


def exchanged(plain, value):
    """Each in the place of the other: points that get little attention, and pass much on."""
    return value, plain


@claim(
    "odeformer/attention-sinks/sinks-exist",
    "Some head has a sink on nine harmonics in ten: a point with three times the mean of its attention, or more, and "
    "no more than the mean of its value-weighted attention.",
    source=ATTENTION_LENS,
    expect=Rate(at_least=0.9),
    controls=[untrained, shuffled_weights, instead(weighting=exchanged)],
    published="“concrete proof that null attentions or attention sinks exist”",
)
@pytest.mark.parametrize("stack", ["encoder", "cross"])
@pytest.mark.parametrize("weighting", [in_its_place], ids=["plain-over-value"])
def test_sinks_exist(odeformer, stack, weighting, evidence):
    head = int(sinks(*weighting(*of_stack(discovered(odeformer), stack))).double().mean(1).argmax())
    profiles = [profile[head] for profile in weighting(*of_stack(judged(odeformer), stack))]
    evidence.observe(sinks(*profiles))
    for name, profile in zip(("plain", "value-weighted"), of_stack(judged(odeformer), stack), strict=True):
        label = f"{name} attention to each point, in shares of a point, mean over harmonics"
        points = profile.shape[-1]
        evidence.curve(label, range(1, points + 1), points * shares(profile[head]).mean(0))
