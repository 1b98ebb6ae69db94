"""Attention sinks: are there points that get much attention and pass little on?"""

import pytest

from claims.odeformer.attention import attention_on
from claims.odeformer.inputs import DISCOVERY, EVALUATION, HARMONICS
from claims.odeformer.source import ATTENTION_LENS
from mechtests import Rate, claim, instead, shuffled_weights, untrained
from mechtests.instruments.profiles import shares

MUCH, LITTLE = 3, 1
"""A sink gets three times a point's mean attention or more, and no more than a point's mean of value-weighted
attention."""


def of_stack(attention, stack):
    """Plain and value-weighted attention that points get from the encoder's heads or from the cross-attention heads."""
    cross, encoder = (attention.plain, attention.value), (attention.encoder_plain, attention.encoder_value)
    return [shares(profile.flatten(0, 1)) for profile in (encoder if stack == "encoder" else cross)]


def sinks(plain, value, weighting):
    """Whether each head has a sink per trajectory; exchanged, a point that gets little attention and passes much on."""
    much, little = (plain, value) if weighting == "in_its_place" else (value, plain)
    return ((much >= MUCH / plain.shape[-1]) & (little <= LITTLE / plain.shape[-1])).any(-1)


@claim(
    "odeformer/attention-sinks/sinks-exist",
    "Some head has a sink on nine harmonics in ten: a point with three times the mean of its attention, or more, and "
    "no more than the mean of its value-weighted attention.",
    source=ATTENTION_LENS,
    expect=Rate(at_least=0.9),
    controls=[untrained, shuffled_weights, instead(weighting="exchanged")],
    published="“concrete proof that null attentions or attention sinks exist”",
)
@pytest.mark.parametrize("stack", ["encoder", "cross"])
def test_sinks_exist(odeformer, stack, evidence, weighting="in_its_place"):
    found = sinks(*of_stack(attention_on(odeformer, HARMONICS.discovery(DISCOVERY)), stack), weighting)
    head = int(found.double().mean(1).argmax())
    attention = attention_on(odeformer, HARMONICS.evaluation(EVALUATION))
    plain, value = (profiles[head] for profiles in of_stack(attention, stack))
    evidence.observe(sinks(plain, value, weighting))
    for name, profile in (("plain", plain), ("value-weighted", value)):
        label = f"{name} attention to each point, in shares of a point, mean over harmonics"
        points = profile.shape[-1]
        evidence.figure(label, range(1, points + 1), points * profile.mean(0))
