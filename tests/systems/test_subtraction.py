"""The transformer against a slow reimplementation, and the shortcuts of its system against the forward pass."""

import math
from dataclasses import asdict, replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mechtests import CheckpointError, Head, checkpoints, scale, zero
from mechtests import replace as replaced
from mechtests.activations.capture import SiteError, run
from mechtests.cache import Cache
from mechtests.checkpoints import Provenance
from mechtests.families import Problems, SubtractionProblems
from mechtests.systems import Subtraction
from mechtests.systems.subtraction import sign_correct, sign_difference, sign_loss, sign_margin
from mechtests.systems.subtraction.transformer import (
    EQUALS,
    MINUS,
    PLUS,
    POSITIONS,
    SubtractionConfig,
    SubtractionTransformer,
)

SMALL = SubtractionConfig(d_model=12, n_heads=3, d_head=4, d_mlp=20)
CPU = torch.device("cpu")
steady = settings(deadline=None, derandomize=True, max_examples=20)


def random_weights(seed=0, config=SMALL, dtype=torch.float64):
    """A model whose weights and biases are all random, and large enough that no part of it can be left out."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module = SubtractionTransformer(config)
        for weight in module.parameters():
            nn.init.normal_(weight, std=0.5)
    return module.to(dtype).requires_grad_(False)


def sample(n, seed=0):
    return SubtractionProblems().sample(n, torch.Generator().manual_seed(seed))


def tokens_of(problems):
    columns = [problems.a, torch.full_like(problems.a, MINUS), problems.b, torch.full_like(problems.b, EQUALS)]
    return torch.stack(columns, 1)


def explicit(module, tokens):
    """The forward pass written out for one sequence, with the name of each site: matrix by vector, step by step."""
    attn, mlp = module.blocks[0].attn, module.blocks[0].mlp
    embedded = [module.W_E[token] for token in tokens.tolist()]
    resid = [embedded[place] + module.W_pos[place] for place in range(len(tokens))]
    sites = {"tok_embed": torch.stack(embedded)}
    heads, places = range(module.config.n_heads), range(len(tokens))
    q, k, v = (
        [[resid[place] @ weight[head] + bias[head] for place in places] for head in heads]
        for weight, bias in ((attn.W_Q, attn.b_Q), (attn.W_K, attn.b_K), (attn.W_V, attn.b_V))
    )
    pattern = torch.zeros(len(heads), len(places), len(places), dtype=torch.float64)
    out = [attn.b_O.clone() for _ in places]
    for head in heads:
        for query in places:
            weights = [
                math.exp((q[head][query] @ k[head][key]) / module.config.d_head**0.5) for key in range(query + 1)
            ]
            z = torch.zeros(module.config.d_head, dtype=torch.float64)
            for key in range(query + 1):
                pattern[head, query, key] = weights[key] / sum(weights)
                z += weights[key] / sum(weights) * v[head][key]
            out[query] += z @ attn.W_O[head]
    mid = [resid[place] + out[place] for place in places]
    pre = [one @ mlp.W_in + mlp.b_in for one in mid]
    post = [one.clamp(min=0) for one in pre]
    final = [mid[place] + post[place] @ mlp.W_out + mlp.b_out for place in places]
    sites |= {"blocks.0.attn.pattern": pattern, "blocks.0.attn.out": torch.stack(out)}
    sites |= {"blocks.0.resid_mid": torch.stack(mid), "blocks.0.mlp.pre": torch.stack(pre)}
    sites |= {"blocks.0.mlp.post": torch.stack(post), "blocks.0.resid_post": torch.stack(final)}
    return sites | {"logits": torch.stack([one @ module.W_U + module.b_U for one in final])}


class TestTransformer:
    @pytest.mark.parametrize("seed", [0, 1])
    @pytest.mark.parametrize("length", [1, 4, 5])
    def test_every_site_agrees_with_the_model_written_out(self, seed, length):
        module = random_weights(seed)
        tokens = torch.randint(103, (3, length), generator=torch.Generator().manual_seed(seed))
        for row, sequence in enumerate(tokens):
            expected = explicit(module, sequence)
            found = run(module, tokens, list(expected))
            for site, values in expected.items():
                torch.testing.assert_close(found[site][row], values, rtol=1e-9, atol=1e-9)

    def test_agrees_with_the_model_written_out_at_full_size_in_float32(self):
        module, tokens = random_weights(config=SubtractionConfig(), dtype=torch.float32), tokens_of(sample(2))
        for weight in module.parameters():
            weight.mul_(0.1)
        found = module(tokens)
        for row, sequence in enumerate(tokens):
            expected = explicit(module.double(), sequence)["logits"]
            torch.testing.assert_close(found[row].double(), expected, rtol=1e-4, atol=1e-4)

    @pytest.mark.parametrize("positions", [[3], [0], [1, 3], [3, 1], [0, 1, 2, 3, 4]])
    def test_positions_select_from_the_whole_output(self, positions):
        module = random_weights()
        tokens = torch.randint(103, (4, 5), generator=torch.Generator().manual_seed(0))
        torch.testing.assert_close(module(tokens, torch.tensor(positions)), module(tokens)[:, positions])

    def test_patterns_sum_to_one_and_no_head_attends_to_what_comes_later(self):
        module = random_weights()
        tokens = torch.randint(103, (4, 5), generator=torch.Generator().manual_seed(0))
        pattern = run(module, tokens, ["blocks.0.attn.pattern"])["blocks.0.attn.pattern"]
        torch.testing.assert_close(pattern.sum(-1), torch.ones(4, 3, 5, dtype=torch.float64))
        assert not pattern.triu(1).any()
        assert (pattern[:, :, range(5), range(5)] > 0).all()

    @pytest.mark.parametrize("place", range(5))
    def test_a_token_changes_the_logits_from_its_place_on_and_none_before(self, place):
        module = random_weights()
        tokens = torch.tensor([[12, MINUS, 57, EQUALS, PLUS]])
        changed = tokens.clone()
        changed[0, place] = 3
        difference = (module(tokens) - module(changed)).abs().amax((0, 2))
        assert (difference[:place] == 0).all()
        assert (difference[place:] > 0).all()

    def test_new_weights_have_the_stated_spread_and_biases_are_zero(self):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            module = SubtractionTransformer(SubtractionConfig())
        for name, weight in module.named_parameters():
            if name.rpartition(".")[2].startswith("b_"):
                assert not weight.any()
            elif weight.numel() > 1000:
                assert weight.std().item() == pytest.approx(0.8 / 128**0.5, rel=0.05)

    def test_all_weights_are_drawn(self):
        module = SubtractionTransformer(SMALL)
        assert all(torch.isfinite(weight).all() for weight in module.parameters())


@pytest.fixture(scope="module")
def system():
    return Subtraction(
        random_weights(3, SubtractionConfig(d_model=24, d_head=8, d_mlp=40), torch.float32), "subtraction"
    )


SOME = sample(200, seed=5)


class TestAtEquals:
    def test_is_the_place_of_the_equals_sign_in_the_whole_output(self, system):
        expected = system.module(tokens_of(SOME))[:, POSITIONS["="]]
        torch.testing.assert_close(system.logits(SOME), expected)

    @pytest.mark.parametrize("site", [site for site, axes in Subtraction.axes.items() if "query" in axes.split()])
    def test_every_site_with_a_query_can_be_read(self, system, site):
        whole = run(system.module, tokens_of(SOME), [site])[site]
        place = Subtraction.axes[site].split().index("query")
        torch.testing.assert_close(system.at_equals(SOME, site), whole.select(place, 3))

    def test_the_axes_name_every_site_and_nothing_else(self, system):
        sites = {name for name, module in system.module.named_modules() if type(module).__name__ == "Site"}
        assert set(system.axes) == sites
        shapes = run(system.module, tokens_of(SOME), sorted(sites))
        assert all(shapes[site].ndim == len(axes.split()) for site, axes in system.axes.items())

    def test_short_names_read_their_sites(self, system):
        torch.testing.assert_close(system.attention(SOME), system.at_equals(SOME, "blocks.0.attn.pattern"))
        torch.testing.assert_close(system.preactivations(SOME), system.at_equals(SOME, "blocks.0.mlp.pre"))
        torch.testing.assert_close(system.neurons(SOME), system.at_equals(SOME, "blocks.0.mlp.post"))
        assert [str(head) for head in system.heads] == ["L0H0", "L0H1", "L0H2", "L0H3"]

    def test_one_pass_serves_what_is_often_asked(self):
        system, passes = Subtraction(random_weights(dtype=torch.float32), "subtraction"), []
        system.module.register_forward_hook(lambda *_: passes.append(1))
        for ask in (system.logits, system.attention, system.preactivations, system.neurons, system.direct_logits):
            ask(SOME)
        assert len(passes) == 1

    def test_an_edit_takes_effect(self, system):
        erased = system.logits(SOME, zero("tok_embed", position=[POSITIONS["a"], POSITIONS["b"]]))
        torch.testing.assert_close(erased, erased[:1].expand_as(erased))
        assert not system.logits(SOME).allclose(erased)

    def test_an_unknown_site_is_told(self, system):
        with pytest.raises(SiteError, match=r"blocks\.1\.mlp\.pre.*blocks\.0\.mlp\.pre"):
            system.at_equals(SOME, "blocks.1.mlp.pre")

    @pytest.mark.parametrize("site", ["tok_embed", "blocks.0.attn.k", "blocks.0"])
    def test_a_site_without_a_query_is_told(self, system, site):
        with pytest.raises(SiteError, match=site):
            system.at_equals(SOME, site)


class TestNeuronShortcuts:
    def of_a_pass(self, system, *edits):
        """Logits at '=' of a forward pass with ``edits`` made, without any shortcut."""
        return system.activations(tokens_of(SOME), ["logits"], *edits)["logits"][:, POSITIONS["="]]

    @steady
    @given(st.integers(0, 2**32 - 1))
    def test_logits_from_neurons_are_those_of_a_pass_with_the_neurons_replaced(self, system, seed):
        neurons = torch.randn(len(SOME), 40, generator=torch.Generator().manual_seed(seed))
        expected = self.of_a_pass(system, replaced("blocks.0.mlp.post", neurons.unsqueeze(1), "random"))
        for value in (neurons, neurons.unsqueeze(1)):
            found = system.logits(SOME, replaced("blocks.0.mlp.post", value, "random"))
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(system.logits_from_neurons(SOME, neurons), expected, rtol=1e-4, atol=1e-4)

    @pytest.mark.parametrize("factor", [0.0, 0.3])
    def test_logits_from_scaled_neurons_are_those_of_a_pass_with_them_scaled(self, system, factor):
        mask = torch.arange(40) % 3 == 0
        edit = scale("blocks.0.mlp.post", factor, neuron=mask)
        expected = self.of_a_pass(system, edit)
        torch.testing.assert_close(system.logits(SOME, edit), expected, rtol=1e-4, atol=1e-4)
        neurons = system.neurons(SOME) * torch.where(mask, factor, 1.0)
        torch.testing.assert_close(system.logits_from_neurons(SOME, neurons), expected, rtol=1e-4, atol=1e-4)

    def test_edits_of_inputs_and_outputs_of_neurons_are_those_of_a_pass(self, system):
        edits = [
            scale("blocks.0.mlp.post", -2.0, neuron=[0, 5]),
            replaced("blocks.0.mlp.pre", torch.linspace(-1, 1, 40), "a line", neuron=torch.arange(40) < 20),
            zero("blocks.0.mlp.post", neuron=7),
        ]
        expected = self.of_a_pass(system, *edits)
        torch.testing.assert_close(system.logits(SOME, *edits), expected, rtol=1e-4, atol=1e-4)

    def test_each_neuron_by_itself_is_that_of_a_pass_without_it(self, system):
        tokens = [PLUS, MINUS, 7]
        found = system.without_each_neuron(SOME, tokens)
        assert found.shape == (40, len(SOME), 3)
        for neuron in range(40):
            expected = self.of_a_pass(system, zero("blocks.0.mlp.post", neuron=neuron))[:, tokens]
            torch.testing.assert_close(found[neuron], expected, rtol=1e-4, atol=1e-4)

    def test_the_direct_part_and_the_neurons_part_make_the_logits(self, system):
        parts = system.direct_logits(SOME) + system.neurons(SOME) @ system.neuron_readout
        torch.testing.assert_close(parts, system.logits(SOME), rtol=1e-4, atol=1e-4)

    def test_the_direct_part_is_what_is_left_without_neurons(self, system):
        expected = system.logits(SOME, zero("blocks.0.mlp.post"))
        torch.testing.assert_close(system.direct_logits(SOME), expected, rtol=1e-4, atol=1e-4)

    @pytest.mark.parametrize("head", [Head(0, 0), Head(0, 3)], ids=str)
    def test_operand_to_neurons_is_what_attending_to_an_operand_adds(self, system, head):
        attn, mlp = system.attn, system.mlp
        found = system.operand_to_neurons(head)
        assert found.shape == (100, 40)
        for operand in (0, 7, 99):
            written = system.module.W_E[operand] @ attn.W_V[head.index] @ attn.W_O[head.index]
            torch.testing.assert_close(found[operand], written @ mlp.W_in, rtol=1e-4, atol=1e-4)

    def test_operand_to_neurons_explains_a_pass_in_which_the_head_attends_to_a_alone(self, system):
        attends = torch.tensor([1.0, 0, 0, 0])
        edit = replaced("blocks.0.attn.pattern", attends, "all to a", head=2)
        problems = Problems(torch.tensor([10, 60]), torch.tensor([5, 5]))
        others = zero("blocks.0.attn.z", head=[0, 1, 3])
        pre = system.at_equals(problems, "blocks.0.mlp.pre", edit, others)
        added = system.operand_to_neurons(Head(0, 2))
        torch.testing.assert_close(pre[1] - pre[0], added[60] - added[10], rtol=1e-3, atol=1e-3)


class TestSigns:
    logits = torch.full((3, 103), -5.0)
    logits[0, [PLUS, MINUS]] = torch.tensor([2.0, 1.0])
    logits[1, [PLUS, MINUS]] = torch.tensor([0.0, 1.5])
    logits[2, [PLUS, MINUS, 7]] = torch.tensor([2.0, 1.0, 9.0])
    problems = Problems(torch.tensor([5, 5, 5]), torch.tensor([5, 4, 3]))

    def test_difference_is_plus_less_minus(self):
        assert sign_difference(self.logits).tolist() == [1.0, -1.5, 1.0]

    def test_a_sign_is_right_when_it_is_the_likeliest_of_all_tokens(self):
        assert sign_correct(self.logits, self.problems).tolist() == [True, False, False]
        swapped = Problems(self.problems.b, self.problems.a)
        assert sign_correct(self.logits, swapped).tolist() == [True, True, False]

    def test_margin_is_the_lead_of_the_right_sign_over_all_other_tokens(self):
        assert sign_margin(self.logits, self.problems).tolist() == [1.0, -1.5, -7.0]
        swapped = Problems(self.problems.b, self.problems.a)
        assert sign_margin(self.logits, swapped).tolist() == [1.0, 1.5, -8.0]

    def test_loss_is_the_cross_entropy_of_the_right_sign_over_all_tokens(self):
        signs = [PLUS, PLUS, PLUS]
        expected = [-row.log_softmax(0)[sign].item() for row, sign in zip(self.logits, signs, strict=True)]
        assert sign_loss(self.logits, self.problems).tolist() == pytest.approx(expected)


class TestLoading:
    @pytest.fixture
    def saved(self, tmp_path):
        def save(module=None, **changes):
            module = module or random_weights(dtype=torch.float32)
            made = replace(Provenance("subtraction", asdict(SMALL), "light", 3, 200), **changes)
            checkpoints.save(tmp_path / "model.safetensors", module, made)
            return tmp_path / "model.safetensors"

        return save

    def load(self, path):
        return Subtraction.load(path, CPU, Cache())

    def test_gives_the_model_that_was_saved(self, saved):
        module = random_weights(dtype=torch.float32)
        loaded = self.load(saved(module))
        assert loaded.logits(SOME).equal(Subtraction(module, "subtraction").logits(SOME))
        assert loaded.identity == loaded.checkpoint.sha256
        assert loaded.checkpoint.provenance.step == 200
        assert loaded.module.config == SMALL

    def test_an_untrained_twin_has_the_sizes_of_the_model(self, saved):
        twin = self.load(saved()).untrained(0)
        assert twin.module.config == SMALL
        assert twin.checkpoint is None
        assert twin.logits(SOME).shape == (200, 103)

    def test_another_system_is_refused_with_what_to_write(self, saved):
        with pytest.raises(CheckpointError, match=r"of the system 'induction', expected.*--checkpoint induction="):
            self.load(saved(system="induction"))

    @pytest.mark.parametrize(
        "config",
        [{"d_layers": 3}, {"d_model": "wide"}, {"d_model": -1}, None],
        ids=["unknown", "text", "negative", "none"],
    )
    def test_sizes_of_another_architecture_are_refused(self, saved, config):
        with pytest.raises(CheckpointError, match=r"not one of the system subtraction.*Expected sizes d_vocab"):
            self.load(saved(config=config))

    def test_weights_that_do_not_fit_the_sizes_are_refused(self, saved):
        with pytest.raises(CheckpointError, match=r"W_E: expected \(103, 128\), found \(103, 12\)"):
            self.load(saved(config={}))

    def test_a_missing_file_is_told(self, tmp_path):
        with pytest.raises(CheckpointError, match="no such checkpoint"):
            self.load(tmp_path / "none.safetensors")
