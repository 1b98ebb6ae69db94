"""Ablations of components: the edits that they are, and what a pass computes with them."""

import pytest
import torch
from torch import nn

from mechtests import Head, System, at, mean, resample, scale, zero
from mechtests.activations.interventions import SiteError
from mechtests.families import SubtractionProblems
from mechtests.systems import Induction, Subtraction
from mechtests.systems.induction.transformer import AttentionOnlyConfig, AttentionOnlyTransformer
from mechtests.systems.subtraction import EMBEDDINGS, HEAD_OUTPUTS, NEURONS, embedding_of
from mechtests.systems.subtraction.transformer import SubtractionConfig, SubtractionTransformer

TOKENS = torch.randint(11, (20, 9), generator=torch.Generator().manual_seed(0))
REFERENCE = torch.randint(11, (32, 9), generator=torch.Generator().manual_seed(1))
PROBLEMS = SubtractionProblems().sample(24, torch.Generator().manual_seed(0))
OTHERS = SubtractionProblems().sample(24, torch.Generator().manual_seed(1))


def seeded(number=0):
    return torch.Generator().manual_seed(number)


def random_weights(module):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for weight in module.parameters():
            nn.init.normal_(weight, std=0.5)
    return module


@pytest.fixture
def attention_only():
    sizes = AttentionOnlyConfig(d_vocab=11, n_ctx=9, d_model=12, n_heads=3, d_head=4)
    return Induction(random_weights(AttentionOnlyTransformer(sizes)), "induction")


@pytest.fixture
def one_layer():
    sizes = SubtractionConfig(d_model=12, n_heads=3, d_head=4, d_mlp=20)
    return Subtraction(random_weights(SubtractionTransformer(sizes)), "subtraction")


def described(edits):
    return [str(edit) for edit in edits]


class TestPlaces:
    def test_heads_of_a_layer_share_an_edit_and_layers_come_in_the_order_given(self, attention_only):
        edits = attention_only.ablate([Head(1, 2), Head(0, 1), Head(1, 0)], "zero")
        assert described(edits) == [
            "zero blocks.1.attn.z [head: 2, 0]",
            "zero blocks.0.attn.z [head: 1]",
        ]

    def test_one_head_ablates_as_its_place_does(self, attention_only):
        (edit,) = attention_only.ablate(Head(1, 2), "zero")
        assert attention_only.logits(TOKENS, edit).equal(
            attention_only.logits(TOKENS, zero(attention_only.head(Head(1, 2))))
        )

    def test_sites_and_parts_are_components_too(self, one_layer):
        mask = torch.arange(20) < 5
        edits = one_layer.ablate([Head(0, 1), at(NEURONS, neuron=mask), embedding_of("a", "b"), "logits"], "zero")
        assert described(edits) == [
            f"zero {HEAD_OUTPUTS} [head: 1]",
            f"zero {NEURONS} [neuron: 5 of 20]",
            f"zero {EMBEDDINGS} [position: 0, 2]",
            "zero logits",
        ]

    def test_nothing_to_ablate_is_no_edit(self, attention_only):
        for how in ("zero", "mean", "resample"):
            assert attention_only.ablate([], how, REFERENCE, seeded()) == []

    def test_all_heads_zeroed_leave_the_embedding(self, attention_only):
        found = attention_only.activations(
            TOKENS, ["blocks.1.resid_post"], *attention_only.ablate(attention_only.heads, "zero")
        )
        torch.testing.assert_close(found["blocks.1.resid_post"], attention_only.embedded(TOKENS))

    def test_a_system_without_heads_says_so(self):
        with pytest.raises(SiteError, match="toy has no attention heads, so there is no L0H0"):
            System(nn.Linear(2, 2), "toy").ablate(Head(0, 0), "zero")


