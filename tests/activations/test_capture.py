from collections import namedtuple

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from mechtests import activations
from mechtests.activations.capture import FEWEST, batches, calls, rows_within, upstream
from mechtests.activations.interventions import SiteError, at, mean, patch, replace, resample, scale, zero

AXES = {"embed": "batch position model", "mid": "batch position model", "out": "batch position number"}
SITES = ("embed", "mid", "out")
steady = settings(deadline=None, derandomize=True, max_examples=60)


class Toy(nn.Module):
    """Two linear maps over 3 positions of width 4, with a site after each step."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 2)
        self.embed, self.mid, self.out = nn.Identity(), nn.Identity(), nn.Identity()

    def forward(self, x):
        return self.out(self.second(self.mid(self.first(self.embed(x)).relu())))


@pytest.fixture
def toy():
    with torch.random.fork_rng():
        return Toy().double().requires_grad_(False)


X = torch.randn(5, 3, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def run(toy, *edits, sites=SITES):
    return activations.run(toy, X, sites, edits, AXES)


def edited(changed, plain):
    """Where an edit made a difference."""
    return changed != plain


class TestEdits:
    def test_zero_erases_the_whole_site(self, toy):
        assert not run(toy, zero("mid"))["mid"].any()

    @pytest.mark.parametrize("chosen", [1, [1], torch.tensor([1]), [False, True, False], torch.arange(3) == 1])
    def test_zero_erases_what_an_axis_selects_by_number_index_or_mask(self, toy, chosen):
        plain, found = run(toy)["embed"], run(toy, zero("embed", position=chosen))["embed"]
        assert not found[:, 1].any()
        assert found[:, [0, 2]].equal(plain[:, [0, 2]])

    def test_an_edit_on_several_axes_is_made_where_they_cross(self, toy):
        expected = run(toy)["embed"].clone()
        for position in (0, 2):
            for model in (1, 3):
                expected[:, position, model] = 0
        found = run(toy, zero("embed", position=[2, 0], model=[False, True, False, True]))["embed"]
        assert found.equal(expected)

    def test_scale_multiplies(self, toy):
        plain, found = run(toy)["mid"], run(toy, scale("mid", -0.5, batch=[0, 4]))["mid"]
        assert found[[0, 4]].equal(-0.5 * plain[[0, 4]])
        assert found[1:4].equal(plain[1:4])

    def test_replace_puts_a_value_that_broadcasts(self, toy):
        value = torch.arange(4.0).double()
        found = run(toy, replace("embed", value, "numbers", position=1))["embed"]
        assert found[:, 1].equal(value.expand(5, 4))
        assert found[:, 0].equal(X[:, 0])

    def test_replace_can_put_another_value_for_each_input(self, toy):
        assert run(toy, replace("embed", X.flip(0), "the others"))["out"].equal(toy(X.flip(0)))

    def test_several_edits_of_one_site_are_made_in_order(self, toy):
        one = torch.ones((), dtype=torch.float64)
        first = run(toy, replace("mid", one, "one"), scale("mid", 3))["mid"]
        second = run(toy, scale("mid", 3), replace("mid", one, "one"))["mid"]
        assert first.equal(torch.full_like(first, 3))
        assert second.equal(torch.ones_like(second))

    def test_edits_of_several_sites_are_all_made(self, toy):
        found = run(toy, zero("embed"), scale("mid", 2, position=0))
        assert not found["embed"].any()
        hidden = toy.first.bias.relu()
        assert found["mid"][:, 0].equal((2 * hidden).expand(5, 4))
        assert found["mid"][:, 1].equal(hidden.expand(5, 4))

    def test_an_edit_reaches_everything_later_and_nothing_earlier(self, toy):
        plain, found = run(toy), run(toy, zero("mid"))
        assert found["embed"].equal(plain["embed"])
        assert found["out"].equal(toy.second.bias.expand(5, 3, 2))

    def test_a_site_edited_and_not_asked_for_has_its_effect_all_the_same(self, toy):
        found = run(toy, zero("mid"), sites=["out"])
        assert found.keys() == {"out"}
        assert found["out"].equal(toy.second.bias.expand(5, 3, 2))

    @pytest.mark.parametrize("edits", [(), (scale("mid", 1), scale("embed", 1, model=[0, 2]))], ids=["none", "by 1"])
    def test_no_edit_and_scaling_by_1_change_nothing(self, toy, edits):
        plain, found = run(toy), run(toy, *edits)
        assert all(found[site].equal(plain[site]) for site in SITES)

    @pytest.mark.parametrize(
        "nothing", [[], [False] * 4, torch.zeros(0, dtype=torch.long)], ids=["list", "mask", "index"]
    )
    def test_an_edit_that_selects_nothing_changes_nothing(self, toy, nothing):
        assert run(toy, zero("mid", model=nothing))["out"].equal(run(toy)["out"])

    @steady
    @given(st.sets(st.integers(0, 3)), st.sets(st.integers(0, 2)), st.floats(-2, 2))
    def test_a_mask_and_its_indices_select_the_same_and_leave_the_rest(self, model, position, factor):
        with torch.random.fork_rng():
            toy = Toy().double().requires_grad_(False)
        masks = [torch.tensor([place in chosen for place in range(n)]) for chosen, n in ((model, 4), (position, 3))]
        by_mask = run(toy, scale("mid", factor, model=masks[0], position=masks[1]))["mid"]
        indices = [torch.tensor(sorted(chosen), dtype=torch.long) for chosen in (model, position)]
        by_index = run(toy, scale("mid", factor, model=indices[0], position=indices[1]))["mid"]
        plain = run(toy)["mid"]
        assert by_mask.equal(by_index)
        assert by_mask.equal(torch.where(masks[1].unsqueeze(1) & masks[0], plain * factor, plain))


class TestRuns:
    def test_a_captured_run_and_a_plain_one_are_bitwise_equal(self, toy):
        assert run(toy)["out"].equal(toy(X))

    def test_only_the_sites_asked_for_come_back(self, toy):
        assert run(toy, sites=["mid"]).keys() == {"mid"}
        assert run(toy, sites=[]) == {}

    def test_any_submodule_is_a_site_by_its_dotted_path(self):
        model = nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.Tanh(), nn.Linear(4, 1))).double()
        found = activations.run(model, X, ["0", "1.0", "1"])
        assert found["1.0"].equal(found["0"].tanh())
        assert found["1"].equal(model(X))

    def test_a_captured_activation_stays_what_the_site_returned_when_later_layers_work_in_place(self):
        layer = nn.Linear(4, 4).double()
        model = nn.Sequential(layer, nn.ReLU(inplace=True))
        assert activations.run(model, X, ["0"])["0"].equal(layer(X))

    def test_a_replacement_stays_what_it_was_when_later_layers_work_in_place(self):
        model = nn.Sequential(nn.Identity(), nn.ReLU(inplace=True))
        value = -torch.ones_like(X)
        activations.run(model, X.clone(), ["1"], [replace("0", value, "minus one")])
        assert value.equal(-torch.ones_like(X))

    def test_no_gradient_is_recorded_and_nothing_captured_can_be_changed_in_place(self, toy):
        out = run(toy.requires_grad_(True))["out"]
        assert not out.requires_grad
        with pytest.raises(RuntimeError, match=r"[Ii]nference"):
            out.add_(1)

    def test_hooks_are_gone_after_a_run(self, toy):
        run(toy, zero("mid"))
        assert not any(module._forward_hooks for module in toy.modules())

    def test_hooks_are_gone_after_an_exception(self, toy):
        with pytest.raises(ZeroDivisionError):
            activations.run(toy, X, [], [zero("mid")], AXES, forward=lambda x: toy(x) / (1 // 0))
        assert not any(module._forward_hooks for module in toy.modules())

    def test_hooks_are_gone_after_an_unknown_site(self, toy):
        with pytest.raises(SiteError):
            run(toy, zero("nowhere"))
        assert not any(module._forward_hooks for module in toy.modules())


class TestErrors:
    def test_an_unknown_site_to_capture_is_told_with_those_there_are(self, toy):
        with pytest.raises(SiteError, match=r"Toy has no site 'mlp'. It has: first, second, embed, mid, out"):
            run(toy, sites=["mlp"])

    def test_an_unknown_site_to_edit_is_told_with_those_there_are(self, toy):
        with pytest.raises(SiteError, match=r"Toy has no site 'blocks.7'. It has: first, second, embed, mid, out"):
            run(toy, zero("blocks.7"))

    def test_an_unknown_axis_is_told_with_those_there_are(self, toy):
        with pytest.raises(SiteError, match=r"site mid has no axis 'head'. Its axes: batch, position, model"):
            run(toy, zero("mid", head=0))

    def test_an_axis_of_a_site_without_named_axes_is_told(self, toy):
        with pytest.raises(SiteError, match=r"site first has no axis 'model'. Its axes: not named"):
            run(toy, zero("first", model=0))

    @pytest.mark.parametrize("chosen", [7, [True, False]], ids=["index", "mask"])
    def test_a_selection_that_does_not_fit_its_axis_is_refused(self, toy, chosen):
        with pytest.raises(SiteError, match="axis model of site mid has 4 entries"):
            run(toy, zero("mid", model=chosen))

    def test_a_replacement_of_another_shape_is_refused(self, toy):
        with pytest.raises(SiteError, match=r"value has the shape \(7,\)"):
            run(toy, replace("mid", torch.zeros(7), "seven numbers"))


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def made(build, seed=0):
    """A module with weights that the seed decides, as a system has it."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build().eval().requires_grad_(False)


