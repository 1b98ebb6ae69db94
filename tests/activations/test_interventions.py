"""The vocabulary of interventions, by itself: places, edits, their words and keys, and what they do to a tensor."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mechtests import Edit, Place, at, keep_only, mean, patch, replace, resample, scale, zero
from mechtests.activations.interventions import Rows, SiteError, note, record_edits

AXES = "batch head query d_head"
SIZES = {"batch": 6, "head": 3, "query": 2, "d_head": 4}
X = torch.randn(*SIZES.values(), generator=torch.Generator().manual_seed(0))
OTHER = torch.randn(*SIZES.values(), generator=torch.Generator().manual_seed(1))

many = settings(deadline=None, derandomize=True, max_examples=200)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@st.composite
def wheres(draw, least=0):
    """Selections on some axes, and the boolean tensor that they mean."""
    axes = draw(st.lists(st.sampled_from(list(SIZES)), unique=True, min_size=least))
    where, selected = {}, torch.ones(X.shape, dtype=torch.bool)
    for axis in axes:
        size, dimension = SIZES[axis], list(SIZES).index(axis)
        kind = draw(st.sampled_from(["index", "list", "mask", "tensor", "bytes", "range"]))
        indices = draw(st.lists(st.integers(-size, size - 1), max_size=size + 1, min_size=kind == "index"))
        indices = indices[:1] if kind == "index" else indices
        indices = list(range(size - 1)) if kind == "range" else indices
        one = torch.zeros(size, dtype=torch.bool)
        one[indices] = True
        where[axis] = {
            "index": lambda i=indices: i[0],
            "list": lambda i=indices: i,
            "mask": lambda one=one: one,
            "tensor": lambda i=indices: torch.tensor(i, dtype=torch.int16),
            "bytes": lambda one=one: one.nonzero().flatten().to(torch.uint8).numpy(),
            "range": lambda i=indices: range(len(i)),
        }[kind]()
        selected &= one.reshape([-1 if other == dimension else 1 for other in range(4)])
    return where, selected


@st.composite
def edits(draw):
    where, selected = draw(wheres())
    made = draw(
        st.sampled_from(
            [
                zero("z", **where),
                scale("z", 0.5, **where),
                scale("z", torch.linspace(-1, 1, 4), **where),
                mean("z", OTHER, **where),
                patch("z", OTHER, **where),
                resample("z", OTHER, generator(3), **where),
                replace("z", 2.5, "a number", **where),
                Edit(at("z", **where), "shift", 1.0, torch.ones(2, 1)),
            ]
        )
    )
    return (made.everywhere_else(), ~selected) if where and draw(st.booleans()) else (made, selected)


class TestWhatEditsDo:
    @pytest.mark.parametrize(
        ("edit", "expected"),
        [
            (zero("z"), torch.zeros_like(X)),
            (mean("z", OTHER), OTHER.mean(0).expand_as(X)),
            (mean("z", OTHER[:2]), OTHER[:2].mean(0).expand_as(X)),
            (patch("z", OTHER), OTHER),
            (scale("z", -2), -2 * X),
            (scale("z", torch.tensor([1.0, 0.0, 2.0, 3.0])), X * torch.tensor([1.0, 0.0, 2.0, 3.0])),
            (scale("z", OTHER), X * OTHER),
            (replace("z", torch.arange(4.0), "numbers"), torch.arange(4.0).expand_as(X)),
            (replace("z", 0.5, "half"), torch.full_like(X, 0.5)),
            (replace("z", OTHER[:1], "first"), OTHER[:1].expand_as(X)),
            (replace("z", OTHER.double(), "other precision"), OTHER),
            (Edit(at("z"), "shift", 1.0, OTHER), X + OTHER),
            (Edit(at("z"), "shift", 0.5, OTHER), 0.5 * X + OTHER),
        ],
        ids=str,
    )
    def test_the_whole_site(self, edit, expected):
        assert edit.apply(X, AXES).equal(expected)
        assert edit.apply(X).equal(expected)

    @many
    @given(edits())
    def test_the_change_is_made_where_it_is_said_and_nowhere_else(self, made):
        edit, selected = made
        whole = Edit(at("z"), edit.operation, edit.factor, edit.value).apply(X, AXES)
        assert edit.apply(X, AXES).equal(torch.where(selected, whole, X))

    @many
    @given(edits())
    def test_what_an_edit_does_and_does_everywhere_else_make_the_whole(self, made):
        edit, _ = made
        if edit.place.where:
            whole = Edit(at("z"), edit.operation, edit.factor, edit.value).apply(X, AXES)
            assert edit.everywhere_else().apply(edit.apply(X, AXES), AXES).equal(whole)
            assert edit.everywhere_else().everywhere_else().key == edit.key

    @many
    @given(edits(), st.lists(st.integers(0, 6), max_size=3).map(sorted))
    def test_a_batch_is_changed_as_if_all_inputs_were_run_at_once(self, made, cuts):
        edit, _ = made
        edges = [0, *cuts, 6]
        pieces = [edit.apply(X[first:last], AXES, Rows(first, last, 6)) for first, last in pairwise(edges)]
        assert torch.cat(pieces).equal(edit.apply(X, AXES))

    @pytest.mark.parametrize("layout", [(0, 1, 2, 3), (1, 0, 2, 3), (3, 2, 1, 0), (0, 3, 1, 2)])
    @many
    @given(made=edits())
    def test_what_comes_back_is_laid_out_as_before_and_its_own(self, layout, made):
        edit, _ = made
        back = [layout.index(axis) for axis in range(4)]
        x = X.permute(layout).contiguous().permute(back)
        found = edit.apply(x, AXES)
        assert found.equal(edit.apply(X, AXES))
        assert found.stride() == x.stride()
        assert found.data_ptr() not in {x.data_ptr(), OTHER.data_ptr()}

    @many
    @given(wheres(least=1))
    def test_keep_only_zeroes_the_rest(self, chosen):
        where, selected = chosen
        assert keep_only("z", **where).apply(X, AXES).equal(torch.where(selected, X, 0))

    def test_zeroing_erases_what_is_not_finite(self):
        x = torch.tensor([[torch.nan, torch.inf, -torch.inf, 1.0]])
        assert zero("x").apply(x).equal(torch.zeros(1, 4))
        assert keep_only("x", model=3).apply(x, "batch model").equal(torch.tensor([[0.0, 0, 0, 1]]))

    def test_resampling_draws_every_other_row_and_never_its_own(self):
        drawn = [resample("z", OTHER, generator(seed)).value for seed in range(200)]
        rows = {
            (own, row) for value in drawn for own, one in enumerate(value) for row in range(6) if OTHER[row].equal(one)
        }
        assert rows == {(own, row) for own in range(6) for row in range(6) if row != own}

    def test_one_input_has_no_other_to_be_resampled_from(self):
        with pytest.raises(SiteError, match="two or more"):
            resample("z", OTHER[:1], generator(0))

    def test_resampling_gives_each_input_another_row_and_the_seed_decides_which(self):
        found = resample("z", OTHER, generator(0)).apply(X, AXES)
        rows = [next(row for row in range(6) if OTHER[row].equal(one)) for one in found]
        assert all(row != own for own, row in enumerate(rows))
        assert found.equal(resample("z", OTHER, generator(0)).apply(X, AXES))
        assert not found.equal(resample("z", OTHER, generator(1)).apply(X, AXES))

    def test_of_an_axis_of_inputs_that_is_not_the_first(self):
        x, axes = X.transpose(0, 1).contiguous(), "head batch query d_head"
        source = OTHER.transpose(0, 1).contiguous()
        for first, last in ((0, 6), (0, 2), (2, 6)):
            rows, part = Rows(first, last, 6), x[:, first:last]
            assert patch("z", source).apply(part, axes, rows).equal(source[:, first:last])
            assert zero("z", batch=3).apply(part, axes, rows).count_nonzero() == part.numel() - (first <= 3 < last) * 24
        for edit in (mean("z", source), resample("z", source, generator())):
            with pytest.raises(SiteError, match=r"the first axis of site z is not that of the inputs.*replace\("):
                edit.apply(x, axes)

    def test_a_mean_over_a_site_without_inputs_is_refused(self):
        positions = torch.randn(3, 4, generator=generator())
        with pytest.raises(SiteError, match="first axis of site pos_embed is not that of the inputs"):
            mean("pos_embed", positions).apply(positions, "position model")
        assert patch("pos_embed", 2 * positions).apply(positions, "position model").equal(2 * positions)

    def test_of_a_single_number(self):
        x = torch.tensor(3.0)
        assert scale("x", 2).apply(x).equal(torch.tensor(6.0))
        assert replace("x", torch.tensor(5.0), "five").apply(x).equal(torch.tensor(5.0))
        assert replace("x", 5.0, "five").apply(x, "", Rows(0, 2, 7)).equal(torch.tensor(5.0))

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.complex64])
    def test_of_any_precision(self, dtype):
        x = X.to(dtype)
        for edit in (zero("z"), scale("z", 1), patch("z", x), mean("z", OTHER), scale("z", torch.ones(4))):
            assert edit.apply(x, AXES).dtype == dtype
        assert scale("z", 1, head=0).apply(x, AXES).equal(x)
        assert patch("z", x).apply(x, AXES).equal(x)

    def test_of_whole_numbers(self):
        tokens = torch.arange(6).reshape(2, 3)
        assert not zero("tokens").apply(tokens).any()
        assert patch("tokens", tokens.flip(0)).apply(tokens).equal(tokens.flip(0))
        for edit in (scale("tokens", 0.5), replace("tokens", torch.tensor(1.7), "1.7")):
            with pytest.raises(SiteError, match=r"gives torch.float32, and the activation at tokens is torch.int64"):
                edit.apply(tokens)


class TestIdentities:
    @many
    @given(edits(), st.sampled_from(list(SIZES)))
    def test_nothing_ablated_is_the_identity(self, made, axis):
        edit, _ = made
        if axis not in dict(edit.place.where) and not edit.elsewhere:
            nothing = Edit(at(edit.place, **{axis: []}), edit.operation, edit.factor, edit.value)
            assert nothing.apply(X, AXES).equal(X)

    @many
    @given(wheres())
    def test_patching_with_itself_and_scaling_by_one_are_the_identity(self, chosen):
        where, _ = chosen
        for edit in (patch("z", X, **where), scale("z", 1, **where), scale("z", torch.ones(4), **where)):
            assert edit.apply(X, AXES).equal(X)

    def test_an_ablation_done_twice_is_done(self):
        for edit in (zero("z", head=1), mean("z", OTHER, head=[0, 2]), keep_only("z", query=1)):
            once = edit.apply(X, AXES)
            assert edit.apply(once, AXES).equal(once)


class TestPlaces:
    @many
    @given(wheres())
    def test_a_part_is_what_indexing_gives(self, chosen):
        where, _ = chosen
        where.pop("batch", None)
        expected = X
        for axis, one in where.items():
            dimension = list(SIZES).index(axis)
            none = isinstance(one, list) and not one
            taken = torch.as_tensor(np.arange(SIZES[axis])[np.asarray(one, dtype=int if none else None)])
            expected = expected.index_select(dimension, taken.reshape(-1))
        dropped = [list(SIZES).index(axis) for axis, one in where.items() if isinstance(one, int)]
        place = at("z", **where)
        assert place.select(X, AXES).equal(expected.squeeze(dropped) if dropped else expected)
        left = [axis for axis in SIZES if not isinstance(where.get(axis), int)]
        assert place.axes_left(AXES) == " ".join(left)

    def test_a_place_may_be_narrowed_on_other_axes(self):
        head = at("z", head=1)
        both = at(head, query=0)
        assert str(both) == "z [head: 1] [query: 0]"
        assert both.key == at("z", query=0, head=1).key
        assert at(head).key == head.key == zero(head).place.key
        with pytest.raises(SiteError, match="axis head is selected already"):
            at(head, head=2)

    def test_some_inputs_cannot_be_read_by_themselves(self):
        with pytest.raises(SiteError, match="give only those to the run"):
            at("z", batch=0).select(X, AXES)

    @pytest.mark.parametrize(
        "chosen",
        [
            0.5,
            [0.5],
            "a",
            ["a"],
            None,
            True,
            1j,
            [[0]],
            {"a": 1},
            {0, 1},
            slice(0, 2),
            torch.zeros(0),
            torch.ones(2, 2),
        ],
        ids=repr,
    )
    def test_a_selection_of_another_kind_is_refused(self, chosen):
        with pytest.raises(SiteError, match="an index, a list of indices or a boolean mask, not by"):
            at("z", head=chosen)

    @pytest.mark.parametrize("chosen", [3, -4, [0, 3], [True], [True] * 4, torch.zeros(0, dtype=torch.bool)], ids=repr)
    def test_a_selection_that_does_not_fit_is_refused_to_read_and_to_change(self, chosen):
        for use in (zero("z", head=chosen).apply, at("z", head=chosen).select):
            with pytest.raises(SiteError, match="axis head of site z has 3 entries, and not these"):
                use(X, AXES)

    def test_an_axis_that_is_not_there_is_told(self):
        for use in (zero("z", neuron=0).apply, at("z", neuron=0).select):
            with pytest.raises(SiteError, match=r"site z has no axis 'neuron'. Its axes: batch, head, query, d_head"):
                use(X, AXES)


class TestErrors:
    @pytest.mark.parametrize("rows", [5, 7, 2, 3])
    @pytest.mark.parametrize("make", [lambda s: patch("z", s), lambda s: resample("z", s, generator())])
    def test_a_source_of_another_number_of_inputs_is_refused_however_they_are_cut(self, rows, make):
        edit = make(torch.randn(rows, 3, 2, 4, generator=generator()))
        for batch in (Rows(0, 6, 6), Rows(0, 2, 6), Rows(3, 6, 6)):
            with pytest.raises(
                SiteError, match=rf"value has the shape \({rows}, 3, 2, 4\), and the activation at z \(6"
            ):
                edit.apply(X[batch.slice], AXES, batch)

    @pytest.mark.parametrize("shape", [(3,), (6, 3, 2), (1, 6, 3, 2, 4), (6, 3, 2, 5)])
    def test_a_value_that_does_not_broadcast_is_refused(self, shape):
        for edit in (replace("z", torch.zeros(shape), "zeros"), scale("z", torch.zeros(shape))):
            with pytest.raises(SiteError, match="Give one that broadcasts to it"):
                edit.apply(X, AXES)

    @pytest.mark.parametrize("reference", [torch.zeros(0, 3), torch.tensor(1.0)], ids=["empty", "number"])
    def test_a_reference_without_inputs_is_refused(self, reference):
        for make in (lambda: mean("z", reference), lambda: resample("z", reference, generator())):
            with pytest.raises(SiteError, match="Expected a row for each input"):
                make()

    def test_everywhere_else_needs_a_part(self):
        for make in (lambda: keep_only("z"), lambda: zero("z").everywhere_else()):
            with pytest.raises(SiteError, match=r"zero z: it changes the whole of z. Say which part is left out"):
                make()


class TestWords:
    @pytest.mark.parametrize(
        ("edit", "words"),
        [
            (zero("mid"), "zero mid"),
            (zero("tok_embed", position=[0, 2]), "zero tok_embed [position: 0, 2]"),
            (scale("mlp.post", 0.5, neuron=[True, False, True]), "scale by 0.5 mlp.post [neuron: 2 of 3]"),
            (scale("mid", torch.ones(3)), "scale by a factor each mid"),
            (scale("mid", torch.tensor([0.25])), "scale by 0.25 mid"),
            (zero("z", position=1, head=[3]), "zero z [head: 3] [position: 1]"),
            (zero("z", head=-1), "zero z [head: -1]"),
            (zero("z", head=[]), "zero z [head: none]"),
            (zero("z", head=range(9)), "zero z [head: 0, 1, 2, 3, 4, 5, … 9 in all]"),
            (zero("z", head=range(8)), "zero z [head: 0, 1, 2, 3, 4, 5, 6, 7]"),
            (replace("pre", torch.zeros(3), "linear fit"), "replace with linear fit pre"),
            (mean("z", torch.zeros(1234, 2)), "mean of 1,234 inputs z"),
            (resample("z", torch.zeros(3, 2), generator(), head=0), "resample from 3 inputs z [head: 0]"),
            (patch("z", OTHER, head=[0, 2]), "patch z [head: 0, 2]"),
            (keep_only("z", head=3), "zero all but z [head: 3]"),
            (mean("z", OTHER, head=3).everywhere_else(), "mean of 6 inputs all but z [head: 3]"),
        ],
        ids=str,
    )
    def test_an_edit_reads_as_what_it_does(self, edit, words):
        assert str(edit) == words

    def test_edits_are_noted_once_in_their_order_by_the_innermost_who_gathers(self):
        note([zero("before")])
        with record_edits() as outer:
            note([zero("b"), zero("a")])
            with record_edits() as inner:
                note([zero("c")])
            note([zero("a"), zero("d")])
        note([zero("after")])
        assert list(outer) == ["zero b", "zero a", "zero d"]
        assert list(inner) == ["zero c"]


class TestKeys:
    @many
    @given(edits(), edits())
    def test_two_edits_with_one_key_do_the_same(self, one, other):
        if one[0].key == other[0].key:
            assert one[0].apply(X, AXES).equal(other[0].apply(X, AXES))

    def test_edits_that_differ_have_other_keys(self):
        one = torch.ones(4)
        different = [
            *(zero("mid"), zero("embed"), zero("mid", model=0), zero("mid", model=1), zero("mid", model=[0])),
            *(zero("mid", model=[0, 1]), zero("mid", model=[True, False]), zero("mid", position=0)),
            *(zero("mid", position=0, model=0), keep_only("mid", model=0), keep_only("mid", model=[0])),
            *(scale("mid", 0), scale("mid", 0.5), scale("mid", 0.5, model=0), scale("mid", one), scale("mid", 2 * one)),
            *(replace("mid", one, "x"), replace("mid", one, "y"), replace("mid", 2 * one, "x")),
            *(replace("mid", one.reshape(2, 2), "x"), replace("mid", one.double(), "x")),
            *(replace("mid", one, "x", model=0), patch("mid", one), patch("mid", 2 * one)),
            *(resample("mid", OTHER, generator(seed)) for seed in (0, 1)),
            *(mean("mid", OTHER), mean("mid", X), mean("mid", OTHER[:5])),
        ]
        assert len({edit.key for edit in different}) == len(different)

    @pytest.mark.parametrize("difference", [1e-7, 1e-9, 1e-12])
    def test_factors_that_differ_in_float64_have_other_keys(self, difference):
        assert scale("mid", 0.1).key != scale("mid", 0.1 + difference).key

    @many
    @given(edits())
    def test_the_same_words_and_numbers_give_the_same_key(self, made):
        edit, _ = made
        again = Edit(edit.place, edit.operation, edit.factor, edit.value, edit.elsewhere)
        assert again.key == edit.key

    def test_the_order_in_which_axes_are_named_does_not_matter(self):
        assert zero("mid", model=0, position=1).key == zero("mid", position=1, model=0).key

    def test_places_with_other_words_have_other_keys(self):
        places = [
            Place("z"),
            at("z", head=0),
            at("z", head=[0]),
            at("z", head=[0, 1]),
            at("z", query=0),
            at("q", head=0),
        ]
        assert len({place.key for place in places}) == len(places)
