"""The claim files of the ODEFormer, on planted models of which the right verdicts are known.

A planted model is a small ODEFormer with weights as before training, that attends, or writes, as a test lays down. What
is laid down is a function of what the model reads: the points' words, read back as times and states.
"""

import re
from dataclasses import replace

import pytest
import torch

from mechtests import Verdict, findings
from mechtests.judging.judge import Judge, Settings
from mechtests.systems import Odeformer
from mechtests.systems.odeformer.modules import OdeformerModules
from mechtests.systems.odeformer.package import OdeformerConfig, environment

pytest.importorskip("odeformer.model.transformer", reason="pip install --no-deps odeformer==0.1.7")

from claims.odeformer import (
    test_attention_sinks,
    test_derivative_head,
    test_extremum_heads,
    test_mat_point,
    test_negative_ov_diagonal,
    test_sign_prediction,
)
from claims.odeformer.circuits import without
from claims.odeformer.inputs import HARMONICS

MODULES = (
    test_derivative_head,
    test_sign_prediction,
    test_attention_sinks,
    test_mat_point,
    test_extremum_heads,
    test_negative_ov_diagonal,
)
FINDINGS = {str(finding): finding for finding in findings(*MODULES)}
SUPPORTED, REFUTED, UNTESTED = Verdict.SUPPORTED, Verdict.REFUTED, Verdict.UNTESTED
SIZES = OdeformerConfig(emb_emb_dim=8, enc_emb_dim=32, dec_emb_dim=32)
"""The layers and heads of the published model, at a width that costs nothing."""


def small(seed=0, config=SIZES):
    torch.manual_seed(seed)
    return OdeformerModules(config)


class Planted(Odeformer):
    """An ODEFormer whose attention, at the sites that a plan names, and whose logit lens are laid down.

    Attributes:
        plan: patterns of sites, the heads there, and their attention as a function of times, states and words.
        lens: from a layer and whether each trajectory rises, logits that are added to none.
    """

    def __init__(self, name, plan=(), lens=None):
        super().__init__(small(), identity=f"planted:{name}")
        self.plan, self.lens = plan, lens

    def _twin(self, module, identity):
        twin = super()._twin(module, identity)
        twin.plan, twin.lens = (), None
        return twin

    def activations(self, inputs, sites, *edits, **arguments):
        found = dict(super().activations(inputs, sites, *edits, **arguments))
        for pattern, heads, attend in self.plan:
            for site, attention in found.items():
                if re.fullmatch(pattern, str(site)):
                    weights = attend(*self.read(inputs[0]), inputs[2] if len(inputs) > 2 else None)
                    planted = (weights / weights.sum(-1, keepdim=True)).to(attention)
                    found[site] = attention.clone()
                    found[site][:, heads] = planted[:, None].expand_as(attention[:, heads])
        return found

    def logit_lens(self, trajectories, equations=None, *edits, layers=None):
        found = super().logit_lens(trajectories, equations, *edits, layers=layers)
        if self.lens is None:
            return found
        _, states = self.read(trajectories[0])
        rising = states[:, -1, 0] > states[:, 0, 0]
        laid = torch.zeros_like(found)
        for place, layer in enumerate(layers if layers is not None else range(len(found))):
            for sign, logits in self.lens(layer, rising).items():
                laid[place, :, :, self.vocabulary.id(sign)] = logits[:, None]
        return laid

    def read(self, points):
        """Times ``[trajectory point]`` and states ``[trajectory point dimension]``, from the words of points."""
        words = environment(self.module.config).float_id2word
        numbers = torch.tensor([_number(words[i]) for i in range(len(words))], dtype=torch.float64)
        sign, digits, exponent = numbers[points].unflatten(-1, (-1, 3)).unbind(-1)
        values = sign * digits * 10.0**exponent
        dimension = int((~values.isnan()).all(0).all(0).sum()) - 1
        return values[..., 0], values[..., 1 : 1 + dimension]


