from typing import ClassVar

import pytest
import torch
from torch import nn

from mechtests import Head, System, zero
from mechtests.cache import Cache


class Classifier(nn.Module):
    """A user's own model."""

    def __init__(self, width=8):
        super().__init__()
        self.embed = nn.Embedding(20, width)
        self.norm = nn.LayerNorm(width)
        self.layers = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 3))

    def forward(self, tokens):
        return self.layers(self.norm(self.embed(tokens)))


class Scaled(nn.Module):
    """A layer whose weight is its own parameter, which nothing can draw anew."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(2, 2)
        self.gain = nn.Parameter(torch.ones(2))

    def forward(self, x):
        return self.inner(x) * self.gain


TOKENS = torch.arange(20).reshape(10, 2)


def classifier(seed=0, width=8):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Classifier(width)


@pytest.fixture
def system():
    return System(classifier(), "classifier")


def weights(system):
    return dict(system.module.named_parameters())


def same(first, second):
    return all(weight.equal(weights(second)[name]) for name, weight in weights(first).items())


def count_passes(module):
    passes = []
    module.register_forward_hook(lambda *_: passes.append(1))
    return passes


def test_a_head_prints_as_layer_and_index():
    assert str(Head(2, 7)) == "L2H7"
    assert sorted([Head(1, 0), Head(0, 3)]) == [Head(0, 3), Head(1, 0)]


class TestWrapping:
    def test_any_module_is_a_system(self, system):
        assert system.name == "classifier"
        assert system.checkpoint is None
        assert system.device == torch.device("cpu")
        assert list(system.heads) == []
        assert not system.module.training

    def test_a_module_without_weights_is_on_the_cpu(self):
        assert System(nn.Identity(), "nothing").device == torch.device("cpu")

    def test_equal_weights_have_one_identity_and_others_another(self, system):
        assert System(classifier(), "classifier").identity == system.identity
        assert System(classifier(seed=1), "classifier").identity != system.identity

    def test_one_weight_changed_changes_the_identity(self, system):
        module = classifier()
        module.layers[2].bias.data[1] += 1e-6
        assert System(module, "classifier").identity != system.identity

    @pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
    def test_a_module_of_any_precision_is_a_system(self, dtype):
        system = System(classifier().to(dtype), "classifier")
        assert system.identity != System(classifier(seed=1).to(dtype), "classifier").identity

    def test_the_architecture_is_the_class_and_the_shapes_whatever_the_weights(self, system):
        assert System(classifier(seed=1), "classifier").architecture == system.architecture
        assert System(classifier(width=16), "classifier").architecture != system.architecture
        assert System(classifier().layers, "classifier").architecture != system.architecture

    def test_modules_that_compute_otherwise_have_other_architectures_and_identities(self):
        layer = nn.Linear(2, 2)
        first, second = (System(nn.Sequential(layer, after), "toy") for after in (nn.ReLU(), nn.Tanh()))
        assert first.architecture != second.architecture
        assert first.identity != second.identity


class TestUntrainedTwins:
    def test_the_seed_decides_the_weights(self, system):
        first, again, other = (system.untrained(seed) for seed in (1, 1, 2))
        assert same(first, again)
        assert first.identity == again.identity
        assert not weights(first)["embed.weight"].equal(weights(other)["embed.weight"])
        assert first.identity != other.identity

    def test_twins_of_two_models_of_one_architecture_are_the_same(self, system):
        other = System(classifier(seed=1), "classifier")
        assert same(system.untrained(3), other.untrained(3))
        assert system.untrained(3).identity == other.untrained(3).identity

    def test_weights_are_those_of_a_new_module_and_not_of_the_trained_one(self, system):
        with torch.no_grad():
            for weight in system.module.parameters():
                weight.mul_(100).add_(7)
        twin = weights(system.untrained(0))
        new = dict(classifier(seed=5).named_parameters())
        assert twin["norm.weight"].equal(torch.ones(8))
        assert twin["embed.weight"].std().item() == pytest.approx(new["embed.weight"].std().item(), rel=0.2)
        assert twin["layers.0.weight"].abs().max() <= 8**-0.5
        assert twin["layers.0.weight"].std().item() == pytest.approx(new["layers.0.weight"].std().item(), rel=0.3)

    def test_the_model_and_the_global_randomness_are_left_alone(self, system):
        state = torch.get_rng_state()
        system.untrained(1)
        assert torch.get_rng_state().equal(state)
        assert same(system, System(classifier(), "classifier"))

    def test_the_global_randomness_does_not_matter(self, system):
        with torch.random.fork_rng():
            torch.manual_seed(1)
            first = system.untrained(0)
            torch.manual_seed(2)
            assert same(first, system.untrained(0))

    def test_a_twin_is_a_system_of_its_kind_without_a_checkpoint(self):
        class Mine(System):
            pass

        twin = Mine(classifier(), "classifier").untrained(0)
        assert type(twin) is Mine
        assert twin.checkpoint is None
        assert not twin.module.training
        assert not any(weight.requires_grad for weight in twin.module.parameters())

    def test_a_layer_that_cannot_be_drawn_anew_is_told_with_what_to_do(self):
        system = System(nn.Sequential(nn.Linear(2, 2), Scaled()), "scaled")
        with pytest.raises(NotImplementedError, match=r"1 has weights and no reset_parameters. Override fresh_module"):
            system.untrained(0)

    def test_overriding_fresh_module_is_enough(self):
        class Mine(System):
            def fresh_module(self):
                return Scaled()

        system = Mine(Scaled(), "scaled")
        assert not same(system.untrained(0), system.untrained(1))
        assert same(system.untrained(0), system.untrained(0))


class TestShuffledTwins:
    def test_each_weight_keeps_its_entries_in_another_order(self, system):
        twin = weights(system.shuffled(0))
        for name, weight in weights(system).items():
            assert twin[name].flatten().sort().values.equal(weight.flatten().sort().values)
        assert not twin["layers.0.weight"].equal(weights(system)["layers.0.weight"])

    def test_the_seed_decides_the_order(self, system):
        assert same(system.shuffled(1), system.shuffled(1))
        assert not same(system.shuffled(1), system.shuffled(2))
        assert system.shuffled(1).identity != system.shuffled(2).identity

    def test_twins_of_two_models_differ(self, system):
        other = System(classifier(seed=1), "classifier")
        assert system.shuffled(0).identity != other.shuffled(0).identity

    def test_the_model_is_left_alone(self, system):
        system.shuffled(0)
        assert same(system, System(classifier(), "classifier"))


class TestActivations:
    def test_are_what_the_sites_return(self, system):
        found = system.activations(TOKENS, ["embed", "layers"], key="tokens")
        assert found["embed"].equal(system.module.embed(TOKENS))
        assert found["layers"].equal(system.module(TOKENS))

    def test_are_computed_once(self, system):
        passes = count_passes(system.module)
        first = system.activations(TOKENS, ["embed", "layers"], key="tokens")
        again = system.activations(TOKENS, ["layers", "embed"], key="tokens")
        system.activations(TOKENS, ["layers"], key="tokens")
        assert len(passes) == 1
        assert first["layers"] is again["layers"]

    def test_without_a_key_are_computed_every_time(self, system):
        passes = count_passes(system.module)
        first = system.activations(TOKENS, ["layers"])["layers"]
        other = system.activations(TOKENS.flip(0), ["layers"])["layers"]
        assert len(passes) == 2
        assert other.equal(first.flip(0))

    def test_one_pass_gets_what_is_missing(self, system):
        passes = count_passes(system.module)
        system.activations(TOKENS, ["embed"], key="tokens")
        found = system.activations(TOKENS, ["embed", "norm", "layers"], key="tokens")
        assert found.keys() == {"embed", "norm", "layers"}
        assert len(passes) == 2

    def test_other_inputs_and_edits_are_computed_anew(self, system):
        passes = count_passes(system.module)
        plain = system.activations(TOKENS, ["layers"], key="tokens")["layers"]
        other = system.activations(TOKENS.clone(), ["layers"], key="others")["layers"]
        erased = system.activations(TOKENS, ["layers"], zero("embed"), key="tokens")["layers"]
        assert len(passes) == 3
        assert other.equal(plain)
        assert not erased.equal(plain)
        assert system.activations(TOKENS, ["layers"], zero("embed"), key="tokens")["layers"] is erased
        assert len(passes) == 3

    def test_edits_may_select_on_the_axes_that_the_system_names(self):
        class Mine(System):
            axes: ClassVar = {"embed": "batch position model"}

        found = Mine(classifier(), "classifier").activations(TOKENS, ["embed"], zero("embed", position=0))["embed"]
        assert not found[:, 0].any()
        assert found[:, 1].all()

    def test_are_computed_every_time_where_nothing_can_be_kept(self):
        system = System(classifier(), "classifier", cache=Cache(budget=0))
        passes = count_passes(system.module)
        for _ in range(2):
            assert system.activations(TOKENS, ["layers"], key="tokens")["layers"].equal(system.module(TOKENS))
        assert len(passes) == 4

    def test_the_kind_of_twin_and_the_model_never_share(self, system):
        systems = [
            system,
            system.untrained(0),
            system.untrained(1),
            system.shuffled(0),
            system.untrained(0).shuffled(0),
        ]
        for one in systems:
            one.activations(TOKENS, ["layers"], key="tokens")
        for one in systems:
            assert one.cache is system.cache
            assert one.activations(TOKENS, ["layers"], key="tokens")["layers"].equal(one.module(TOKENS))

    def test_twins_of_models_that_compute_otherwise_never_share(self):
        cache, x = Cache(), torch.randn(4, 2, generator=torch.Generator().manual_seed(0))
        systems = [
            System(nn.Sequential(nn.Linear(2, 2), after), "toy", cache=cache) for after in (nn.ReLU(), nn.Tanh())
        ]
        for twin in (system.untrained(0) for system in systems):
            assert twin.activations(x, ["1"], key="x")["1"].equal(twin.module(x))
