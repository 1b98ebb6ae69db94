"""The claim files of the subtraction system, on planted models of which the right verdicts are known."""

import copy
import math

import pytest
import torch

from claims.subtraction import (
    test_algorithm,
    test_default_plus,
    test_linear_neurons,
    test_mirrored_logits,
    test_operand_readers,
    test_task,
)
from claims.subtraction.selectors import periodic, sign_relevant
from claims.subtraction.source import PROBLEMS
from fixtures.subtraction import CHECKPOINTS
from mechtests import Verdict, findings
from mechtests.cache import Cache
from mechtests.judging.judge import Judge, Settings
from mechtests.systems import Subtraction
from mechtests.systems.subtraction import sign_correct
from mechtests.systems.subtraction.transformer import (
    EQUALS,
    MINUS,
    PLUS,
    SubtractionConfig,
    SubtractionTransformer,
)

MODULES = (
    test_task,
    test_default_plus,
    test_mirrored_logits,
    test_linear_neurons,
    test_operand_readers,
    test_algorithm,
)
FINDINGS = {str(finding): finding for finding in findings(*MODULES)}
SUPPORTED, REFUTED = Verdict.SUPPORTED, Verdict.REFUTED

# ---------------------------------------------------------------------------------------------------------------------
# The post's algorithm, written into the weights by hand

LINEAR = 200
"""Neurons whose input is a line in b - a with a small periodic part; the others are periodic."""
PERIODS = (7, 13, 22, 31)
DEFAULT = {PLUS: 18.6, MINUS: 6.21}
SLOPE = 8.0
"""How much a step of b - a adds to the logit of '-' and takes from that of '+', below zero."""
ATTENTION = [(0.6, 0.15, 0.1, 0.15), (1, 0, 0, 0), (0, 0, 1, 0), (0.1, 0.15, 0.6, 0.15)]
"""By head, how much is attended to a, '-', b and '='; the post's figures."""
READS = [-0.5, -1.0, 1.0, 0.5]
"""By head, the slope at which an operand that is attended to enters b - a."""

VALUE, IS_EQUALS, IS_MINUS, GAP, TO_PLUS, TO_MINUS = range(6)
PLACES, WAVES, A_WAVES, B_WAVES, UNUSED = range(6, 11), range(11, 19), range(19, 27), range(27, 35), range(35, 128)


def by_hand(attention=ATTENTION, reads=READS, default=DEFAULT, effects=(-1, 1), waviness=0.05):
    """The algorithm of the post: head 1 reads a, head 2 reads b, neurons rise with b - a, '+' is the default.

    Args:
        attention, reads, default: as the constants above.
        effects: how the linear neurons move the logits of '+' and '-'.
        waviness: the size of the periodic part of the linear neurons' input.
    """
    generator = torch.Generator().manual_seed(0)
    config = SubtractionConfig()
    module = SubtractionTransformer(config).requires_grad_(False)
    for weight in module.parameters():
        weight.zero_()
    attn, mlp = module.blocks[0].attn, module.blocks[0].mlp

    number = torch.arange(100.0)
    angles = torch.stack([2 * math.pi * periods * number / 100 for periods in PERIODS], 1)
    module.W_E[:100, VALUE] = number / 100
    module.W_E[:100, WAVES] = torch.cat([angles.cos(), angles.sin()], 1)
    module.W_E[EQUALS, IS_EQUALS] = module.W_E[MINUS, IS_MINUS] = 1
    module.W_pos[range(5), PLACES] = 1

    for head, (shares, slope) in enumerate(zip(attention, reads, strict=True)):
        attn.W_Q[head, IS_EQUALS, 0] = config.d_head**0.5
        attn.W_K[head, PLACES[:4], 0] = torch.tensor(shares).clamp(min=1e-12).log()
        attn.W_V[head, VALUE, 0] = 1
        attn.W_O[head, 0, GAP] = slope
        attn.W_V[head, WAVES, range(1, 9)] = 1
        attn.W_O[head, range(1, 9), A_WAVES if slope < 0 else B_WAVES] = 0.5

    # Over all heads the gap is written (0.5·(0.6 - 0.1) + 1) times, in hundredths.
    per_step = 1.25 / 100
    steepness = 0.5 + torch.rand(LINEAR, generator=generator)
    mlp.W_in[GAP, :LINEAR] = steepness / per_step
    mlp.W_in[A_WAVES[0] : B_WAVES[-1] + 1, :LINEAR] = waviness * torch.randn(16, LINEAR, generator=generator)
    for neuron in range(LINEAR, config.d_mlp):
        wave = (neuron - LINEAR) // 2 % 8
        # Neurons come in pairs of opposite input and opposite effect, so that their noise has no mean.
        sign = 1 if neuron % 2 else -1
        mlp.W_in[[A_WAVES[wave], B_WAVES[wave]], neuron] = 5.0 * sign
        mlp.W_out[neuron, TO_PLUS] = 1e-5 * sign
    for token, effect in zip((TO_PLUS, TO_MINUS), effects, strict=True):
        mlp.W_out[:LINEAR, token] = effect * SLOPE / steepness.sum()
    module.W_U[TO_PLUS, PLUS] = module.W_U[TO_MINUS, MINUS] = 1
    # Numbers are read from where nothing is written, so that they have a direction and no logit.
    module.W_U[UNUSED, :100] = torch.randn(len(UNUSED), 100, generator=generator) / len(UNUSED) ** 0.5
    for token, logit in default.items():
        module.b_U[token] = logit
    return _rotated(module, generator)


