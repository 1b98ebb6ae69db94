import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mechtests import activations
from mechtests.interventions import SiteError, replace, scale, zero

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
