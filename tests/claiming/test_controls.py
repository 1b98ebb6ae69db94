"""Controls: which arguments they replace, draw by draw."""

import pytest
import torch

from mechtests import ClaimError, Head, System, instead, other, random_sets, shuffled_weights, untrained


def first():
    """A parameter with a name."""


def second():
    """Another."""


class Headed(System):
    heads = tuple(Head(0, index) for index in range(3))


def toy():
    return Headed(torch.nn.Linear(3, 2), "toy")


def draws(control, arguments, n=4):
    return [control.replacement(arguments, draw) for draw in range(n)]


class TestInstead:
    def test_takes_one_alternative(self):
        control = instead(find=first)
        assert draws(control, {"find": second}, 2) == [{"find": first}, None]
        assert (control.name, control.parameter, control.draws) == ("find: first", "find", None)

    def test_takes_the_elements_of_a_list_in_turn(self):
        control = instead(find=[first, second])
        assert draws(control, {}, 3) == [{"find": first}, {"find": second}, None]
        assert control.name == "find: first, second"

    def test_takes_a_tuple_for_one_alternative(self):
        assert draws(instead(doses=(1, 2)), {}, 2) == [{"doses": (1, 2)}, None]

    @pytest.mark.parametrize("replaced", [{}, {"find": first, "layer": 2}], ids=["none", "two"])
    def test_replaces_exactly_one_argument(self, replaced):
        with pytest.raises(ClaimError, match="expected one argument"):
            instead(**replaced)


def test_another_head_is_each_head_of_the_model_but_the_claims_own():
    control = other("head")
    assert draws(control, {"toy": toy(), "head": Head(0, 1)}, 3) == [
        {"head": Head(0, 0)},
        {"head": Head(0, 2)},
        None,
    ]


@pytest.mark.parametrize("control", [untrained, shuffled_weights], ids=["untrained", "shuffled"])
def test_twins_replace_the_system_and_differ_from_draw_to_draw(control):
    system = toy()
    (one, another) = draws(control, {"model": system, "layer": 0}, 2)
    assert one.keys() == {"model"}
    weights = [twin.module.weight for twin in (system, one["model"], another["model"])]
    assert not any(torch.equal(weights[a], weights[b]) for a, b in ((0, 1), (0, 2), (1, 2)))
    assert control.replacement({"layer": 0}, 0) is None


def test_shuffled_weights_are_the_models_own_in_another_order():
    system = toy()
    twin = shuffled_weights.replacement({"model": system}, 0)["model"]
    assert torch.equal(twin.module.weight.flatten().sort().values, system.module.weight.flatten().sort().values)


def test_random_sets_have_as_many_members_and_differ_from_draw_to_draw():
    control = random_sets("neurons")
    selections = [made["neurons"](toy()) for made in draws(control, {"neurons": lambda _: torch.arange(40) < 5})]
    assert [int(chosen.sum()) for chosen in selections] == [5] * 4
    assert len({tuple(chosen.tolist()) for chosen in selections}) == 4