def hooks(module):
    return [
        hook
        for layer in module.modules()
        for kept in (layer._forward_hooks, layer._forward_pre_hooks, layer._backward_hooks)
        for hook in kept.values()
    ]


def counted(module):
    """How often each submodule was called, by name, from now on."""
    seen = {}
    for name, layer in module.named_modules():
        layer.register_forward_pre_hook(lambda *_, name=name: seen.update({name: seen.get(name, 0) + 1}))
    return seen


class Chain(nn.Sequential):
    """Linear maps of width 8 with a tanh between."""

    def __init__(self, depth=3, width=8):
        super().__init__(*(nn.Sequential(nn.Linear(width, width), nn.Tanh()) for _ in range(depth)))


class TestEarlyStop:
    @pytest.mark.parametrize("last", [0, 1, 2])
    def test_what_comes_after_the_last_site_is_not_called(self, last):
        chain = made(Chain)
        seen = counted(chain)
        activations.run(chain, normal(5, 8), [f"{site}.0" for site in range(last + 1)])
        assert {name for name in seen if name} == {
            *(str(site) for site in range(last + 1)),
            *(f"{site}.0" for site in range(last + 1)),
            *(f"{site}.1" for site in range(last)),
        }

    def test_what_a_site_is_given_is_read_before_it_is_called(self):
        chain = made(Chain)
        seen, x = [], normal(5, 8)
        chain[1].forward = seen.append
        found = activations.run(chain, x, ["1:input"])["1:input"]
        assert found.equal(chain[0](x))
        assert not seen

    def test_a_module_that_catches_every_exception_does_not_catch_the_end(self):
        class Careful(nn.Module):
            def __init__(self):
                super().__init__()
                self.inner, self.fallback = nn.Linear(8, 8), nn.Linear(8, 8)

            def forward(self, x):
                try:
                    return self.inner(x)
                except Exception:
                    return self.fallback(x)

        module, x = made(Careful), normal(5, 8)
        seen = counted(module)
        assert activations.run(module, x, ["inner"])["inner"].equal(module.inner(x))
        assert "fallback" not in seen

    def test_without_anything_to_read_the_pass_goes_to_its_end(self):
        ends = []
        chain = made(Chain)
        assert activations.run(chain, normal(5, 8), [], [zero("0")], forward=lambda x: ends.append(chain(x))) == {}
        assert ends[0].equal(chain[2](chain[1](torch.zeros(5, 8))))

    def test_an_edit_after_the_last_site_is_made_and_checked_all_the_same(self):
        chain, x = made(Chain), normal(5, 8)
        assert activations.run(chain, x, ["0"], [zero("2")])["0"].equal(chain[0](x))
        with pytest.raises(SiteError, match="its value has the shape"):
            activations.run(chain, x, ["0"], [replace("2", torch.zeros(3), "zeros")])


