from typing import ClassVar

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mechtests import Edit, Head, System, at, keep_only, mean, patch, replace, resample, scale, zero
from mechtests.activations.capture import rows_within
from mechtests.activations.interventions import SiteError, record_edits
from mechtests.cache import Cache
from mechtests.systems.base import ChangedWeightsError, Derived


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
    module.register_forward_pre_hook(lambda *_: passes.append(1))
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
        found = system.activations(TOKENS, ["embed", "layers"])
        assert found["embed"].equal(system.module.embed(TOKENS))
        assert found["layers"].equal(system.module(TOKENS))

    def test_are_computed_once(self, system):
        passes = count_passes(system.module)
        first = system.activations(TOKENS, ["embed", "layers"])
        again = system.activations(TOKENS, ["layers", "embed"])
        system.activations(TOKENS, ["layers"])
        assert len(passes) == 1
        assert first["layers"] is again["layers"]

    def test_of_equal_inputs_are_computed_once_and_of_others_anew(self, system):
        passes = count_passes(system.module)
        first = system.activations(TOKENS, ["layers"])["layers"]
        again = system.activations(TOKENS.clone(), ["layers"])["layers"]
        other = system.activations(TOKENS.flip(0), ["layers"])["layers"]
        assert len(passes) == 2
        assert again is first
        assert other.equal(first.flip(0))

    def test_one_pass_gets_what_is_missing(self, system):
        passes = count_passes(system.module)
        system.activations(TOKENS, ["embed"])
        found = system.activations(TOKENS, ["embed", "norm", "layers"])
        assert found.keys() == {"embed", "norm", "layers"}
        assert len(passes) == 2

    def test_other_inputs_and_edits_are_computed_anew(self, system):
        passes = count_passes(system.module)
        plain = system.activations(TOKENS, ["layers"])["layers"]
        other = system.activations(TOKENS.flip(0), ["layers"])["layers"]
        erased = system.activations(TOKENS, ["layers"], zero("embed"))["layers"]
        assert len(passes) == 3
        assert other.equal(plain.flip(0))
        assert not erased.equal(plain)
        assert system.activations(TOKENS, ["layers"], zero("embed"))["layers"] is erased
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
            assert system.activations(TOKENS, ["layers"])["layers"].equal(system.module(TOKENS))
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
            one.activations(TOKENS, ["layers"])
        for one in systems:
            assert one.cache is system.cache
            assert one.activations(TOKENS, ["layers"])["layers"].equal(one.module(TOKENS))

    def test_twins_of_models_that_compute_otherwise_never_share(self):
        cache, x = Cache(), torch.randn(4, 2, generator=torch.Generator().manual_seed(0))
        systems = [
            System(nn.Sequential(nn.Linear(2, 2), after), "toy", cache=cache) for after in (nn.ReLU(), nn.Tanh())
        ]
        for twin in (system.untrained(0) for system in systems):
            assert twin.activations(x, ["1"])["1"].equal(twin.module(x))


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def made(build, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build()


class Attention(nn.Module):
    """One layer of attention over positions, with q, k and v as sites and no site for what follows from them."""

    def __init__(self):
        super().__init__()
        self.qkv, self.out = nn.Linear(8, 24), nn.Linear(8, 8)
        self.q, self.k, self.v = nn.Identity(), nn.Identity(), nn.Identity()

    def forward(self, x):
        heads = [one.unflatten(-1, (2, 4)).transpose(1, 2) for one in self.qkv(x).chunk(3, -1)]
        q, k, v = self.q(heads[0]), self.k(heads[1]), self.v(heads[2])
        return x + self.out(((q @ k.transpose(2, 3)).softmax(-1) @ v).transpose(1, 2).flatten(2))


PATTERN_AXES = "batch head query key"


class Attending(System):
    axes: ClassVar = dict.fromkeys("qkv", "batch head position d_head")
    derived: ClassVar = {
        "pattern": Derived(("q", "k"), lambda _, q, k: (q @ k.transpose(2, 3)).softmax(-1), PATTERN_AXES),
        "weighted": Derived(("pattern", "v"), lambda _, pattern, v: pattern * v.norm(dim=-1)[:, :, None], PATTERN_AXES),
        "keys": Derived(("k",), lambda _, k: k),
        "through": Derived(("v",), lambda system, v: v.transpose(1, 2).flatten(2) @ system.module.out.weight.T),
    }


def expected_pattern(q, k):
    return (q @ k.transpose(2, 3)).softmax(-1)


class TestDerivedSites:
    X = normal(30, 5, 8)

    @pytest.fixture
    def attending(self):
        return Attending(made(Attention), "attention")

    def test_are_worked_out_from_their_sources(self, attending):
        found = attending.activations(self.X, ["pattern", "q", "k"])
        assert found.keys() == {"pattern", "q", "k"}
        assert found["pattern"].equal(expected_pattern(found["q"], found["k"]))
        assert attending.activations(self.X, ["pattern"]).keys() == {"pattern"}

    def test_may_be_derived_from_derived_ones_and_from_weights(self, attending):
        found = attending.activations(self.X, ["weighted", "through", "pattern", "v"])
        assert found["weighted"].equal(found["pattern"] * found["v"].norm(dim=-1).unsqueeze(2))
        assert found["through"].equal(found["v"].transpose(1, 2).flatten(2) @ attending.module.out.weight.T)

    @pytest.mark.parametrize("where", [{"head": 1}, {"head": [1, 0], "query": -1}, {"key": [False, True] * 2 + [True]}])
    def test_parts_of_them_are_parts_of_the_whole(self, attending, where):
        for site in ("pattern", "weighted"):
            whole = attending.activations(self.X, [site])[site]
            place = at(site, **where)
            found = Attending(attending.module, "attention").activations(self.X, [place])
            assert found[place].equal(place.select(whole, PATTERN_AXES))

    def test_follow_from_edited_sources(self, attending):
        q, k = attending.activations(self.X, ["q", "k"]).values()
        edited = attending.activations(self.X, ["pattern"], scale("q", 3, head=0), zero("k", position=2))["pattern"]
        k = k.clone()
        k[:, :, 2] = 0
        assert edited.equal(expected_pattern(q * torch.tensor([3.0, 1.0]).reshape(2, 1, 1), k))
        assert not edited.equal(attending.activations(self.X, ["pattern"])["pattern"])

    def test_are_worked_out_once(self, attending):
        passes = count_passes(attending.module)
        first = attending.activations(self.X, ["weighted"])["weighted"]
        assert attending.activations(self.X.clone(), ["weighted"])["weighted"] is first
        assert len(passes) == 1

    def test_nothing_that_is_kept_can_be_changed_in_place(self, attending):
        place = at("pattern", head=0)
        for site in ("pattern", "weighted", "keys", "through", "q", place):
            with pytest.raises(RuntimeError, match=r"[Ii]nference"):
                attending.activations(self.X, [site])[site].mul_(2)

    def test_stop_the_pass_at_the_last_source(self, attending):
        seen = []
        attending.module.out.register_forward_hook(lambda *_: seen.append(1))
        attending.activations(self.X, ["weighted"])
        assert not seen

    def test_can_be_read_and_not_changed(self, attending):
        for change in (
            lambda: attending.activations(self.X, ["q"], zero("pattern")),
            lambda: attending.activations(self.X, ["pattern"], zero("pattern", head=0)),
            lambda: list(attending.sweep(self.X, ["q"], [zero("pattern")])),
        ):
            with pytest.raises(SiteError, match="pattern"):
                change()

    def test_an_axis_that_they_lack_is_told(self, attending):
        with pytest.raises(SiteError, match=r"site pattern has no axis 'neuron'. Its axes: batch, head, query, key"):
            attending.activations(self.X, [at("pattern", neuron=0)])
        with pytest.raises(SiteError, match=r"site keys has no axis 'head'. Its axes: not named"):
            attending.activations(self.X, [at("keys", head=0)])

    @settings(deadline=None, derandomize=True, max_examples=20)
    @given(st.integers(65, 300), st.integers(1, 1 << 17))
    def test_no_number_depends_on_the_budget(self, many, budget):
        x, asked = normal(many, 5, 8), ["weighted", "pattern", "keys", "through", ""]
        whole, cut = (Attending(made(Attention), "attention") for _ in range(2))
        whole.batch_bytes, cut.batch_bytes = 1 << 40, budget
        passes = count_passes(cut.module)
        expected, found = whole.activations(x, asked), cut.activations(x, asked)
        assert all(found[site].equal(expected[site]) for site in asked)
        assert expected[""].equal(whole.module(x))
        assert len(passes) > 1 or budget > 20_000


class TestWhatIsKept:
    def test_content_decides_and_not_how_it_is_held(self, system):
        passes = count_passes(system.module)
        first = system.activations(TOKENS, ["layers"], zero("embed"))["layers"]
        for same_tokens in (TOKENS.clone(), (TOKENS,), TOKENS.T.contiguous().T):
            assert system.activations(same_tokens, ["layers"], zero("embed"))["layers"] is first
        assert (
            System(classifier(), "another name", cache=system.cache)
            .activations(TOKENS, ["layers"], zero("embed"))["layers"]
            .equal(first)
        )
        assert len(passes) == 1

    def test_what_differs_in_any_way_is_another(self, system):
        passes = count_passes(system.module)
        half = torch.full((8,), 0.5)
        asks = [
            *((TOKENS, ()), (TOKENS + 0 == 1, ()), (TOKENS[:9], ()), (TOKENS.int(), ()), (TOKENS.reshape(20, 1), ())),
            *((TOKENS, (zero("embed"),)), (TOKENS, (scale("embed", 0.5),)), (TOKENS, (scale("embed", half),))),
            *((TOKENS, (scale("embed", 0.5), zero("norm"))), (TOKENS, (zero("norm"), scale("embed", 0.5)))),
            *((TOKENS, (replace("embed", half, "half"),)), (TOKENS, (replace("embed", half.double(), "half"),))),
        ]
        for tokens, edits in asks:
            system.activations(tokens.long() if tokens.dtype == torch.bool else tokens, ["layers"], *edits)
        assert len(passes) == len(asks)

    def test_a_mask_changed_after_the_first_run_is_another_edit(self):
        class Mine(System):
            axes: ClassVar = {"embed": "batch position model"}

        system, mask = Mine(classifier(), "classifier"), torch.tensor([True, False])
        edit = zero("embed", position=mask)
        for expected in (1, 2):
            found = system.activations(TOKENS, ["embed"], edit)["embed"]
            assert (found == 0).all(-1).all(0).sum() == expected
            mask[1] = True

    def test_two_kinds_of_system_never_share(self):
        class Twofold(Attending):
            derived: ClassVar = {"pattern": Derived(("q", "k"), lambda _, q, k: 2 * expected_pattern(q, k))}

            def forward(self, x):
                return self.module(2 * x)

        cache, x = Cache(), normal(4, 5, 8)
        one, other = (kind(made(Attention), "attention", cache=cache) for kind in (Attending, Twofold))
        assert one.identity == other.identity
        assert one.activations(x, ["q"])["q"].equal(one.activations(x, ["q"])["q"])
        assert other.activations(x, ["q"])["q"].equal(one.activations(2 * x, ["q"])["q"])
        pattern = one.activations(2 * x, ["pattern"])["pattern"]
        assert other.activations(x, ["pattern"])["pattern"].equal(2 * pattern)

    def test_arguments_count(self):
        class Shifted(nn.Linear):
            def forward(self, x, shift=0.0, options=None):
                return super().forward(x) + shift + (options or {}).get("more", 0)

        system, x = System(made(lambda: Shifted(3, 3)), "shifted"), normal(4, 3)
        passes = count_passes(system.module)
        asks = [{}, {"shift": 1.0}, {"shift": 2.0}, {"shift": torch.ones(3)}, {"options": {"more": 1}}]
        asks += [{"options": {"more": 2}}, {"shift": torch.ones(3), "options": {"more": 2}}]
        for _ in range(2):
            for arguments in asks:
                assert system.activations(x, [""], **arguments)[""].equal(system.module(x, **arguments))
        assert len(passes) == 3 * len(asks)  # one for each, and two to compare with

    def test_with_arguments_that_cannot_be_told_apart_nothing_is_kept(self):
        class Chosen(nn.Linear):
            def forward(self, x, choose):
                return choose(super().forward(x))

        system, x = System(made(lambda: Chosen(3, 3)), "chosen"), normal(200, 3)
        system.batch_bytes = 1
        for choose in (torch.relu, torch.tanh, torch.relu):
            assert system.activations(x, [""], choose=choose)[""].equal(system.module(x, choose))
            (swept,) = system.sweep(x, [""], [zero("")], choose=choose)
            assert not swept[""].any()

    @pytest.mark.parametrize(
        "change",
        [
            lambda module: module.embed.weight.mul_(2),
            lambda module: module.layers[0].bias.add_(1e-6),
            lambda module: module.embed.reset_parameters(),
            lambda module: setattr(module.norm, "weight", nn.Parameter(torch.zeros(8))),
            lambda module: module.load_state_dict(classifier(1).state_dict()),
            lambda module: module.load_state_dict(classifier(1).state_dict(), assign=True),
            lambda module: setattr(module.norm.weight, "data", torch.zeros(8)),
            lambda module: module.half(),
        ],
    )
    def test_changed_weights_are_told_with_what_to_do(self, system, change):
        system.activations(TOKENS, ["layers"])
        with torch.no_grad():
            change(system.module)
        for ask in (
            lambda: system.activations(TOKENS, ["layers"]),
            lambda: list(system.sweep(TOKENS, ["layers"], [zero("embed")])),
        ):
            with pytest.raises(ChangedWeightsError, match=r"of classifier were changed.*Change a copy of the module"):
                ask()

    def test_weights_made_under_inference_mode_are_weights(self):
        with torch.inference_mode():
            module = classifier()
        system = System(module, "classifier")
        assert system.activations(TOKENS, ["layers"])["layers"].equal(module(TOKENS))

    @pytest.mark.parametrize("inputs", [[TOKENS], "text", (), (TOKENS, TOKENS[:3]), torch.tensor(3)], ids=repr)
    def test_other_inputs_are_refused(self, system, inputs):
        for ask in (
            lambda: system.activations(inputs, ["layers"]),
            lambda: list(system.sweep(inputs, ["layers"], [zero("embed")])),
        ):
            with pytest.raises(ValueError, match="expected tensors with a row for each input"):
                ask()

    def test_longer_arguments_take_smaller_batches(self):
        class Wide(nn.Linear):
            def forward(self, x, wide):
                return super().forward(x).unsqueeze(-1) * wide

        system, x = System(made(lambda: Wide(3, 3)), "wide"), normal(2000, 3)
        system.batch_bytes = 1 << 16
        passes = count_passes(system.module)
        counts = []
        for length in (1, 100):
            passes.clear()
            wide = torch.ones(length)
            system.activations(x, [""], wide=wide)
            counts.append(len(passes))
            expected = rows_within(system.batch_bytes, lambda x, wide=wide: system.module(x, wide), (x,))
            assert counts[-1] >= 2000 // expected
        assert counts[1] > 5 * counts[0]


class Residual(nn.Module):
    def __init__(self, *layers):
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x):
        return x + self.layers(x)