def _number(word):
    if word in ("+", "-"):
        return 1.0 if word == "+" else -1.0
    return float(word[1:]) if word[:1] in "NE" and word[1:].lstrip("-").isdigit() else float("nan")


@pytest.fixture(scope="module")
def verdict():
    """The verdict of a finding, named as in the report, on a system, by the region alone or with its controls."""
    judge = Judge(Settings())

    def judged(name, system, controls=False):
        finding = FINDINGS[name]
        claim = finding.claim if controls else replace(finding.claim, controls=())
        return judge.judge(claim, finding.body, {"odeformer": system, **finding.params}, finding.params).verdict

    return judged


@pytest.fixture(scope="module")
def null():
    """The same architecture with nothing planted."""
    return Planted("nothing")


# ---------------------------------------------------------------------------------------------------------------------
# Attention that follows the slope


def slope(times, states, _words):
    """Attention to each point by its slope, from all queries alike."""
    steepness = torch.stack(
        [
            torch.stack([torch.gradient(x, spacing=(t,))[0] for x in state.T], -1).norm(dim=-1)
            for t, state in zip(times, states, strict=True)
        ]
    )
    return steepness[:, None] + 1e-12


def flat(times, _states, _words):
    return torch.ones_like(times)[:, None]


def curve(times, states, _words):
    return states[:, None, :, 0].abs()


def neighbours(times, _states, _words):
    """A stencil: each point attends to the two beside it."""
    n = times.shape[1]
    places = torch.arange(n)
    return ((places[:, None] - places).abs() == 1).double().expand(len(times), n, n)


@pytest.fixture(scope="module")
def follows_slope():
    return Planted("slope", [(r"encoder\.attentions\.2\.(value_weighted|pattern)", [7], slope)])


OF_THE_SLOPE = [
    "derivative-head/attends-to-steep-region[L2H7]",
    "derivative-head/attends-to-steep-region[steepest_head]",
    "derivative-head/follows-the-transition[L2H7-centre]",
    "derivative-head/follows-the-transition[L2H7-width]",
    "derivative-head/stands-out[L2H7]",
    "derivative-head/one-head",
]


class TestAttentionThatFollowsTheSlope:
    @pytest.mark.parametrize("name", OF_THE_SLOPE)
    def test_supports_the_claims_about_it(self, name, follows_slope, verdict):
        assert verdict(name, follows_slope) is SUPPORTED

    def test_stands_clear_of_untrained_twins(self, follows_slope, verdict):
        assert verdict(OF_THE_SLOPE[0], follows_slope, controls=True) is SUPPORTED

    @pytest.mark.parametrize("name", OF_THE_SLOPE)
    def test_without_it_they_are_not_supported(self, name, null, verdict):
        assert verdict(name, null) is not SUPPORTED

    def test_flat_attention_refutes_it(self, verdict):
        system = Planted("flat", [(r"encoder\.attentions\.2\.value_weighted", [7], flat)])
        assert verdict(OF_THE_SLOPE[0], system) is REFUTED

    def test_is_a_window_and_no_stencil(self, follows_slope, verdict):
        stencil = Planted("stencil", [(r"encoder\.attentions\.2\.pattern", [7], neighbours)])
        name = "derivative-head/finite-difference[L2H7]"
        assert verdict(name, stencil) is SUPPORTED
        assert verdict(name, follows_slope) is REFUTED


def test_a_head_that_attends_by_state_traces_falling_sigmoids(null, verdict):
    tracer = Planted("curve", [(r"encoder\.attentions\.0\.value_weighted", [8], curve)])
    for head in ("L0H8", "the head found"):
        name = f"derivative-head/tracing-head[{head}-received]"
        assert verdict(name, tracer) is SUPPORTED
        assert verdict(name, null) is not SUPPORTED