class Unused(nn.Module):
    def __init__(self):
        super().__init__()
        self.used, self.unused, self.blocks = nn.Linear(8, 8), nn.Linear(8, 8), nn.ModuleList([nn.Linear(8, 8)])

    def forward(self, x):
        return self.blocks[0](self.used(x))


class TestNeverReached:
    @pytest.mark.parametrize("site", ["unused", "blocks", "unused:input"])
    def test_a_site_to_read_or_to_change_is_told(self, site):
        module = made(Unused)
        for sites, edits in (([site], []), (["used"], [zero(site)]), (["blocks.0"], [zero("used"), zero(site)])):
            with pytest.raises(SiteError, match=f"the pass never reached {site}"):
                activations.run(module, normal(3, 8), sites, edits)
        assert not hooks(module)

    def test_a_parameter_is_no_site(self):
        with pytest.raises(
            SiteError, match=r"Unused has no site 'used.weight'. It has: used, unused, blocks, blocks.0"
        ):
            activations.run(made(Unused), normal(3, 8), ["used.weight"])


Output = namedtuple("Output", ["hidden", "weights"])


class Several(nn.Module):
    """Returns its argument doubled, and another thing, in a container of a given kind."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind

    def forward(self, x):
        return self.kind([2 * x, x + 1])


class Reader(nn.Module):
    """Uses a container as its kind allows."""

    def __init__(self, kind):
        super().__init__()
        self.inner, self.last = Several(kind), nn.Identity()

    def forward(self, x):
        found = self.inner(x)
        if hasattr(found, "hidden"):
            return self.last(found.hidden + found.weights)
        if isinstance(found, list):
            found[1] = found[1] * 1
        return self.last(found[0] + found[1])


class TestWhatSitesReturn:
    @pytest.mark.parametrize("kind", [tuple, list, Output._make], ids=["tuple", "list", "named tuple"])
    def test_of_several_things_the_first_is_read_and_changed(self, kind):
        module, x = Reader(kind), normal(5, 3)
        found = activations.run(module, x, ["inner", "last"], [scale("inner", 10)])
        assert found["inner"].equal(20 * x)
        assert found["last"].equal(20 * x + (x + 1))

    def test_a_library_layer_that_returns_a_tuple(self):
        lstm, x = made(lambda: nn.Sequential(nn.LSTM(3, 4, batch_first=True))), normal(5, 2, 3)
        assert activations.run(lstm, x, ["0"])["0"].equal(lstm(x)[0])
        assert not activations.run(lstm, x, ["0"], [zero("0")])["0"].any()

    @pytest.mark.parametrize("kind", [lambda _: None, lambda _: {"a": 1}, lambda _: (), lambda _: (1, 2)])
    def test_what_begins_with_no_tensor_is_told(self, kind):
        module = nn.Sequential(Several(kind))
        for sites, edits in ((["0"], []), ([], [zero("0")])):
            with pytest.raises(SiteError, match="Expected a tensor, or a tuple that begins with one"):
                activations.run(module, normal(5, 3), sites, edits)
        assert not hooks(module)

    def test_a_module_that_takes_names_only_has_no_input_to_read(self):
        inner = made(lambda: nn.Linear(3, 3))
        module = nn.Sequential(inner)
        with pytest.raises(SiteError, match="site 0:input is a tuple"):
            activations.run(module, normal(5, 3), ["0:input"], forward=lambda x: inner(input=x))

    def test_the_module_itself_is_a_site_without_a_name(self):
        chain, x = made(Chain), normal(5, 8)
        found = activations.run(chain, x, ["", ":input"], [scale("", 2), scale(":input", 3)])
        assert found[""].equal(2 * chain(3 * x))
        assert found[":input"].equal(3 * x)


class Twice(nn.Module):
    """One layer called three times, and once by another name."""

    def __init__(self):
        super().__init__()
        self.layer, self.last = nn.Linear(8, 8), nn.Identity()
        self.again = self.layer

    def forward(self, x):
        for _ in range(3):
            x = self.layer(x).tanh()
        return self.last(x)


class TestModulesCalledSeveralTimes:
    def test_the_first_call_is_read_and_every_call_changed(self):
        module, x = made(Twice), normal(5, 8)
        assert activations.run(module, x, ["layer"])["layer"].equal(module.layer(x))
        found = activations.run(module, x, ["layer", "last"], [scale("layer", 2)])
        expected = x
        for _ in range(3):
            expected = (2 * module.layer(expected)).tanh()
        assert found["last"].equal(expected)
        assert found["layer"].equal(2 * module.layer(x))

    def test_both_names_of_a_shared_module_are_sites(self):
        module, x = made(Twice), normal(5, 8)
        found = activations.run(module, x, ["layer", "again"])
        assert found["layer"].equal(found["again"])
        with pytest.raises(SiteError, match=r"It has: layer, last, again"):
            activations.run(module, x, ["nowhere"])


class InPlace(nn.Module):
    """Every layer changes what it is given."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Identity(), nn.ReLU(inplace=True), nn.Identity()

    def forward(self, x):
        return self.c(self.b(self.a(x)).add_(1).mul_(-2))


