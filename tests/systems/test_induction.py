"""The adapter of the induction system: what it names is what the module computes."""

import pytest
import torch
from torch import nn

from mechtests import CheckpointError, Head, at, zero
from mechtests.activations.interventions import SiteError, record_edits
from mechtests.cache import Cache
from mechtests.checkpoints import Provenance, save
from mechtests.systems import Induction
from mechtests.systems.induction.transformer import AttentionOnlyConfig, AttentionOnlyTransformer

SMALL = AttentionOnlyConfig(d_vocab=11, n_ctx=9, d_model=12, n_heads=3, d_head=4)
TOKENS = torch.randint(11, (5, 9), generator=torch.Generator().manual_seed(0))


@pytest.fixture
def model():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = AttentionOnlyTransformer(SMALL)
        for weight in module.parameters():
            nn.init.normal_(weight, std=0.5)
    return Induction(module.double(), "induction")


def test_names_its_sizes_and_heads(model):
    assert (model.d_vocab, model.n_ctx, model.n_layers, model.n_heads) == (11, 9, 2, 3)
    assert [str(head) for head in model.heads] == ["L0H0", "L0H1", "L0H2", "L1H0", "L1H1", "L1H2"]
    assert not model.rotary


def test_every_site_has_the_axes_it_names(model):
    found = model.activations(TOKENS, list(model.axes))
    assert {site: values.ndim for site, values in found.items()} == {
        site: len(axes.split()) for site, axes in model.axes.items()
    }


def test_logits_and_patterns_are_the_modules_own(model):
    assert model.logits(TOKENS).equal(model.module(TOKENS))
    patterns = model.patterns(TOKENS)
    assert [pattern.shape for pattern in patterns] == [(5, 3, 9, 9)] * 2
    assert model.pattern(TOKENS, 1).equal(patterns[1])
    assert model.attention(TOKENS, Head(1, 0)).equal(patterns[1][:, 0])


def test_losses_are_those_of_the_tokens_after_the_first(model):
    log_probabilities = model.module(TOKENS).log_softmax(-1)
    losses = model.losses(TOKENS)
    assert losses.shape == (5, 8)
    for sequence in range(5):
        for place in range(8):
            right = log_probabilities[sequence, place, TOKENS[sequence, place + 1]]
            assert losses[sequence, place].item() == pytest.approx(-right.item(), rel=1e-9)


def test_losses_are_kept_and_the_logits_they_come_of_are_not(model):
    def edited():
        with record_edits() as edits:
            return model.losses(TOKENS, zero(model.head(Head(0, 1)))), list(edits)

    (first, told), (again, told_again) = edited(), edited()
    assert first.equal(again)
    assert not first.equal(model.losses(TOKENS))
    assert told == told_again != []
    assert (model.cache.passes, model.cache.from_memory) == (2, 1)
    model.logits(TOKENS)
    assert model.cache.passes == 3
    assert first.equal(
        Induction(model.module, "induction", cache=Cache(0)).losses(TOKENS, zero(model.head(Head(0, 1))))
    )


@pytest.mark.parametrize("head", [Head(0, 1), Head(1, 2)], ids=str)
def test_a_zeroed_head_is_one_whose_output_weights_are_zero(model, head):
    without = AttentionOnlyTransformer(SMALL).double()
    without.load_state_dict(model.module.state_dict())
    without.blocks[head.layer].attn.W_O.data[head.index] = 0
    torch.testing.assert_close(model.logits(TOKENS, zero(model.head(head))), without(TOKENS), rtol=1e-9, atol=1e-9)


def test_the_residual_stream_is_the_embedding_and_what_the_heads_write(model):
    resid = model.embedded(TOKENS)
    for layer in range(2):
        weights = model.weights(layer)
        z = model.activations(TOKENS, [f"blocks.{layer}.attn.z"])[f"blocks.{layer}.attn.z"]
        resid = resid + torch.einsum("b h q d, h d m -> b q m", z, weights.W_O)
    torch.testing.assert_close(resid @ model.W_U, model.logits(TOKENS), rtol=1e-9, atol=1e-9)


def test_a_twin_has_other_weights_and_the_same_shape(model):
    twin = model.untrained(3)
    assert isinstance(twin, Induction)
    assert twin.logits(TOKENS).shape == (5, 9, 11)
    assert not torch.allclose(twin.W_E.double(), model.W_E)


def test_a_site_of_a_layer_that_is_not_there_is_refused(model):
    with pytest.raises(SiteError, match=r"blocks\.2\.attn\.z"):
        model.logits(TOKENS, zero(at("blocks.2.attn.z", head=0)))


class TestLoading:
    def saved(self, tmp_path, system="induction", **sizes):
        config = {"d_vocab": 11, "n_ctx": 9, "d_model": 12, "n_heads": 3, "d_head": 4, "n_layers": 2} | sizes
        path = tmp_path / "model.safetensors"
        save(path, AttentionOnlyTransformer(SMALL), Provenance(system, config, "two-layer", 4, 100))
        return path

    def load(self, path):
        return Induction.load(path, torch.device("cpu"), Cache())

    def test_gives_the_weights_and_their_provenance(self, tmp_path):
        model = self.load(self.saved(tmp_path))
        assert model.module.config == SMALL
        assert model.checkpoint.provenance.step == 100

    def test_another_system_is_refused(self, tmp_path):
        with pytest.raises(CheckpointError, match="of the system 'subtraction', expected 'induction'"):
            self.load(self.saved(tmp_path, system="subtraction"))

    @pytest.mark.parametrize("sizes", [{"d_mlp": 4}, {"d_model": "wide"}, {"n_heads": -1}])
    def test_sizes_that_are_not_its_own_are_refused(self, tmp_path, sizes):
        with pytest.raises(CheckpointError, match=r"not one of the system induction.*Expected sizes d_vocab"):
            self.load(self.saved(tmp_path, **sizes))

    def test_weights_that_do_not_fit_are_refused(self, tmp_path):
        with pytest.raises(CheckpointError, match="W_E: expected"):
            self.load(self.saved(tmp_path, d_vocab=12))