@pytest.mark.parametrize(("extremum", "side"), [("minimum", -1), ("maximum", 1)])
def test_a_head_that_attends_to_an_extremum_is_found(extremum, side, null, verdict):
    def attend(_times, states, _words):
        return (4 * side * states[:, None, :, 1] / states[..., 1].abs().amax(1)[:, None, None]).exp()

    system = Planted(extremum, [(r"encoder\.attentions\.0\.value_weighted", [3], attend)])
    assert verdict(f"derivative-head/extremum-heads[{extremum}]", system) is SUPPORTED
    assert verdict(f"derivative-head/extremum-heads[{extremum}]", null) is not SUPPORTED


# ---------------------------------------------------------------------------------------------------------------------
# A fixed point of the input

CROSS = r"decoder\.encoder_attn\.\d+\.(value_weighted|pattern)"


def at_time(times, _states, _words):
    """Attention to the time of the 15th of 25 points, and a little around it."""
    return (-((times - 6.25) ** 2) / 0.2).exp()[:, None] + 1e-3


def at_index(times, _states, _words):
    """Attention to what stands at three fifths of the input."""
    n = times.shape[1]
    places = torch.arange(n, dtype=torch.float64)
    return (-((places - round(0.6 * n) + 1) ** 2) / 2).exp().expand(len(times), 1, n) + 1e-3


OF_THE_POINT = [
    *(f"mat-point/exists[{weighting}]" for weighting in ("plain", "value")),
    *(f"mat-point/at-sixty-percent[{points}]" for points in (15, 25, 40, 60)),
    *(f"mat-point/same-across-systems[{family}]" for family in ("harmonic", "sigmoid", "plane")),
    "mat-point/gradual",
    "mat-point/time-not-value[the_mat_point]",
    "mat-point/keeps-its-status-at-0-05",
]
BY_TIME = ["mat-point/not-the-index[permuted]", "mat-point/time-not-index"]


@pytest.fixture(scope="module")
def sixty_percent():
    return Planted("time", [(CROSS, slice(None), at_time)])


@pytest.fixture(scope="module")
def sixtieth_place():
    return Planted("index", [(CROSS, slice(None), at_index)])


class TestAFixedPoint:
    @pytest.mark.parametrize("name", [*OF_THE_POINT, *BY_TIME])
    def test_in_time_supports_the_claims_about_it(self, name, sixty_percent, verdict):
        assert verdict(name, sixty_percent) is SUPPORTED

    @pytest.mark.parametrize("name", [*OF_THE_POINT, BY_TIME[1]])
    def test_without_it_they_are_not_supported(self, name, null, verdict):
        """Also a model that never trained has a point that gets most attention: its own twins have one as well."""
        assert verdict(name, null, controls=True) is not SUPPORTED

    @pytest.mark.parametrize("name", BY_TIME)
    def test_by_place_is_told_from_one_by_time(self, name, sixtieth_place, verdict):
        assert verdict("mat-point/at-sixty-percent[25]", sixtieth_place) is SUPPORTED
        assert verdict(name, sixtieth_place) is REFUTED

    def test_that_ignores_states_never_loses_its_status(self, sixty_percent, verdict):
        assert verdict("mat-point/loses-its-status-at-0-1", sixty_percent) is REFUTED


def test_a_point_without_value_is_a_sink(null, verdict):
    for stack, site in (("encoder", r"encoder\.attentions\.1"), ("cross", r"decoder\.encoder_attn\.4")):
        sink = Planted(stack, [(site + r"\.pattern", [5], at_time), (site + r"\.value_weighted", [5], flat)])
        name = f"attention-sinks/sinks-exist[in_its_place-{stack}]"
        assert verdict(name, sink) is SUPPORTED
        assert verdict(name, null) is not SUPPORTED


# ---------------------------------------------------------------------------------------------------------------------
# Extrema in cross-attention


def extreme(states):
    """How near each point is to an extremum of each dimension: 1 there, 0 in the middle of the range."""
    high, low = states.amax(1, keepdim=True), states.amin(1, keepdim=True)
    return (2 * (states - low) / (high - low) - 1).abs()