class TestInPlace:
    def test_sites_are_what_they_were_when_they_were_reached(self):
        x = normal(5, 8)
        found = activations.run(InPlace(), x.clone(), ["a", "b:input", "b", "c:input", "c"])
        assert found["a"].equal(x)
        assert found["b:input"].equal(x)
        assert found["b"].equal(x.relu())
        assert found["c"].equal((x.relu() + 1) * -2)
        assert found["c:input"].equal(found["c"])

    @pytest.mark.parametrize("edit", [patch, scale, mean])
    def test_values_of_edits_stay_what_they_are(self, edit):
        source = normal(5, 8, seed=1)
        kept = source.clone()
        made = edit("a", source)
        key = made.key
        for rows in (None, FEWEST):
            activations.run(InPlace(), normal(5, 8), ["c"], [made], rows=rows)
        assert source.equal(kept)
        assert made.key == key

    def test_parts_do_not_change_either(self):
        x, axes = normal(5, 8), {"a": "batch model"}
        for where in ({"model": 3}, {"model": [3, 1]}, {"model": slice}):
            place = at("a") if where["model"] is slice else at("a", **where)
            found = activations.run(InPlace(), x.clone(), [place, "c"], (), axes)[place]
            assert found.equal(place.select(x, axes["a"]))


class TestExceptions:
    @pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit, ValueError, RuntimeError])
    def test_whatever_ends_a_pass_is_passed_on_and_nothing_stays(self, error):
        class Failing(Chain):
            def forward(self, x):
                x = self[1](self[0](x))
                raise error("on the way")

        module, x = made(Failing), normal(5, 8)
        with pytest.raises(error, match="on the way"):
            activations.run(module, x, ["0", "2"], [zero("0")], given={"1": x})
        assert not hooks(module)
        assert not any("forward" in layer.__dict__ for layer in module.modules())
        assert not torch.is_inference_mode_enabled()

    def test_an_edit_that_fails_in_its_hook_leaves_nothing(self):
        module = made(Chain)
        with pytest.raises(SiteError, match="broadcasts"):
            activations.run(
                module, normal(5, 8), ["2"], [replace("1", torch.zeros(3), "zeros")], given={"0": normal(5, 8)}
            )
        assert not hooks(module)
        assert not any("forward" in layer.__dict__ for layer in module.modules())

    def test_hooks_and_forwards_of_the_user_stay(self):
        module, x, seen = made(Chain), normal(5, 8), []
        module[0].register_forward_hook(lambda *_: seen.append("hook"))
        own = module[1].forward
        module[1].forward = lambda x: 2 * own(x)
        mine = module[1].forward
        expected = module(x)
        found = activations.run(module, x, ["1", "2"], given={"0": module[0](x)})
        assert found["2"].equal(expected)
        assert found["1"].equal(2 * own(module[0](x)))
        activations.run(module, x, ["2"], given={"1": module[0](x)})
        assert module[1].forward is mine
        assert len(hooks(module)) == 1
        assert seen
        assert module(x).equal(expected)

    @pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad, torch.enable_grad])
    def test_any_mode_around_a_run_is_kept(self, mode):
        module, x = made(Chain), normal(5, 8)
        with mode():
            before = torch.is_inference_mode_enabled(), torch.is_grad_enabled()
            found = activations.run(module, x, ["0", "2"], [scale("0", 1)])
            assert (torch.is_inference_mode_enabled(), torch.is_grad_enabled()) == before
        assert found["2"].equal(module(x))

    @pytest.mark.parametrize(
        "inputs",
        [[torch.zeros(2, 8)], (), "text", None, torch.tensor(1.0), (torch.zeros(2, 8), torch.zeros(3, 8)), (None,)],
        ids=repr,
    )
    def test_other_inputs_than_tensors_with_as_many_rows_are_refused(self, inputs):
        with pytest.raises(ValueError, match="expected tensors with a row for each input, as many rows each; found"):
            activations.run(made(Chain), inputs, ["0"])


