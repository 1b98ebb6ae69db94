"""Invariants: what holds for every checkpoint, whatever it has learned. These are no claims, and none may fail."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from claims.odeformer.inputs import with_equations
from mechtests import patch, scale, zero
from mechtests.families.ode import Exponential, LinearPlane, Logistic
from mechtests.instruments import relative_error

POINTS = 15
LAYERS = st.integers(0, 3)
ROUNDING = 1e-4
"""What float32 may lose, as a share of the greatest entry."""
STACKS = ("encoder", "decoder", "cross")

few = settings(deadline=None, derandomize=True, max_examples=10)
families = Logistic(points=POINTS), Exponential(points=POINTS), LinearPlane(points=POINTS)


def has_tokens(trajectory):
    """Whether the numbers of a trajectory and of its equations are of a size that there are tokens for."""
    ready = trajectory.rescaled()
    numbers = torch.cat([ready.states.flatten(), ready.system.coefficients.flatten()])
    return bool(trajectory.valid.all()) and bool((numbers.abs() < 1e30).all())


trajectories = st.one_of([family.strategy() for family in families]).filter(has_tokens)
orders = st.permutations(range(POINTS))


def read(odeformer, inputs, site, *edits):
    """The activation at one site."""
    return odeformer.activations(inputs, [site], *edits)[site]


@few
@given(trajectories, orders)
def test_the_encoder_moves_with_its_points_when_they_are_permuted(odeformer, trajectory, order):
    points, counts = odeformer.tokens(trajectory)
    whole = read(odeformer, (points, counts), "encoded")
    assert relative_error(read(odeformer, (points[:, order], counts), "encoded"), whole[:, order]) <= ROUNDING


@few
@given(trajectories, orders)
def test_the_order_of_points_does_not_change_the_logits(odeformer, trajectory, order):
    points, *rest = with_equations(odeformer, trajectory)
    assert relative_error(odeformer.output(points[:, order], *rest), odeformer.output(points, *rest)) <= ROUNDING


@few
@given(trajectories, st.sampled_from(STACKS), LAYERS)
def test_attention_sums_to_one(odeformer, trajectory, stack, layer):
    site = odeformer.attention_site(layer, "pattern", stack)
    pattern = read(odeformer, with_equations(odeformer, trajectory), site)
    torch.testing.assert_close(pattern.sum(-1), torch.ones_like(pattern.sum(-1)))
    assert (pattern >= 0).all()


@few
@given(trajectories, LAYERS)
def test_a_token_attends_to_no_later_token(odeformer, trajectory, layer):
    site = odeformer.attention_site(layer, "pattern", "decoder")
    assert not read(odeformer, with_equations(odeformer, trajectory), site).triu(1).any()


@few
@given(trajectories, LAYERS)
def test_heads_write_what_their_patterns_gather(odeformer, trajectory, layer):
    """The patterns, which the package keeps to itself, are the ones that it uses."""
    for stack in STACKS:
        sites = [odeformer.attention_site(layer, part, stack) for part in ("pattern", "v", "z")]
        pattern, v, z = odeformer.activations(with_equations(odeformer, trajectory), sites).values()
        assert relative_error(pattern @ v, z) <= ROUNDING


@few
@given(trajectories)
def test_captured_logits_are_the_plain_ones_bit_for_bit(odeformer, trajectory):
    inputs = with_equations(odeformer, trajectory)
    sites = ["logits", "encoder.attentions.1.pattern", "decoder.layer_norm2.0", "embedder"]
    assert odeformer.activations(inputs, sites)["logits"].equal(odeformer.output(*inputs))


@few
@given(trajectories, st.sampled_from(["embedder", "encoder.layer_norm2.0", "decoder.encoder_attn.1", "decoder.ffns.2"]))
def test_scaling_by_one_and_patching_a_run_with_itself_change_nothing(odeformer, trajectory, site):
    inputs = with_equations(odeformer, trajectory)
    logits, own = odeformer.output(*inputs), read(odeformer, inputs, site)
    assert read(odeformer, inputs, "logits", scale(site, 1)).equal(logits)
    assert read(odeformer, inputs, "logits", patch(site, own)).equal(logits)


@few
@given(trajectories, st.sampled_from(["encoder.attentions.1.out_lin:input", "decoder.encoder_attn.2.out_lin:input"]))
def test_ablating_nothing_changes_nothing(odeformer, trajectory, site):
    inputs = with_equations(odeformer, trajectory)
    assert read(odeformer, inputs, "logits", zero(site, model=[])).equal(odeformer.output(*inputs))


@few
@given(trajectories, LAYERS)
def test_without_any_head_a_layer_of_attention_adds_its_bias(odeformer, trajectory, layer):
    heads = odeformer.ablate([head for head in odeformer.heads if head.layer == layer], "zero")
    added = read(odeformer, odeformer.tokens(trajectory), odeformer.attention_site(layer), *heads)
    assert (added == odeformer.b_O(layer)).all()


@few
@given(trajectories, st.integers(1, 20), st.integers(0, 2**31 - 1))
def test_what_pads_the_points_does_not_leak(odeformer, trajectory, padding, seed):
    inputs = points, counts, *equations = with_equations(odeformer, trajectory)
    shape = (2, POINTS + padding, points.shape[2])
    # The second trajectory is as long as the batch is wide, which the package asks for.
    generator = torch.Generator().manual_seed(seed)
    batch = torch.randint(odeformer.n_point_tokens, shape, generator=generator).to(points.device)
    batch[0, :POINTS] = points[0]
    longer = batch, torch.cat([counts, counts + padding]), *(torch.cat([one, one]) for one in equations)
    assert relative_error(odeformer.output(*longer)[:1], odeformer.output(*inputs)) <= ROUNDING
    assert not read(odeformer, longer, "encoder.attentions.0.pattern")[0, ..., POINTS:].any()


@few
@given(trajectories, st.integers(1, 10), st.integers(0, 2**31 - 1))
def test_what_pads_the_equations_does_not_leak(odeformer, trajectory, padding, seed):
    *points, tokens, lengths = with_equations(odeformer, trajectory)
    rubbish = torch.randint(
        len(odeformer.vocabulary), (len(tokens), padding), generator=torch.Generator().manual_seed(seed)
    )
    longer = torch.cat([tokens, rubbish.to(tokens.device)], 1)
    found = odeformer.output(*points, longer, lengths)[:, : tokens.shape[1]]
    assert relative_error(found, odeformer.output(*points, tokens, lengths)) <= ROUNDING


@few
@given(trajectories, trajectories)
def test_the_other_trajectories_of_a_batch_do_not_matter(odeformer, first, second):
    alone = odeformer.tokens(first)
    together = tuple(torch.cat(pair) for pair in zip(alone, odeformer.tokens(second), strict=True))
    assert relative_error(read(odeformer, together, "encoded")[:1], read(odeformer, alone, "encoded")) <= ROUNDING


@few
@given(trajectories)
def test_the_logit_lens_ends_in_the_logits(odeformer, trajectory):
    truth = odeformer.truth(trajectory)
    last = odeformer.n_decoder_layers - 1
    assert (
        relative_error(odeformer.logit_lens(trajectory, truth, layers=[last])[0], odeformer.logits(trajectory, truth))
        <= ROUNDING
    )


@settings(few, max_examples=4)
@given(trajectories)
def test_what_is_decoded_is_what_the_logits_prefer(odeformer, trajectory):
    written = odeformer.decode(trajectory)
    logits = odeformer.logits(trajectory, written)
    chosen = logits.gather(2, written.words[..., None])[..., 0]
    assert relative_error(chosen, logits.amax(-1)) <= ROUNDING
    assert written.words.shape[1] <= odeformer.longest
