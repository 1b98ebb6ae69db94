"""Mirrored logits: below zero, does '-' rise as '+' falls, and do both rest above zero?"""

import pytest

from claims.subtraction.inputs import PROBLEMS
from claims.subtraction.source import POST
from mechtests import Value, claim, shuffled_weights, untrained
from mechtests.instruments import angle, linear_fit
from mechtests.systems.subtraction import MINUS, PLUS

LOGITS = POST.section("Working Backwards: Logits")


def slope_in_gap(subtraction, token, where):
    """Slope of a token's logit in b - a over the problems in ``where``, and the share of variance it explains."""
    where = where.to(subtraction.device)
    fit = linear_fit(PROBLEMS.gap[where.cpu()].unsqueeze(1), subtraction.logits(PROBLEMS)[where][:, [token]])
    return fit.slopes.item(), fit.r2.item()


@claim(
    "subtraction/mirrored-logits/minus-rises-below-zero",
    "On a < b the logit of '-' rises linearly with b - a: R², counted negative for a falling line, is at least 0.9.",
    source=LOGITS,
    expect=Value(at_least=0.9),
    kind="behavioural",
    controls=[untrained.drawn(99)],
    published="linear",
)
def test_minus_rises_below_zero(subtraction, evidence):
    slope, r2 = slope_in_gap(subtraction, MINUS, ~PROBLEMS.is_plus)
    evidence.value(r2 if slope > 0 else -r2, len(PROBLEMS))


@claim(
    "subtraction/mirrored-logits/plus-falls-below-zero",
    "On a < b the logit of '+' falls linearly with b - a: R², counted negative for a rising line, is at least 0.9.",
    source=LOGITS,
    expect=Value(at_least=0.9),
    kind="behavioural",
    controls=[untrained.drawn(99)],
    published="linear",
)
def test_plus_falls_below_zero(subtraction, evidence):
    slope, r2 = slope_in_gap(subtraction, PLUS, ~PROBLEMS.is_plus)
    evidence.value(r2 if slope < 0 else -r2, len(PROBLEMS))


@claim(
    "subtraction/mirrored-logits/flat-above-zero",
    "On a ≥ b each of the two logits has at most a fifth of the slope that it has on a < b.",
    source=LOGITS,
    expect=Value(at_most=0.2),
    kind="behavioural",
    controls=[untrained.drawn(99)],
    published="roughly constant",
)
@pytest.mark.parametrize("token", ["plus", "minus"])
def test_flat_above_zero(subtraction, token, evidence):
    number = {"plus": PLUS, "minus": MINUS}[token]
    above, _ = slope_in_gap(subtraction, number, PROBLEMS.is_plus)
    below, _ = slope_in_gap(subtraction, number, ~PROBLEMS.is_plus)
    evidence.value(abs(above / below), len(PROBLEMS))


@claim(
    "subtraction/mirrored-logits/cancelling-sum",
    "On a < b the sum of the two logits varies at most a tenth as much as their difference, in variance.",
    source=LOGITS,
    expect=Value(at_most=0.1),
    kind="behavioural",
    controls=[untrained.drawn(99)],
    published="disappears",
)
def test_cancelling_sum(subtraction, evidence):
    below = subtraction.logits(PROBLEMS)[~PROBLEMS.is_plus.to(subtraction.device)]
    plus, minus = below[:, PLUS], below[:, MINUS]
    evidence.value((plus + minus).var() / (plus - minus).var(), len(below))


@claim(
    "subtraction/mirrored-logits/antialigned-readout",
    "The directions in which the neurons write '+' and '-' are at least 120 degrees apart.",
    source=POST.section("Logit-Neuron Connection"),
    expect=Value(at_least=120),
    kind="structural",
    controls=[untrained.drawn(99), shuffled_weights.drawn(99)],
    published="strongly anti-aligned",
)
def test_antialigned_readout(subtraction, evidence):
    plus, minus = subtraction.neuron_readout[:, [PLUS, MINUS]].T
    if not plus.any() or not minus.any():
        return evidence.undefined("the neurons do not write one of the signs")
    evidence.value(angle(plus, minus))