class TestNestedRuns:
    def test_a_run_inside_the_forward_of_another(self):
        inner, outer, x = made(Chain), made(Chain, seed=1), normal(5, 8)

        def forward(x):
            return outer(activations.run(inner, x, ["1"], [scale("0", 2)])["1"])

        found = activations.run(outer, x, ["0", "2"], [zero("1")], forward=forward)
        assert found["0"].equal(outer[0](inner[1](2 * inner[0](x))))
        assert found["2"].equal(outer[2](torch.zeros(5, 8)))

    def test_the_end_of_a_run_around_another_is_not_taken_for_its_own(self):
        module, x = made(Chain), normal(5, 8)
        after = []

        def forward(x):
            after.append(activations.run(module, x, ["2"]))

        assert activations.run(module, x, ["0"], forward=forward)["0"].equal(module[0](x))
        assert not after
        assert not hooks(module)


class TestGiven:
    def test_a_given_submodule_is_not_run_and_the_rest_goes_on_from_it(self):
        module, x, value = made(Chain), normal(40, 8), normal(40, 8, seed=1)
        seen = counted(module[0])
        for rows in (None, FEWEST):
            found = activations.run(module, x, ["0", "2"], given={"0": value}, rows=rows)
            assert found["0"].equal(value)
            assert found["2"].equal(module[2](module[1](value)))
        assert set(seen) == {""}
        assert not any("forward" in layer.__dict__ for layer in module.modules())

    def test_what_is_given_is_not_changed_by_layers_that_work_in_place(self):
        module = nn.Sequential(nn.Identity(), nn.ReLU(inplace=True))
        value = normal(5, 8)
        kept = value.clone()
        activations.run(module, normal(5, 8, seed=1), ["1"], given={"0": value})
        assert value.equal(kept)