class Shared(nn.Module):
    """One block under two names, called early, in the middle and late."""

    def __init__(self):
        super().__init__()
        self.block = Residual(nn.Linear(8, 8), nn.Tanh())
        self.first, self.second, self.last = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 3)
        self.alias = self.block

    def forward(self, x):
        x = self.block(self.first(x))
        x = self.alias(self.second(x).relu())
        return self.last(self.block(x))


class PreActivation(nn.Module):
    """Residual blocks whose first layer changes the residual stream in place."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.ReLU(inplace=True), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8)) for _ in range(3)
        )
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        x = x * 1
        for block in self.blocks:
            x = x + block(x)
        return self.head(x)


class Turning(nn.Module):
    """Positions beside the inputs, layers that return another layout, and a table as long as there are positions."""

    def __init__(self, positions=5):
        super().__init__()
        self.positions, self.bias = nn.Embedding(positions, 8), nn.Embedding(1, 8)
        self.mix, self.turned = nn.Linear(positions, positions), nn.Identity()
        self.wide, self.narrow, self.last = nn.Linear(8, 40), nn.Linear(40, 8), nn.Linear(8, 3)

    def forward(self, x):
        x = x + self.positions(torch.arange(x.shape[1])) + self.bias(torch.zeros(1, dtype=torch.long))
        x = x + self.turned(self.mix(x.transpose(1, 2)).transpose(1, 2))
        return self.last(x + self.narrow(self.wide(x).relu()))


class Recurrent(nn.Module):
    """Returns tuples, and hands on what is not its first element."""

    def __init__(self):
        super().__init__()
        self.before, self.lstm, self.last = nn.Linear(8, 8), nn.LSTM(8, 8, batch_first=True), nn.Linear(8, 3)

    def forward(self, x):
        out, (hidden, _) = self.lstm(self.before(x))
        return self.last(out + hidden.transpose(0, 1))


BUILDS = {
    "chain": lambda: nn.Sequential(*(nn.Sequential(nn.Linear(8, 8), nn.Tanh()) for _ in range(4))),
    "residual": lambda: nn.Sequential(
        *(Residual(nn.LayerNorm(8), nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8)) for _ in range(3)), nn.Linear(8, 3)
    ),
    "shared": Shared,
    "pre-activation": PreActivation,
    "turning": Turning,
    "recurrent": Recurrent,
    "attention": Attention,
}


def sites_of(module):
    """Every submodule that is called and returns a tensor first, and the module itself."""
    called = []
    handles = [
        layer.register_forward_hook(lambda *_, name=name: called.append(name))
        for name, layer in module.named_modules(remove_duplicate=False)
    ]
    module(normal(3, 5, 8))
    for handle in handles:
        handle.remove()
    return list(dict.fromkeys(called))


@st.composite
def sweeps(draw):
    build = draw(st.sampled_from(sorted(BUILDS)))
    module = made(BUILDS[build], draw(st.integers(0, 2)))
    sites = sites_of(module)
    places = st.sampled_from([*sites, *(f"{site}:input" for site in sites)])
    asked = draw(st.lists(places, min_size=1, max_size=4, unique=True))
    operations = st.sampled_from(["zero", "scale", "patch", "mean", "resample"])
    ablations = draw(st.lists(st.lists(st.tuples(places, operations), max_size=2), min_size=1, max_size=3))
    return module, asked, ablations


def an_edit(system, x, site, operation):
    if operation == "zero":
        return zero(site)
    source = system.activations(x.flip(0) * 0.9, [site])[site]
    if operation == "scale" and source.is_floating_point():  # places in a table cannot be scaled
        return scale(site, -0.7)
    if len(source) != len(x) or operation == "patch" or len(x) == 1:
        return patch(site, source)
    if operation == "mean" and source.is_floating_point():
        return mean(site, source)
    return resample(site, source, torch.Generator().manual_seed(0))


class TestSweep:
    @settings(deadline=None, derandomize=True, max_examples=150)
    @given(sweeps(), st.sampled_from([1, 2, 5, 33, 70, 133]))
    def test_gives_what_activations_give_bit_for_bit(self, sweep, many):
        module, asked, ablations = sweep
        x = normal(many, 5, 8, seed=many)
        system, plain = (System(module, "toy", cache=Cache(budget)) for budget in (1 << 30, 0))
        system.batch_bytes = plain.batch_bytes = 1
        if many > 64:
            asked = [site for site in asked if not site.startswith(("positions", "bias"))] or [""]
            ablations = [
                [(site, operation) for site, operation in ablation if not site.startswith(("positions", "bias"))]
                for ablation in ablations
            ]
        edits = [[an_edit(plain, x, site, operation) for site, operation in ablation] for ablation in ablations]
        found = list(system.sweep(x, asked, edits))
        assert len(found) == len(edits)
        for one, changes in zip(found, edits, strict=True):
            expected = plain.activations(x, asked, *changes)
            assert one.keys() == expected.keys()
            assert all(one[site].equal(expected[site]) for site in asked)

    @pytest.mark.parametrize("budget", [0, 1 << 30], ids=["nothing kept", "all kept"])
    def test_what_lies_before_the_first_change_is_run_once(self, budget):
        system = System(made(BUILDS["chain"]), "chain", cache=Cache(budget))
        seen = {}
        for name in ("0", "1", "2", "3"):
            layer = system.module.get_submodule(name)
            layer[0].register_forward_pre_hook(lambda *_, name=name: seen.update({name: seen.get(name, 0) + 1}))
        x = normal(10, 8)
        assert len(list(system.sweep(x, ["3"], [scale("2:input", factor) for factor in (0, 0.2, 0.4, 0.6)]))) == 4
        # Two passes tell the order, one gives what is shared.
        assert seen == {"0": 3, "1": 3, "2": 6, "3": 6}

    def test_ablations_may_be_edits_or_lists_of_them_and_are_noted(self):
        system, x = System(made(BUILDS["chain"]), "chain"), normal(10, 8)
        with record_edits() as words:
            plain, one, two = system.sweep(x, ["3"], [[], zero("1"), (zero("1"), scale("2", 2))])
        assert list(words) == ["zero 1", "scale by 2 2"]
        assert plain["3"].equal(system.module(x))
        assert one["3"].equal(system.activations(x, ["3"], zero("1"))["3"])
        assert two["3"].equal(system.activations(x, ["3"], zero("1"), scale("2", 2))["3"])

    def test_derived_sites_and_parts_are_swept_too(self):
        system, x = Attending(made(Attention), "attention"), normal(100, 5, 8)
        system.batch_bytes = 1
        asked = ["weighted", at("pattern", head=0), at("v", position=[1, 2]), ""]
        ablations = [zero("q", head=head) for head in (0, 1)] + [keep_only("v", head=1), zero("k", batch=range(50))]
        for edit, found in zip(ablations, system.sweep(x, asked, ablations), strict=True):
            expected = Attending(system.module, "attention").activations(x, asked, edit)
            assert all(found[site].equal(expected[site]) for site in asked)

    def test_layers_whose_own_state_was_replaced_are_as_before(self):
        system, x = System(made(BUILDS["residual"]), "residual"), normal(10, 5, 8)
        expected = system.module(x)
        sweep = system.sweep(x, ["3"], [zero("1"), zero("2")])
        next(sweep)
        assert system.module(x).equal(expected)
        sweep.close()
        assert system.module(x).equal(expected)
        assert not any("forward" in layer.__dict__ or layer._forward_hooks for layer in system.module.modules())

    def test_an_unknown_or_unreached_site_is_told(self):
        system, x = System(made(BUILDS["chain"]), "chain"), normal(10, 8)
        for asked, edit in (("nowhere", zero("1")), ("3", zero("nowhere")), (at("nowhere"), zero("1"))):
            with pytest.raises(SiteError, match="nowhere"):
                list(system.sweep(x, [asked], [edit]))

    def test_is_exact_where_the_rest_is_linear(self):
        system, x = System(made(lambda: nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 3)), 1), "linear"), normal(50, 8)
        system.module.double()
        system = type("Named", (System,), {"axes": {"0": "batch neuron"}})(system.module, "linear")
        x = x.double()
        hidden, weight = system.module[0](x), system.module[1].weight
        ablations = [zero("0", neuron=neuron) for neuron in range(8)]
        for neuron, found in enumerate(system.sweep(x, ["1"], ablations)):
            product = system.module(x) - hidden[:, neuron : neuron + 1] * weight[:, neuron]
            torch.testing.assert_close(found["1"], product, rtol=1e-12, atol=1e-12)


def test_a_system_without_heads_says_so(system):
    with pytest.raises(SiteError, match="classifier has no attention heads, so there is no L0H1"):
        system.head(Head(0, 1))


def test_an_edit_of_ones_own_is_made_like_any_other(system):
    shift = Edit(at("norm"), "shift by one", 1.0, torch.ones(()))
    found = system.activations(TOKENS, ["layers"], shift)["layers"]
    module = system.module
    assert found.equal(module.layers(module.norm(module.embed(TOKENS)) + 1))