def both_alike(_times, states, _words):
    near = extreme(states) ** 20
    return near.sum(-1)[:, None] + 1e-3


def each_its_own(_times, states, words):
    near = extreme(states) ** 20
    divider = Planted("words").vocabulary.id("|")
    second = (words == divider).int().cumsum(1).bool()
    return torch.where(second[..., None], near[:, None, :, 1], near[:, None, :, 0]) + 1e-3


@pytest.fixture(scope="module")
def marks_extrema():
    site = r"decoder\.encoder_attn\.{}\.pattern"
    return Planted("extrema", [(site.format(5), [12], both_alike), (site.format(6), [4], each_its_own)])


OF_EXTREMA = [
    *(f"extremum-heads/marks-extrema[{head}]" for head in ("L5H12", "L6H4", "uniting_head", "separating_head")),
    *(f"extremum-heads/separates-dimensions[{head}]" for head in ("L6H4", "separating_head")),
]


class TestExtremumHeads:
    @pytest.mark.parametrize("name", OF_EXTREMA)
    def test_support_the_claims_about_them(self, name, marks_extrema, verdict):
        assert verdict(name, marks_extrema) is SUPPORTED

    @pytest.mark.parametrize("name", OF_EXTREMA)
    def test_without_them_they_are_not_supported(self, name, null, verdict):
        assert verdict(name, null) is not SUPPORTED

    def test_one_that_separates_is_told_from_one_that_does_not(self, marks_extrema, verdict):
        claim = "extremum-heads/without-separating[L5H12]"
        assert verdict(claim, marks_extrema) is SUPPORTED
        other = r"decoder\.encoder_attn\.5\.pattern"
        assert verdict(claim, Planted("separates", [(other, [12], each_its_own)])) is REFUTED


# ---------------------------------------------------------------------------------------------------------------------
# Signs


def corrected(layer, rising):
    """'+' for all from layer 6, and '−' in its place for falling systems from layer 8, by the logit of '+' alone."""
    minus = torch.full_like(rising, 5.0 if layer >= 6 else -5.0, dtype=torch.float32)
    plus = minus + (1.0 if layer < 8 else torch.where(rising, 3.0, -3.0))
    return {"+": plus, "-": minus}


def at_once(layer, rising):
    """The right sign from layer 6, by both logits."""
    lead = torch.where(rising, 5.0, -5.0) * (layer >= 6)
    return {"+": lead, "-": -lead}


OF_SIGNS = [
    "sign-prediction/plus-first[6]",
    "sign-prediction/plus-first[plus_layer]",
    "sign-prediction/minus-late[8]",
    "sign-prediction/minus-after-plus",
    "sign-prediction/one-logit[plus]",
]


@pytest.mark.parametrize("name", OF_SIGNS)
def test_a_sign_that_is_corrected_late_is_told_from_one_that_is_right_at_once(name, null, verdict):
    assert verdict(name, Planted("corrected", lens=corrected)) is SUPPORTED
    assert verdict(name, Planted("at once", lens=at_once)) is REFUTED
    assert verdict(name, null) is not SUPPORTED


def default_plus(by):
    """A decoder whose bias prefers one sign, whatever it is told."""
    module = small()
    module.decoder.proj.weight = torch.nn.Parameter(torch.zeros_like(module.decoder.proj.weight))
    system = Odeformer(module, identity=f"default:{by}")
    module.decoder.proj.bias.data[system.vocabulary.id("+")] += by
    return Odeformer(module, identity=f"default:{by}")


@pytest.mark.parametrize("ablation", ["zeroed", "averaged"])
def test_a_default_sign_is_seen_where_nothing_is_told(ablation, verdict):
    name = f"sign-prediction/plus-is-default[{ablation}]"
    assert verdict(name, default_plus(3.0)) is SUPPORTED
    assert verdict(name, default_plus(-3.0)) is REFUTED


