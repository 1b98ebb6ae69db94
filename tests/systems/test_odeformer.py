import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import pad

from mechtests import mean, patch, resample, scale, zero
from mechtests.activations.interventions import SiteError
from mechtests.cache import Cache
from mechtests.checkpoints import CheckpointError, Provenance, save
from mechtests.families.ode import Linear, LinearPlane, Logistic, LotkaVolterra
from mechtests.families.ode.odebench import Odebench
from mechtests.instruments.attention import value_weighted
from mechtests.systems import Head, Odeformer, odeformer_package
from mechtests.systems.odeformer import TrajectoryError
from mechtests.systems.odeformer.equations import Written, r2
from mechtests.systems.odeformer.modules import OdeformerModules
from mechtests.systems.odeformer.package import OdeformerConfig, build

package = pytest.importorskip("odeformer.model.transformer", reason="pip install --no-deps odeformer==0.1.7")

SMALL = OdeformerConfig(
    emb_emb_dim=16, enc_emb_dim=32, dec_emb_dim=48, n_enc_layers=2, n_dec_layers=3, n_enc_heads=4, n_dec_heads=4
)
STACKS = {"encoder": "encoder.attentions", "decoder": "decoder.attentions", "cross": "decoder.encoder_attn"}


def fresh(seed=0, config=SMALL):
    torch.manual_seed(seed)
    return Odeformer(OdeformerModules(config))


@pytest.fixture(scope="module")
def model():
    return fresh()


@pytest.fixture(scope="module")
def curves():
    made = Logistic(points=20).sample(40, torch.Generator().manual_seed(0))
    return made[made.valid][:20]


@pytest.fixture(scope="module")
def planes():
    made = LinearPlane(points=12).sample(40, torch.Generator().manual_seed(1))
    return made[made.valid][:5]


def meant(written):
    """The places before each row's end."""
    return torch.arange(written.words.shape[1]) < written.lengths[:, None]


def layer_of(model, name):
    return model.module.get_submodule(name)


def says(model, biases):
    """A twin whose words are drawn by these log-odds, whatever it reads; all others are never written."""
    module = OdeformerModules(SMALL)
    with torch.no_grad():
        module.decoder.proj.weight.zero_()
        module.decoder.proj.bias.fill_(-1e4)
        for word, bias in biases.items():
            module.decoder.proj.bias[model.vocabulary.id(word)] = bias
    return Odeformer(module)


def wordy():
    """A model that writes equations of several lengths: its output projection is drawn apart from its embeddings."""
    module = fresh(6).module
    with torch.no_grad():
        module.decoder.proj.weight = torch.nn.Parameter(torch.randn(module.decoder.proj.weight.shape))
        module.decoder.proj.weight[module.decoder.eos_index] *= 4
        module.embedder.fc.weight *= 8
    model = Odeformer(module)
    model.longest = 12
    return model


# It is the package's model