def _rotated(module, generator):
    """The same function with no preferred directions, as a trained model has none: every weight is dense."""

    def rotation(size):
        return torch.linalg.qr(torch.randn(size, size, generator=generator)).Q

    attn, mlp, turn = module.blocks[0].attn, module.blocks[0].mlp, rotation(module.config.d_model)
    for weight in (module.W_E, module.W_pos, attn.W_O, mlp.W_out):
        weight.copy_(weight @ turn)
    for weight in (attn.W_Q, attn.W_K, attn.W_V, mlp.W_in, module.W_U):
        weight.copy_(turn.T @ weight)
    for head in range(module.config.n_heads):
        scores, values = rotation(module.config.d_head), rotation(module.config.d_head)
        attn.W_Q[head], attn.W_K[head] = attn.W_Q[head] @ scores, attn.W_K[head] @ scores
        attn.W_V[head], attn.W_O[head] = attn.W_V[head] @ values, values.T @ attn.W_O[head]
    return module


# ---------------------------------------------------------------------------------------------------------------------
# Judging

CACHE = Cache()


@pytest.fixture(scope="module")
def judged():
    """Judges a finding, named as in the report, on a system; controls are drawn once for all systems."""
    judge = Judge(Settings())
    return lambda name, system: FINDINGS[name].judge(judge, system)


@pytest.fixture(scope="module")
def hand():
    return Subtraction(by_hand(), "subtraction", cache=CACHE)


@pytest.fixture(scope="module")
def shipped():
    paths = sorted(CHECKPOINTS.glob("*.safetensors"))
    if not paths:
        pytest.skip(f"no checkpoint in {CHECKPOINTS}")
    return Subtraction.load(paths[0], torch.device("cpu"), CACHE)


@pytest.fixture(scope="module")
def swapped(shipped):
    """The shipped model with the logits of '+' and '-' exchanged."""
    module = copy.deepcopy(shipped.module)
    for readout in (module.W_U, module.b_U):
        readout[..., [PLUS, MINUS]] = readout[..., [MINUS, PLUS]]
    return Subtraction(module, "subtraction", cache=CACHE)


@pytest.fixture(scope="module")
def untrained(shipped):
    return shipped.untrained(10_000)


@pytest.fixture(scope="module")
def shuffled(shipped):
    # Shuffled weights are larger than untrained ones, and so are the differences that they give by chance.
    return shipped.shuffled(3)


class TestThePostsAlgorithm:
    def test_is_what_the_model_written_by_hand_computes(self, hand):
        logits = hand.logits(PROBLEMS)
        assert sign_correct(logits, PROBLEMS).all()
        # The neurons' periodic parts round the corner at b - a = 0 off; far from it the lines are exact.
        below = PROBLEMS.gap > 5
        for token, slope in ((PLUS, -SLOPE), (MINUS, SLOPE)):
            expected = DEFAULT[token] + slope * PROBLEMS.gap[below]
            torch.testing.assert_close(logits[below, token], expected, rtol=0.02, atol=1)
            flat = logits[PROBLEMS.gap < -5, token]
            torch.testing.assert_close(flat, torch.full_like(flat, DEFAULT[token]), rtol=0.02, atol=0.02)

    def test_has_the_two_classes_of_neurons(self, hand):
        assert sign_relevant(hand).equal(torch.arange(512) < LINEAR)
        assert periodic(hand).equal(torch.arange(512) >= LINEAR)

    @pytest.mark.parametrize("name", FINDINGS)
    def test_supports_every_claim_of_the_post(self, name, hand, judged):
        judgement = judged(name, hand)
        assert judgement.verdict is SUPPORTED, judgement.reason