def test_a_head_that_attends_by_size_is_a_direction_head(null, verdict):
    system = Planted("size", [(r"decoder\.encoder_attn\.7\.pattern", [2], curve)])
    assert verdict("sign-prediction/direction-heads", system) is SUPPORTED
    assert verdict("sign-prediction/direction-heads", null) is not SUPPORTED


def test_a_token_that_the_vocabulary_lacks_leaves_its_claim_untested(null):
    judgement = FINDINGS["sign-prediction/sampling-default[the_reports_words]"].judge(Judge(Settings()), null)
    assert judgement.verdict is UNTESTED
    assert "N1010" in judgement.reason


@pytest.mark.parametrize("name", ["derivative-head/stands-out[L2H7]", "mat-point/forms-from-layer-2"])
def test_a_model_without_the_layer_leaves_its_claim_untested(name):
    shallow = Odeformer(small(config=replace(SIZES, n_enc_layers=2, n_dec_layers=2)))
    judgement = FINDINGS[name].judge(Judge(Settings()), shallow)
    assert judgement.verdict is UNTESTED
    assert "has" in judgement.reason


# ---------------------------------------------------------------------------------------------------------------------
# Weights


def with_diagonals(*depths):
    """Encoder layers whose W_OV is ``depth`` times the identity, and noise."""
    module = small()
    generator = torch.Generator().manual_seed(1)
    for attention, depth in zip(module.encoder.attentions, depths, strict=True):
        n = attention.dim
        attention.v_lin.weight.data.copy_(torch.eye(n))
        attention.out_lin.weight.data.copy_(depth * torch.eye(n) + 0.01 * torch.randn(n, n, generator=generator))
    return Odeformer(module, identity=f"diagonals:{depths}")


NEGATIVE = [
    f"negative-ov-diagonal/{claim}[{layer}]" for claim in ("negative", "copies-negatively") for layer in range(4)
]


class TestDiagonals:
    @pytest.mark.parametrize("name", NEGATIVE)
    def test_that_are_negative_support_the_claim_and_others_do_not(self, name, verdict):
        assert verdict(name, with_diagonals(-0.1, -0.2, -0.3, -0.4)) is SUPPORTED
        assert verdict(name, with_diagonals(0, 0, 0, 0)) is not SUPPORTED
        assert verdict(name, with_diagonals(0.1, 0.2, 0.3, 0.4)) is REFUTED

    def test_that_deepen_are_told_from_those_that_do_not(self, verdict):
        name = "negative-ov-diagonal/deepens"
        assert verdict(name, with_diagonals(-0.1, -0.2, -0.3, -0.4), controls=True) is not REFUTED
        assert verdict(name, with_diagonals(-0.4, -0.3, -0.2, -0.1)) is REFUTED
        assert verdict(name, with_diagonals(-0.1, -0.3, -0.2, -0.4)) is REFUTED

    def test_removed_leave_attention_without_them(self):
        """What is taken away is what the diagonal adds: a layer that is all diagonal adds nothing but its bias."""
        system = with_diagonals(-0.1, -0.2, -0.3, -0.4)
        for attention, depth in zip(system.module.encoder.attentions, (-0.1, -0.2, -0.3, -0.4), strict=True):
            attention.out_lin.weight.data.copy_(depth * torch.eye(attention.dim))
        system = Odeformer(system.module, identity="all diagonal")
        inputs = system.tokens(HARMONICS.sample(4, torch.Generator().manual_seed(0)))
        edits = without(system, inputs, "diagonal")
        for layer, attention in enumerate(system.module.encoder.attentions):
            site = f"encoder.attentions.{layer}"
            left = system.activations(inputs, [site], *edits)[site]
            constant = attention.out_lin(attention.v_lin.bias)
            torch.testing.assert_close(left, constant.expand_as(left), atol=1e-6, rtol=1e-5)