@pytest.mark.parametrize("kind", ["curves", "planes"])
def test_the_encoder_and_decoder_give_what_the_packages_own_modules_give(model, kind, request):
    trajectories = request.getfixturevalue(kind)
    own = build(SMALL)
    # The shared words of the decoder are listed twice.
    weights = model.module.state_dict()
    own.load_state_dict(weights)
    own.eval()
    ready = trajectories.rescaled()
    pairs = [list(zip(t, x, strict=True)) for t, x in zip(ready.times.numpy(), ready.states.numpy(), strict=True)]
    truth = model.truth(trajectories)
    written = pad(truth.words, (1, 0), value=truth.vocabulary.end)[:, :-1]
    with torch.no_grad():
        embedded, counts = own.embedder(pairs)
        encoded = own.encoder("fwd", x=embedded, lengths=counts, causal=False).transpose(0, 1)
        lengths = truth.lengths
        decoded = own.decoder("fwd", x=written.T, lengths=lengths, causal=True, src_enc=encoded, src_len=counts)
        logits = own.decoder.proj(decoded).transpose(0, 1)
    found = model.activations(model.tokens(trajectories, truth), ["embedder", "encoded", "logits"])
    torch.testing.assert_close(found["embedder"], embedded.transpose(0, 1), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(found["encoded"], encoded, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found["logits"][meant(truth)], logits[meant(truth)], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", ["curves", "planes"])
def test_the_patterns_are_those_that_the_package_works_out_inside(model, kind, request, monkeypatch):
    trajectories = request.getfixturevalue(kind)
    inputs = model.tokens(trajectories, model.truth(trajectories))
    monkeypatch.setattr(package.TransformerModel, "STORE_OUTPUTS", True)
    with torch.inference_mode():
        model.module(*inputs)
    for attentions in STACKS.values():
        for i, layer in enumerate(layer_of(model, attentions)):
            site = f"{attentions}.{i}.pattern"
            torch.testing.assert_close(model.activations(inputs, [site])[site], layer.outputs)


def test_patterns_leave_out_padding_of_trajectories_of_several_lengths(model, curves, monkeypatch):
    points, counts = model.tokens(curves)
    counts = torch.tensor([20, 13] * 10)
    inputs = points, counts, *model.tokens(curves, model.truth(curves))[2:]
    monkeypatch.setattr(package.TransformerModel, "STORE_OUTPUTS", True)
    with torch.inference_mode():
        model.module(*inputs)
    for stack in ("encoder", "cross"):
        for i, layer in enumerate(layer_of(model, STACKS[stack])):
            site = f"{STACKS[stack]}.{i}.pattern"
            found = model.activations(inputs, [site])[site]
            torch.testing.assert_close(found, layer.outputs)
            assert not found[1, ..., 13:].any()


def test_the_embedder_gives_the_same_bits_whatever_else_is_in_the_batch(model, planes, curves):
    for trajectories in (planes, curves):
        points = model.tokens(trajectories)[0]
        with torch.inference_mode():
            whole = model.module.embedder(points)
            for part in (slice(0, 1), slice(1, 4), slice(3, None)):
                assert model.module.embedder(points[part]).equal(whole[part])


# Sites


def test_every_site_has_the_axes_that_it_is_said_to_have(model, planes):
    inputs = model.tokens(planes, model.truth(planes))
    names = {"batch": 5, "point": 12, "word": inputs[2].shape[1], "head": 4, "vocab": len(model.vocabulary)}
    there = [
        site
        for site in (*model.axes, *model.derived)
        if not any(f".{layer}" in site for layer in range(3, 32))
        and not (site.startswith("encoder.") and ".2" in site)
        and not site.startswith("encoder.layer_norm15")
    ]
    found = model.activations(inputs, there)
    for site in there:
        rule = model.derived.get(site)
        axes = (rule.axes if rule else model.axes[site]).split()
        assert found[site].ndim == len(axes), site
        for axis, size in zip(axes, found[site].shape, strict=True):
            assert names.get(axis, size) == size, site
    assert len(there) == 139


def test_value_weighted_patterns_are_patterns_times_the_length_of_values(model, curves):
    site = "encoder.attentions.1"
    found = model.activations(model.tokens(curves), [f"{site}.{name}" for name in ("pattern", "v")])
    expected = value_weighted(found[f"{site}.pattern"], found[f"{site}.v"])
    assert model.encoder_attention(curves, weighting="value")[1].equal(expected)
    assert model.attention(curves, Head(1, 2), weighting="value").equal(expected[:, 2])
    assert model.encoder_attention(curves, layers=[1])[0].equal(found[f"{site}.pattern"])


def test_a_planted_head_that_attends_to_one_point_is_seen_to(curves):
    """Head 3 of layer 0 asks for whatever sticks out along one direction, and one point is made to."""
    planted = fresh(1)
    module = planted.module.encoder.attentions[0]
    with torch.no_grad():
        module.q_lin.weight[24:32] = 0
        module.q_lin.bias[24:32] = 50.0
        module.k_lin.weight[24:32] = 0
        module.k_lin.weight[24:32, 5] = 1.0
        module.k_lin.bias[24:32] = 0
    planted = Odeformer(planted.module)
    there = torch.zeros(20, 20, 32)
    there[:, 7, 5] = 10.0
    edits = [patch("encoder.layer_norm_emb", there)]
    attention = planted.attention(curves, Head(0, 3), *edits)
    assert (attention[..., 7] > 0.99).all()
    others = planted.encoder_attention(curves, *edits, layers=[0])[0][:, :3]
    assert (others[..., 7] < 0.5).all()


@pytest.mark.parametrize("stack", ["encoder", "decoder"])
def test_attention_adds_what_patterns_and_ov_matrices_say(model, planes, stack):
    inputs = model.tokens(planes, model.truth(planes))
    site = f"{STACKS[stack]}.1"
    found = model.activations(inputs, [f"{site}:input", f"{site}.pattern", site])
    layer = layer_of(model, site)
    adds = layer.out_lin.bias + layer.v_lin.bias @ layer.out_lin.weight.T
    for head in range(4):
        adds = adds + found[f"{site}.pattern"][:, head] @ found[f"{site}:input"] @ model.W_OV(1, stack, head)
    torch.testing.assert_close(found[site], adds.expand_as(found[site]), atol=1e-4, rtol=1e-4)
    every = sum(model.W_OV(1, stack, head) for head in range(4))
    torch.testing.assert_close(model.W_OV(1, stack), every)


def test_cross_attention_is_from_words_to_points(model, planes):
    truth = model.truth(planes)
    whole = model.cross_attention(planes, truth)
    assert len(whole) == 3
    assert whole[0].shape == (5, 4, truth.words.shape[1], 12)
    assert model.W_OV(0, "cross").shape == (32, 48)
    one = model.attention(planes, Head(2, 1), stack="cross", equations=truth)
    assert one.equal(whole[2][:, 1])


def test_what_is_not_there_is_said_to_be_missing(model, curves):
    with pytest.raises(SiteError, match="no encoder head L0H4"):
        model.head(Head(0, 4))
    with pytest.raises(SiteError, match=r"no encoder layer 2\. Its layers: 0 to 1"):
        model.head(Head(2, 0))
    with pytest.raises(SiteError, match="no stack 'both'"):
        model.W_OV(0, "both")
    with pytest.raises(SiteError, match="never reached logits"):
        model.activations(model.tokens(curves), ["logits"])


# Interventions


@pytest.mark.parametrize("stack", ["encoder", "decoder", "cross"])
def test_zeroing_a_head_takes_away_what_it_wrote(model, planes, stack):
    inputs = model.tokens(planes, model.truth(planes))
    site, head = f"{STACKS[stack]}.1", Head(1, 2)
    kept = model.activations(inputs, [site, f"{site}.z"])
    found = model.activations(inputs, [site], zero(model.head(head, stack)))[site]
    layer = layer_of(model, site)
    width = layer.dim // 4
    wrote = kept[f"{site}.z"][:, 2] @ layer.out_lin.weight[:, 2 * width : 3 * width].T
    torch.testing.assert_close(found, kept[site] - wrote, atol=1e-5, rtol=1e-4)


def test_mean_and_resample_ablation_patching_and_scaling_of_a_head(model, curves):
    inputs, where = model.tokens(curves), model.head(Head(0, 1))
    own = model.activations(inputs, [where.site, "encoded"])
    for edit in (patch(where, own[where.site]), scale(where, 1.0)):
        assert model.activations(inputs, ["encoded"], edit)["encoded"].equal(own["encoded"])
    for edit in (
        zero(where),
        mean(where, own[where.site]),
        resample(where, own[where.site], torch.Generator().manual_seed(0)),
        scale(where, 0.5),
    ):
        after = model.activations(inputs, ["encoded", where.site], edit)
        assert not after["encoded"].equal(own["encoded"])
        others = [i for i in range(32) if not 8 <= i < 16]
        assert after[where.site][..., others].equal(own[where.site][..., others])


def test_a_sweep_over_heads_gives_the_bits_of_single_passes(model, planes):
    inputs, sites = model.tokens(planes, model.truth(planes)), ["encoded", "logits"]
    places = [model.head(head) for head in model.heads]
    places += [model.head(head, "cross") for head in model.decoder_heads]
    swept = model.sweep(inputs, sites, [zero(where) for where in places])
    alone = fresh()
    for where, found in zip(places, swept, strict=True):
        expected = alone.activations(inputs, sites, zero(where))
        assert all(found[site].equal(expected[site]) for site in sites)


def test_nothing_of_an_intervention_or_of_decoding_stays(curves):
    model = fresh()
    inputs = model.tokens(curves)
    before = {name: one.clone() for name, one in model.module.state_dict().items()}
    plain = model.activations(inputs, ["encoded"])["encoded"]
    model.longest = 10
    written = model.decode(curves)
    model.decode(curves, zero(model.head(Head(0, 0))), zero(model.head(Head(1, 1), "cross")))
    model.beam(curves, 2)
    hooks = [layer._forward_hooks or layer._forward_pre_hooks for layer in model.module.modules()]
    assert not any(hooks)
    assert all(getattr(layer, "cache", None) is None for layer in model.module.modules())
    assert all(one.equal(before[name]) for name, one in model.module.state_dict().items())
    again = Odeformer(model.module)
    again.longest = 10
    assert again.activations(inputs, ["encoded"])["encoded"].equal(plain)
    assert again.decode(curves).words.equal(written.words)


def test_a_point_can_be_left_out(model, planes):
    less = planes.without(3)
    assert less.times.shape == (5, 11)
    assert less.states[:, 3].equal(planes.states[:, 4])
    each = planes.without(torch.tensor([0, 1, 2, 3, 11]))
    assert each.states[0].equal(planes.states[0, 1:])
    assert each.states[4].equal(planes.states[4, :-1])
    whole = model.tokens(planes)[0]
    gone = model.tokens(planes.rescaled().without(0), rescale=False)[0]
    assert gone.equal(whole[:, 1:])
    for point in (12, -1):
        with pytest.raises(IndexError, match="points from 0 to 11"):
            planes.without(point)


def test_points_are_permuted_on_demand_only(model, curves):
    plain = model.tokens(curves)[0]
    mixed = model.tokens(curves, permute=torch.Generator().manual_seed(0))[0]
    assert not mixed.equal(plain)
    for row, other in zip(mixed.tolist(), plain.tolist(), strict=True):
        assert sorted(row) == sorted(other)


# What is written


@pytest.mark.parametrize("edited", [False, True])
def test_greedy_words_are_the_likeliest_ones_of_the_teacher_forced_pass(planes, edited):
    model = wordy()
    edits = [zero(model.head(Head(1, 1))), scale(model.head(Head(2, 3), "cross"), -20.0)] if edited else []
    written = model.decode(planes, *edits)
    logits = model.logits(planes, written, *edits)
    assert logits.argmax(-1)[meant(written)].equal(written.words[meant(written)])
    chances = logits.log_softmax(-1).gather(2, written.words[..., None])[..., 0]
    torch.testing.assert_close(written.scores, (chances * meant(written)).sum(1), atol=1e-4, rtol=1e-4)
    if edited:
        assert not written.words.equal(model.decode(planes).words)


def test_without_equations_the_model_is_forced_on_its_own_words(planes):
    model = wordy()
    written = model.decode(planes)
    assert model.logits(planes).equal(model.logits(planes, written))
    assert model.logit_lens(planes).equal(model.logit_lens(planes, written))


def test_the_logit_lens_ends_in_the_logits(model, planes):
    truth = model.truth(planes)
    lens = model.logit_lens(planes, truth)
    assert lens.shape == (3, 5, truth.words.shape[1], len(model.vocabulary))
    torch.testing.assert_close(lens[-1][meant(truth)], model.logits(planes, truth)[meant(truth)])
    assert model.logit_lens(planes, truth, layers=[1])[0].equal(lens[1])
    assert not lens[0].allclose(lens[1])


def test_the_logit_lens_sees_a_word_from_the_layer_on_that_writes_it(curves):
    """Layer 1 is made to write one word into a residual stream that has no other way to it."""
    planted = fresh(2).module
    word = 200
    with torch.no_grad():
        planted.decoder.embeddings.weight[:, 0] = 0
        planted.decoder.embeddings.weight[word] = 0
        planted.decoder.embeddings.weight[word, 0] = 30.0
        planted.decoder.layer_norm2[0].weight[0] = 0
        planted.decoder.ffns[1].lin2.bias[0] = 30.0
    planted = Odeformer(planted)
    lens = planted.logit_lens(curves, planted.truth(curves)).argmax(-1)
    there = meant(planted.truth(curves))
    assert not (lens[0] == word)[there].any()
    assert (lens[1] == word)[there].all()


def test_sampling_at_no_temperature_is_greedy_and_else_as_likely_as_said(model, curves):
    cold = wordy()
    drawn = cold.sample(curves, 1, 1e-6, torch.Generator().manual_seed(0))[0]
    assert drawn.words.equal(cold.decode(curves).words)
    coin = says(model, {"x_0": math.log(3.0), "<EOS>": 0.0})
    coin.longest = 1
    words = torch.cat([one.words[:, 0] for one in coin.sample(curves, 40, 1.0, torch.Generator().manual_seed(1))])
    assert (words == coin.vocabulary.id("x_0")).double().mean().item() == pytest.approx(0.75, abs=0.05)
    # At half the temperature the odds are squared.
    words = torch.cat([one.words[:, 0] for one in coin.sample(curves, 40, 0.5, torch.Generator().manual_seed(2))])
    assert (words == coin.vocabulary.id("x_0")).double().mean().item() == pytest.approx(0.9, abs=0.05)


def test_a_beam_of_one_is_greedy(planes):
    model = wordy()
    written = model.decode(planes)
    assert model.beam(planes, 1)[0].words.equal(written.words)
    assert len(set(written.lengths.tolist())) > 1
    assert 1 not in written.lengths


def test_a_wide_beam_finds_the_best_of_all_equations(planes):
    """Three words can be written, by a model that looks at what it wrote: every equation of up to four is tried."""
    model = fresh(4)
    vocabulary = model.vocabulary
    named = ["<EOS>", "x_0", "sin", "id"]
    allowed = torch.tensor([vocabulary.id(word) for word in named])
    with torch.no_grad():
        model.module.decoder.proj.bias.fill_(-1e4)
        model.module.decoder.proj.bias[allowed] = 0.0
        model.module.decoder.embeddings.weight[allowed] *= 4
    model = Odeformer(model.module)
    model.longest = 4
    best = model.beam(planes, 300)[:3]
    end, every = vocabulary.id("<EOS>"), []
    for many in range(4):
        short = itertools.product(allowed[1:].tolist(), repeat=many)
        every += [[*words, end, *[vocabulary.pad] * (3 - many)] for words in short]
    every += [list(words) for words in itertools.product(allowed[1:].tolist(), repeat=4)]
    scores = []
    for row in range(len(planes)):
        one = planes[row : row + 1]
        words = Written(torch.tensor(every), vocabulary)
        chances = model.logits(one[torch.zeros(len(every), dtype=torch.long)], words).log_softmax(-1)
        chances = chances.gather(2, words.words[..., None])[..., 0] * meant(words)
        # The start mark counts and the end mark does not; what was cut off has four words and the start.
        ended = (words.words == end).any(1)
        scores.append(chances.sum(1) / torch.where(ended, words.lengths, 5))
    scores = torch.stack(scores)
    top = scores.topk(3, 1)
    for place_, found in enumerate(best):
        torch.testing.assert_close(found.scores, top.values[:, place_], atol=1e-4, rtol=1e-4)
        assert found.words.tolist() == [every[i] for i in top.indices[:, place_].tolist()]


def test_edits_at_the_logits_site_are_refused_where_words_are_chosen(model, curves):
    with pytest.raises(SiteError, match=r"chosen from decoder\.proj"):
        model.decode(curves, zero("logits"))
    model = fresh()
    model.longest = 5
    word = model.vocabulary.id("sin")
    never = torch.zeros(len(model.vocabulary))
    never[word] = 1e4
    written = model.decode(curves, replace_with(never))
    assert (written.words == word).all()


def replace_with(logits):
    return patch("decoder.proj", logits.expand(20, 1, -1))


# Equations


def test_true_equations_are_read_back_and_fit(model):
    for family in (Linear(points=20), LinearPlane(points=20), LotkaVolterra(points=20)):
        made = family.sample(12, torch.Generator().manual_seed(0))
        made = made[made.valid]
        truth = model.truth(made)
        assert truth.valid.all()
        assert (truth.dimensions == made.dimension).all()
        fits = model.r2(truth, made)
        assert (fits > 0.9).double().mean() >= 0.9, type(family).__name__
        ready = made.rescaled()
        slopes = torch.from_numpy(truth.right_hand_side(0)(ready.states[0].numpy()))
        # Coefficients have three digits.
        torch.testing.assert_close(
            slopes, ready.derivatives[0], atol=0.05 * ready.derivatives[0].abs().max(), rtol=0.05
        )


def test_a_wrong_sign_does_not_fit(model):
    made = Linear(points=20).sample(10, torch.Generator().manual_seed(0))
    truth = model.truth(made)
    plus, minus = model.vocabulary.id("+"), model.vocabulary.id("-")
    words = truth.words.clone()
    words[truth.words == plus] = minus
    words[truth.words == minus] = plus
    wrong = Written(words, truth.vocabulary)
    assert (model.r2(wrong, made) < 0.5).all()
    assert [wrong.first_sign(i) for i in range(10)] != [truth.first_sign(i) for i in range(10)]


def words_of(model, *equations):
    rows = [[model.vocabulary.id(word) for word in equation.split()] for equation in equations]
    longest = max(map(len, rows))
    return Written(
        torch.tensor([row + [model.vocabulary.pad] * (longest - len(row)) for row in rows]), model.vocabulary
    )


def test_what_cannot_be_read_is_told_from_what_can(model, curves):
    written = words_of(
        model,
        "mul - N500 E-3 x_0 <EOS>",
        "mul - N500 E-3 x_0 x_0 <EOS>",
        "mul - N500 E-3 <EOS>",
        "<EOS>",
        "add x_0 | x_1 <EOS>",
        "x_1 | x_0 <EOS>",
        "sin x_0 x_0 x_0 x_0 x_0",
    )
    assert written.valid.tolist() == [True, False, False, False, False, True, False]
    assert written.dimensions.tolist() == [1, 0, 0, 0, 0, 2, 0]
    assert written.text(0) == "-0.5 * x_0"
    assert written.text(1) is None
    assert written.right_hand_side(1) is None
    assert written.right_hand_side(0)(np.array([[2.0], [4.0]])).tolist() == [[-1.0], [-2.0]]
    assert written.first_sign(0) == "-"
    assert written.first_sign(5) is None
    assert written.named(0) == ["mul", "-", "N500", "E-3", "x_0"]
    assert written.lengths.tolist() == [6, 7, 5, 1, 5, 4, 7]
    fits = r2(written, curves[:7].rescaled())
    assert fits[1:].tolist() == [-math.inf] * 6
    assert math.isfinite(fits[0])
    assert written[torch.tensor([5, 0])].text(1) == "-0.5 * x_0"


def test_a_system_that_cannot_be_solved_fits_as_badly_as_can_be(model, curves):
    stiff = words_of(model, *["pow x_0 INT+ 9 <EOS>"] * 2)
    assert r2(stiff, curves[:2].rescaled()).tolist() == [-math.inf] * 2
    with pytest.raises(ValueError, match="one system a trajectory, found 2 and 3"):
        r2(stiff, curves[:3])


def test_a_system_that_has_no_words_is_refused(model):
    other = Odebench(number=1, points=20).sample(1, torch.Generator().manual_seed(0))
    with pytest.raises(TrajectoryError, match="no sum of terms"):
        model.truth(other)


# Bad input


def bad(trajectories, **parts):
    return replace(trajectories, **parts)


def with_value(tensor, index, value):
    changed = tensor.clone()
    changed[index] = value
    return changed


BAD = {
    "one point": (lambda t: t.at(torch.zeros(20, 1, dtype=torch.long)), "2 to 4,096 points a trajectory, found 1"),
    "no trajectory": (lambda t: t[:0], "found none"),
    "NaN": (lambda t: bad(t, states=with_value(t.states, (4, 3, 0), math.nan)), "NaN or infinity in trajectory 4"),
    "infinite time": (lambda t: bad(t, times=with_value(t.times, (2, 19), math.inf)), "infinity in trajectory 2"),
    "unsorted times": (lambda t: bad(t, times=t.times.flip(1)), "unsorted or repeated ones in trajectory 0"),
    "repeated times": (lambda t: bad(t, times=with_value(t.times, (5, 3), t.times[5, 2])), "ones in trajectory 5"),
    "seven dimensions": (lambda t: bad(t, states=t.states.expand(-1, -1, 7)), "1 to 2 dimensions.*found 7"),
    "a million points": (
        lambda t: bad(t[:1], times=torch.arange(1e6)[None], states=torch.ones(1, 1_000_000, 1)),
        "points a trajectory, found 1,000,000",
    ),
    "masked": (lambda t: bad(t, fault=with_value(t.fault, 3, 1)), "trajectory 3 BLOWN_UP"),
    "shapes": (lambda t: bad(t, times=t.times[:, :5]), r"found \(20, 5\) and \(20, 20, 1\)"),
    "too large": (lambda t: bad(t, states=with_value(t.states, (0, 3, 0), 1e200)), "numbers below 1e103"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_gets_one_clear_error(model, curves, kind):
    change, message = BAD[kind]
    for ask in (model.tokens, model.decode, model.encoder_attention):
        with pytest.raises(ValueError, match=message):
            ask(change(curves))


def test_equations_must_be_as_many_as_trajectories(model, curves):
    with pytest.raises(TrajectoryError, match="one system a trajectory, found 20 for 3"):
        model.logits(curves[:3], model.truth(curves))


# Checkpoints and twins


@pytest.fixture
def saved(tmp_path, model):
    path = tmp_path / "small.safetensors"
    half = OdeformerModules(SMALL)
    half.load_state_dict(model.module.state_dict())
    save(path, half.half(), Provenance("odeformer", vars(SMALL).copy(), "test", seed=3, step=7))
    return path


def loaded(path):
    return Odeformer.load(path, torch.device("cpu"), Cache())


def test_a_checkpoint_in_half_precision_is_judged_in_single(saved, model, curves):
    found = loaded(saved)
    assert found.checkpoint.provenance.step == 7
    weights = dict(found.module.named_parameters())
    assert all(weight.dtype == torch.float32 for weight in weights.values())
    for name, weight in model.module.named_parameters():
        assert weights[name].equal(weight.half().float())
    assert found.decode(curves[:2]).words.shape[0] == 2


def test_files_of_other_systems_and_sizes_are_refused(tmp_path, model):
    path = tmp_path / "other.safetensors"
    save(path, model.module, Provenance("subtraction", {}))
    with pytest.raises(CheckpointError, match="holds a model of the system 'subtraction'"):
        loaded(path)
    save(path, model.module, Provenance("odeformer", {"enc_emb_dim": 64, "width": 3}))
    with pytest.raises(CheckpointError, match=r"not one of the system odeformer.*'width'"):
        loaded(path)
    save(path, model.module, Provenance("odeformer", {**vars(SMALL), "n_enc_heads": 5}))
    with pytest.raises(CheckpointError, match=r"not one of the system odeformer.*multiple of n_heads"):
        loaded(path)
    save(path, model.module, Provenance("odeformer", {**vars(SMALL), "enc_emb_dim": 64}))
    with pytest.raises(CheckpointError, match=r"wrong architecture\. Weight"):
        loaded(path)


def test_without_the_package_the_reason_and_the_command_are_told(saved, monkeypatch):
    def missing():
        raise odeformer_package.OdeformerMissingError("install it with: pip install --no-deps odeformer==0.1.7")

    monkeypatch.setattr(odeformer_package, "_package", missing)
    with pytest.raises(CheckpointError, match="pip install --no-deps odeformer"):
        loaded(saved)


def test_untrained_twins_are_drawn_as_before_training_and_shuffled_ones_have_the_same_numbers(model, curves):
    twin, again = model.untrained(5), fresh(5)
    assert twin.module.encoder.ffns[0].lin1.weight.equal(again.module.encoder.ffns[0].lin1.weight)
    assert twin.module.decoder.proj.weight is twin.module.decoder.embeddings.weight
    assert twin != model
    mixed = model.shuffled(0)
    weight, other = model.module.embedder.fc.weight, mixed.module.embedder.fc.weight
    assert not other.equal(weight)
    assert other.flatten().sort().values.equal(weight.flatten().sort().values)
    assert mixed.module.decoder.proj.weight is mixed.module.decoder.embeddings.weight
    assert mixed.encoder_attention(curves)[0].shape == model.encoder_attention(curves)[0].shape


def test_asking_twice_runs_once(curves):
    model = fresh()
    model.encoder_attention(curves, weighting="value")
    passes = model.cache.passes
    model.encoder_attention(curves, weighting="value")
    model.attention(curves, Head(1, 0), weighting="value")
    assert model.cache.passes == passes