ELSEWHERE = [ATTENTION[0], (0.4, 0.1, 0.4, 0.1), *ATTENTION[2:]]
EVEN = [(0.25,) * 4] * 4
VARIANTS = {
    "task/right-sign": {"effects": (0, 0)},
    "default-plus/plus-when-operands-erased": {"default": {PLUS: 6.21, MINUS: 18.6}},
    "default-plus/erased-accuracy-is-the-plus-share": {"default": {PLUS: 6.21, MINUS: 18.6}},
    "default-plus/erased-loss": {"effects": (0, 0)},
    "default-plus/default-is-causal": {"default": {PLUS: -100.0, MINUS: 0.0}},
    "mirrored-logits/minus-rises-below-zero": {"effects": (-1, -1)},
    "mirrored-logits/plus-falls-below-zero": {"effects": (1, 1)},
    "mirrored-logits/cancelling-sum": {"effects": (-1, 0)},
    "mirrored-logits/antialigned-readout": {"effects": (1, 1)},
    "linear-neurons/linear-fits": {"waviness": 20.0},
    "linear-neurons/opposite-slopes": {"reads": [0.5, 1.0, 1.0, 0.5]},
    "linear-neurons/necessary[sign_relevant]": {"effects": (0, 0)},
    "operand-readers/dedicated-heads[a]": {"attention": ELSEWHERE},
    "operand-readers/dedicated-heads-ignore-the-other[a]": {"attention": EVEN},
    "operand-readers/mixed-heads": {"attention": [ATTENTION[0], *ATTENTION[1:3], ATTENTION[0]]},
    "operand-readers/mixed-heads-split-the-rest": {"attention": [(0.6, 0.3, 0.1, 0.0), *ATTENTION[1:]]},
    "operand-readers/opposite-ov-slopes": {"reads": [-0.5, -1.0, 0.5, 0.5]},
}
"""A change to the algorithm that makes the claim of that name false."""


@pytest.mark.parametrize("name", VARIANTS)
def test_a_claim_is_refuted_on_a_model_that_does_otherwise(name, judged):
    changed = Subtraction(by_hand(**VARIANTS[name]), "subtraction", cache=Cache())
    assert judged(name, changed).verdict is REFUTED


def test_rounding_is_no_periodic_part_of_a_neuron(judged):
    plain = Subtraction(by_hand(waviness=0), "subtraction", cache=Cache())
    assert judged("linear-neurons/polysemantic", plain).verdict is REFUTED


class TestSwappedReadout:
    """Exchanging the logits of '+' and '-' turns what a claim says of the signs, and leaves what it says of insides."""

    def test_the_swapped_model_is_nearly_always_wrong(self, swapped):
        assert sign_correct(swapped.logits(PROBLEMS), PROBLEMS).float().mean() < 0.05

    def test_the_default_turns_exactly(self, shipped, swapped, judged):
        before, after = (judged("default-plus/plus-when-operands-erased", system) for system in (shipped, swapped))
        assert after.estimate.value == pytest.approx(-before.estimate.value, rel=1e-5)
        assert REFUTED in (before.verdict, after.verdict)

    @pytest.mark.parametrize(
        ("name", "opposite"),
        [
            ("mirrored-logits/minus-rises-below-zero", "mirrored-logits/plus-falls-below-zero"),
            ("mirrored-logits/plus-falls-below-zero", "mirrored-logits/minus-rises-below-zero"),
        ],
    )
    def test_rising_and_falling_exchange_and_turn(self, name, opposite, shipped, swapped, judged):
        assert judged(name, swapped).estimate.value == pytest.approx(
            -judged(opposite, shipped).estimate.value, abs=1e-4
        )

    @pytest.mark.parametrize(("name", "opposite"), [("plus", "minus"), ("minus", "plus")])
    def test_flatness_above_zero_exchanges(self, name, opposite, shipped, swapped, judged):
        before = judged(f"mirrored-logits/flat-above-zero[{opposite}]", shipped).estimate.value
        assert judged(f"mirrored-logits/flat-above-zero[{name}]", swapped).estimate.value == pytest.approx(
            before, rel=1e-3
        )

    @pytest.mark.parametrize("name", ["necessary[sign_relevant]", "linear-surrogate[plane]", "graded"])
    def test_a_model_without_accuracy_supports_no_claim_about_losing_it(self, name, swapped, judged):
        assert judged(f"linear-neurons/{name}", swapped).verdict is not SUPPORTED

    @pytest.mark.parametrize(
        "name",
        [
            "mirrored-logits/cancelling-sum",
            "mirrored-logits/antialigned-readout",
            "linear-neurons/linear-fits",
            "linear-neurons/opposite-slopes",
            "linear-neurons/periodic-neurons",
            "linear-neurons/polysemantic",
            *(name for name in FINDINGS if name.startswith("operand-readers/") and "minus-sign" not in name),
            "algorithm/mlp-decides",
            "algorithm/closed-form[rectified]",
        ],
    )
    def test_everything_else_is_unchanged(self, name, shipped, swapped, judged):
        before, after = judged(name, shipped), judged(name, swapped)
        assert after.verdict is before.verdict
        assert (after.estimate is None) == (before.estimate is None)
        if before.estimate is not None:
            assert after.estimate.value == pytest.approx(before.estimate.value, rel=1e-4, abs=1e-6)


class TestModelsThatLearnedNothing:
    @pytest.mark.parametrize("name", FINDINGS)
    def test_an_untrained_model_supports_no_claim(self, name, untrained, judged):
        assert judged(name, untrained).verdict is not SUPPORTED

    @pytest.mark.parametrize("name", FINDINGS)
    def test_shuffled_weights_support_no_claim(self, name, shuffled, judged):
        assert judged(name, shuffled).verdict is not SUPPORTED