class TestBatches:
    @steady
    @given(st.integers(0, 500), st.one_of(st.none(), st.integers(-3, 600)))
    def test_follow_on_each_other_begin_at_whole_groups_and_none_is_short(self, many, rows):
        found = batches(many, rows)
        assert [batch.first for batch in found] == [0, *(batch.last for batch in found[:-1])]
        assert found[-1].last == many
        assert all(batch.first % FEWEST == 0 and batch.total == many for batch in found)
        if len(found) > 1:
            sizes = [batch.last - batch.first for batch in found]
            assert min(sizes) >= FEWEST
            assert max(sizes[:-1]) <= max(FEWEST, rows)
            assert sizes[-1] < max(FEWEST, rows) + FEWEST

    def test_all_at_once_where_nothing_is_said(self):
        assert [(batch.first, batch.last) for batch in batches(1000, None)] == [(0, 1000)]

    def test_a_larger_budget_gives_more_rows_and_every_tensor_counts(self):
        module, x = made(lambda: nn.Sequential(nn.Linear(8, 100), nn.ReLU(), nn.Linear(100, 4))), normal(500, 8)
        each = (100 + 100 + 4) * 4
        assert rows_within(1000 * each, module, (x,)) == 1000
        assert rows_within(100 * each, module, (x,)) == 100
        assert rows_within(1, module, (x,)) == FEWEST
        assert rows_within(1000 * each, module, (x[:3],)) == 1000