class TestMean:
    def test_is_the_mean_over_the_reference_at_each_position(self, attention_only):
        (edit,) = attention_only.ablate([Head(1, 0), Head(1, 2)], "mean", REFERENCE)
        site = attention_only.attention_site(1, "z")
        by_hand = mean(site, attention_only.activations(REFERENCE, [site])[site], head=[0, 2])
        assert str(edit) == str(by_hand) == f"mean of 32 inputs {site} [head: 0, 2]"
        assert attention_only.logits(TOKENS, edit).equal(attention_only.logits(TOKENS, by_hand))
        assert not attention_only.logits(TOKENS, edit).equal(attention_only.logits(TOKENS))

    def test_of_problems_is_taken_at_equals(self, one_layer):
        (edit,) = one_layer.ablate(at(NEURONS, neuron=[3, 4]), "mean", OTHERS)
        changed = one_layer.at_equals(PROBLEMS, NEURONS, edit)
        expected = one_layer.neurons(PROBLEMS).clone()
        expected[:, [3, 4]] = one_layer.neurons(OTHERS)[:, [3, 4]].mean(0)
        torch.testing.assert_close(changed, expected)

    def test_a_head_of_the_subtraction_transformer(self, one_layer):
        changed = one_layer.at_equals(PROBLEMS, HEAD_OUTPUTS, *one_layer.ablate(Head(0, 1), "mean", OTHERS))
        whole, reference = (one_layer.at_equals(some, HEAD_OUTPUTS) for some in (PROBLEMS, OTHERS))
        torch.testing.assert_close(changed[:, 1], reference[:, 1].mean(0).expand_as(changed[:, 1]))
        assert changed[:, [0, 2]].equal(whole[:, [0, 2]])

    def test_without_a_reference_is_refused(self, attention_only):
        with pytest.raises(ValueError, match="mean ablation needs reference inputs"):
            attention_only.ablate(Head(0, 0), "mean")

    def test_a_reference_of_another_kind_is_refused(self, one_layer):
        with pytest.raises(TypeError, match="expected Problems as the reference, found Tensor"):
            one_layer.ablate(Head(0, 0), "mean", TOKENS)


class TestResample:
    def test_draws_rows_of_the_reference_first_and_then_a_partner_for_each_place(self, attention_only):
        edits = attention_only.ablate([Head(0, 1), Head(1, 0)], "resample", REFERENCE, seeded(5), inputs=len(TOKENS))
        generator = seeded(5)
        rows = torch.randperm(len(REFERENCE), generator=generator)[: len(TOKENS)]
        by_hand = [
            resample(at(site, head=[head]), attention_only.activations(REFERENCE, [site])[site][rows], generator)
            for site, head in ((attention_only.attention_site(0, "z"), 1), (attention_only.attention_site(1, "z"), 0))
        ]
        assert described(edits) == described(by_hand)
        assert attention_only.logits(TOKENS, *edits).equal(attention_only.logits(TOKENS, *by_hand))

    def test_every_input_gets_the_activation_of_one_of_the_reference(self, attention_only):
        site = attention_only.attention_site(1, "z")
        edits = attention_only.ablate(attention_only.heads, "resample", REFERENCE, seeded(), inputs=len(TOKENS))
        found, reference = (
            attention_only.activations(*args)[site] for args in ((TOKENS, [site], *edits), (REFERENCE, [site]))
        )
        assert all((reference == row).flatten(1).all(1).any() for row in found)

    def test_row_by_row_no_input_gets_its_own(self, attention_only):
        site = attention_only.attention_site(0, "z")
        edits = attention_only.ablate(attention_only.heads, "resample", TOKENS, seeded())
        found, own = (attention_only.activations(TOKENS, [site], *some)[site] for some in (edits, ()))
        assert not (found == own).flatten(1).all(1).any()

    def test_of_problems(self, one_layer):
        edits = one_layer.ablate("blocks.0.attn.z", "resample", OTHERS, seeded())
        found, reference = (
            one_layer.at_equals(PROBLEMS, HEAD_OUTPUTS, *edits),
            one_layer.at_equals(OTHERS, HEAD_OUTPUTS),
        )
        assert all((reference == row).flatten(1).all(1).any() for row in found)

    def test_without_a_generator_is_refused(self, attention_only):
        with pytest.raises(ValueError, match="resample ablation draws at random"):
            attention_only.ablate(Head(0, 0), "resample", REFERENCE)

    def test_fewer_reference_inputs_than_the_run_has_are_refused(self, attention_only):
        with pytest.raises(ValueError, match="20 reference inputs for a run of 32"):
            attention_only.ablate(Head(0, 0), "resample", TOKENS, seeded(), inputs=32)


def test_another_word_than_the_three_is_refused(attention_only):
    with pytest.raises(ValueError, match="expected 'zero', 'mean' or 'resample', found 'noise'"):
        attention_only.ablate(Head(0, 0), "noise")


def test_scaling_multiplies_by_the_factor(attention_only):
    edits = attention_only.scale([Head(1, 0), Head(1, 1)], 0.5)
    by_hand = scale(at(attention_only.attention_site(1, "z"), head=[0, 1]), 0.5)
    assert described(edits) == [str(by_hand)]
    assert attention_only.logits(TOKENS, *edits).equal(attention_only.logits(TOKENS, by_hand))