class Transformer(nn.Module):
    """Attention and an MLP over a few positions, with sites in other layouts than they are computed in."""

    def __init__(self, width=8, heads=2, positions=3):
        super().__init__()
        self.position = nn.Embedding(positions, width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.norm, self.heads = nn.LayerNorm(width), heads
        self.q, self.k, self.v, self.pattern, self.z = (nn.Identity() for _ in range(5))
        self.logits = nn.Linear(width, 5)

    def forward(self, x):
        x = x + self.position(torch.arange(x.shape[1]))
        heads = [one.unflatten(-1, (self.heads, -1)).transpose(1, 2) for one in self.qkv(self.norm(x)).chunk(3, -1)]
        q, k, v = (site(one) for site, one in zip((self.q, self.k, self.v), heads, strict=True))
        pattern = self.pattern((q @ k.transpose(2, 3)).softmax(-1))
        x = x + self.out(self.z(pattern @ v).transpose(1, 2).flatten(2))
        return self.logits(x + self.mlp(x))


T_AXES = {
    "position": "position model",
    "q": "batch head position d_head",
    "k": "batch head position d_head",
    "v": "batch head position d_head",
    "z": "batch head position d_head",
    "pattern": "batch head position key",
    "mlp.0": "batch position neuron",
    "logits": "batch position vocab",
}
T_SITES = [*T_AXES, at("pattern", head=1), at("logits", position=-1), at("mlp.0", neuron=[0, 3], position=[1])]

some = st.sampled_from(["q", "k", "v", "z", "pattern", "mlp.0"])
axis_of = {site: axes.split()[1] for site, axes in T_AXES.items()}


def an_edit(site, kind, source, seed):
    where = {axis_of[site]: seed % 2}
    generator = torch.Generator().manual_seed(seed)
    return {
        "zero": lambda: zero(site, **where),
        "mean": lambda: mean(site, source, **where),
        "patch": lambda: patch(site, source),
        "resample": lambda: resample(site, source, generator, **where),
        "scale": lambda: scale(site, 0.3),
        "batch": lambda: zero(site, batch=range(0, len(source), 3)),
        "keep": lambda: zero(site, **where).everywhere_else(),
    }[kind]()


KINDS = ["zero", "mean", "patch", "resample", "scale", "batch", "keep"]


class TestBatchedRuns:
    @settings(deadline=None, derandomize=True, max_examples=60)
    @given(
        many=st.integers(1, 200),
        rows=st.integers(1, 100),
        seed=st.integers(0, 5),
        changes=st.lists(st.tuples(some, st.sampled_from(KINDS)), max_size=2),
        width=st.sampled_from([4, 8, 20]),
        dtype=st.sampled_from([torch.float32, torch.float64]),
    )
    def test_no_number_depends_on_how_the_inputs_are_cut(self, many, rows, seed, changes, width, dtype):
        assume(many > 1 or all(kind != "resample" for _, kind in changes))
        module, x = made(lambda: Transformer(width), seed).to(dtype), normal(many, 3, width, seed=seed).to(dtype)
        other = activations.run(module, normal(many, 3, width, seed=seed + 1).to(dtype), T_SITES, (), T_AXES)
        edits = [an_edit(site, kind, other[site], seed) for site, kind in changes]
        whole = activations.run(module, x, T_SITES, edits, T_AXES)
        cut = activations.run(module, x, T_SITES, edits, T_AXES, rows=rows)
        assert all(cut[site].equal(whole[site]) for site in T_SITES)
        assert all(cut[site].stride() == whole[site].stride() for site in T_SITES)
        if not edits:
            assert whole["logits"].equal(module(x))

    @steady
    @given(st.integers(1, 150), st.integers(1, 100), st.lists(some, unique=True), st.integers(0, 5))
    def test_patching_a_run_with_itself_is_the_identity(self, many, rows, sites, seed):
        module, x = made(Transformer, seed), normal(many, 3, 8, seed=seed)
        own = activations.run(module, x, sites, (), T_AXES, rows=rows)
        found = activations.run(module, x, ["logits"], [patch(site, own[site]) for site in sites], T_AXES)
        assert found["logits"].equal(module(x))

    @steady
    @given(st.integers(1, 150), some, st.integers(0, 5), st.sampled_from(KINDS))
    def test_nothing_ablated_is_the_identity(self, many, site, seed, kind):
        assume(many > 1 or kind != "resample")
        module, x = made(Transformer, seed), normal(many, 3, 8, seed=seed)
        source = normal(*activations.run(module, x, [site], (), T_AXES)[site].shape)
        edit = {
            "zero": lambda: zero(site, position=[]),
            "mean": lambda: mean(site, source, position=[False] * 3 if site != "mlp.0" else []),
            "patch": lambda: patch(site, source, batch=[]),
            "resample": lambda: resample(site, source, torch.Generator(), **{axis_of[site]: []}),
            "scale": lambda: scale(site, 1),
            "batch": lambda: zero(site, batch=[]),
            "keep": lambda: zero(site, batch=range(many)).everywhere_else(),
        }[kind]()
        found = activations.run(module, x, ["logits"], [edit], T_AXES, rows=FEWEST)
        assert found["logits"].equal(module(x))

    @steady
    @given(st.integers(1, 150), st.integers(0, 5))
    def test_ablating_all_heads_leaves_the_direct_path(self, many, seed):
        module, x = made(Transformer, seed), normal(many, 3, 8, seed=seed)
        for edits in ([zero("z")], [zero("z", head=0), zero("z", head=1)], [zero("v")]):
            found = activations.run(module, x, ["logits", "out"], edits, T_AXES, rows=FEWEST)
            resid = x + module.position.weight + module.out.bias
            assert found["out"].equal(module.out.bias.expand_as(x))
            torch.testing.assert_close(found["logits"], module.logits(resid + module.mlp(resid)))

    def test_a_site_without_inputs_comes_back_once(self):
        module, x = made(Transformer), normal(50, 3, 8)
        found = activations.run(module, x, ["position"], (), T_AXES, rows=FEWEST)["position"]
        assert found.equal(module.position.weight)
        value = normal(3, 8, seed=4)
        changed = [
            activations.run(module, x, ["logits"], [replace("position", value, "others")], T_AXES, rows=rows)["logits"]
            for rows in (None, FEWEST)
        ]
        assert changed[0].equal(changed[1])

    def test_a_site_without_a_row_for_each_input_and_without_named_axes_is_told(self):
        module, x = made(Transformer), normal(50, 3, 8)
        assert activations.run(module, x, ["position"])["position"].equal(module.position.weight)
        with pytest.raises(SiteError, match=r"site position has no row for each input\. Name its axes"):
            activations.run(module, x, ["position"], rows=FEWEST)

    def test_axes_that_do_not_fit_their_site_are_told_to_read_and_to_change(self):
        module, x = made(Transformer), normal(5, 3, 8)
        for sites, edits in ((["q"], []), (["logits"], [zero("q", head=0)])):
            with pytest.raises(
                SiteError, match=r"site q has the shape \(5, 2, 3, 4\), and its axes are named 'batch head'"
            ):
                activations.run(module, x, sites, edits, {"q": "batch head"})

    def test_inputs_on_another_axis_than_the_first(self):
        class Turned(nn.Module):
            def __init__(self):
                super().__init__()
                self.turned, self.last = nn.Identity(), nn.Linear(8, 8)

            def forward(self, x):
                return self.last(self.turned(x.transpose(0, 1)).transpose(0, 1))

        module, x, axes = made(Turned), normal(50, 3, 8), {"turned": "position batch model"}
        source = normal(3, 50, 8, seed=2)
        for rows in (None, FEWEST):
            found = activations.run(module, x, ["turned", at("turned", position=1)], (), axes, rows=rows)
            assert found["turned"].equal(x.transpose(0, 1))
            patched = activations.run(module, x, ["last"], [patch("turned", source)], axes, rows=rows)
            assert patched["last"].equal(module.last(source.transpose(0, 1).contiguous()))

    def test_no_inputs_give_no_rows(self):
        module = made(Transformer)
        for rows in (None, FEWEST):
            found = activations.run(module, normal(0, 3, 8), ["logits"], (), T_AXES, rows=rows)
            assert found["logits"].shape == (0, 3, 5)

    def test_several_inputs_are_cut_alike(self):
        chain, x, y = made(Chain), normal(50, 8), normal(50, 8, seed=1)
        for rows in (None, FEWEST):
            found = activations.run(chain, (x, y), ["2"], rows=rows, forward=lambda x, y: chain(x * y))
            assert found["2"].equal(chain(x * y))


class TestCalls:
    def order(self, module, *inputs):
        return calls(module, module, inputs)

    def test_a_submodule_with_weights_is_shared_where_it_is_over(self):
        module = made(Chain)
        order = self.order(module, normal(5, 8))
        assert upstream(module, order, ["2"]) == ["0", "1", "2.0"]
        assert upstream(module, order, ["1.0"]) == ["0"]
        assert upstream(module, order, ["1.0:input"]) == ["0"]
        assert upstream(module, order, ["2", "0"]) == ["0.0"]
        assert upstream(module, order, ["0:input"]) == []
        assert not hooks(module)

    @pytest.mark.parametrize("positions", [3, 5])
    def test_what_is_as_long_as_there_are_inputs_by_chance_has_no_row_for_each(self, positions):
        module = made(lambda: Transformer(positions=positions))
        order = self.order(module, normal(5, positions, 8))
        assert not order["position"].pure
        assert order["qkv"].pure
        assert not order["q"].pure  # turned round

    def test_a_module_called_twice_is_where_its_first_call_is(self):
        module = made(Twice)
        order = self.order(module, normal(5, 8))
        assert order["layer"] == order["again"]
        assert not order["layer"].pure
        assert order["layer"].end < order["last"].start - 1

    def test_a_module_that_changes_its_argument_is_not_shared(self):
        module = made(lambda: nn.Sequential(nn.Sequential(nn.ReLU(inplace=True), nn.Linear(8, 8)), nn.Linear(8, 8)))
        order = self.order(module, normal(5, 8))
        assert not order["0"].pure
        assert order["0.1"].pure
        assert upstream(module, order, ["1"]) == ["0.1"]

    def test_a_module_with_a_hook_of_its_own_is_not_shared(self):
        module = made(Chain)
        module[0].register_forward_hook(lambda _layer, _inputs, output: output * 2)
        assert upstream(module, self.order(module, normal(5, 8)), ["1"]) == ["0.0", "1.0"]
