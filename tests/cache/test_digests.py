from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mechtests.cache.digests import DigestError, digest

many = settings(deadline=None, derandomize=True, max_examples=300)

DTYPES = [
    *(torch.bool, torch.uint8, torch.int8, torch.int32, torch.int64),
    *(torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64),
]


class Pair(NamedTuple):
    first: object
    second: object


@st.composite
def tensors(draw):
    shape = draw(st.lists(st.integers(0, 2), max_size=3))
    numbers = draw(st.lists(st.sampled_from([0, 1, 2]), min_size=8, max_size=8))
    size = int(np.prod(shape))
    return torch.tensor(numbers[:size]).reshape(shape).to(draw(st.sampled_from(DTYPES)))


plain = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 2),
    st.sampled_from([0.0, -0.0, 1.0, float("nan"), float("inf")]),
    st.text("ab 1'", max_size=3),
    st.sampled_from([torch.float32, torch.device("cpu")]),
    tensors(),
)
things = st.recursive(
    plain,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.text("ab", max_size=2), inner, max_size=3),
        st.tuples(inner, inner).map(lambda pair: Pair(*pair)),
    ),
    max_leaves=6,
)


def same(one, other):
    """Whether two things are of one type and the same to the last bit, compared entry by entry."""
    if type(one) is not type(other):
        return False
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and one.shape == other.shape and one.equal(other)
    if isinstance(one, tuple | list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return repr(one) == repr(other)


@many
@given(things, things)
def test_two_things_share_a_digest_exactly_when_they_are_the_same(one, other):
    assert (digest(one) == digest(other)) == same(one, other)


@many
@given(st.lists(plain, max_size=4), st.lists(plain, max_size=4))
def test_several_things_are_told_apart_from_several_others(some, others):
    assert (digest(*some) == digest(*others)) == same(some, others)


@many
@given(st.lists(plain, min_size=1, max_size=5), st.integers(0, 5), st.integers(0, 5))
def test_where_a_list_is_cut_in_two_matters(entries, first, second):
    first, second = (min(cut, len(entries)) for cut in (first, second))
    assume(first != second)
    assert digest(entries[:first], entries[first:]) != digest(entries[:second], entries[second:])


def test_neighbours_are_told_apart():
    different = [
        *(0, 0.0, -0.0, False, None, "0", "", (), [], {}, torch.tensor(0), torch.tensor(False), torch.tensor(-0.0)),
        *(torch.zeros(0), torch.zeros(0, 2), torch.zeros(2, 0), torch.zeros(1), torch.zeros(1, 1), torch.tensor(0.0)),
        *({"a": 1}, [("a", 1)], (("a", 1),), {"a": {}}, {"a": 1, "b": 2}, [[]], [[], []], [[[]]], ["a", "b"], ["ab"]),
        *("tensor torch.float32 (1,)", ["tensor torch.float32 (1,)", "\0\0\0\0"], torch.float32, "torch.float32"),
    ]
    assert len({digest(one) for one in different}) == len(different)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_of_one_entry_changed_in_any_type(dtype):
    one, other = torch.zeros(5, dtype=dtype), torch.zeros(5, dtype=dtype)
    other[3] = 1
    assert digest(one) == digest(one.clone()) != digest(other)


def test_every_bit_of_a_tensor_counts():
    bits = [0x7FC00000, 0x7FC00001, 0x00000000, -0x80000000, 0x00000001]  # two NaNs, the two zeros, the least number
    assert len({digest(torch.tensor([one], dtype=torch.int32).view(torch.float32)) for one in bits}) == len(bits)
    assert digest(torch.tensor([torch.nan])) == digest(torch.tensor([torch.nan]))


@pytest.mark.parametrize(
    "view",
    [
        lambda x: x.T,
        lambda x: x[:, 1],
        lambda x: x[::2],
        lambda x: x[1],
        lambda x: x[:, :1].expand(4, 9),
        lambda x: x.flip(0),
        lambda x: x.conj(),
        lambda x: x.conj().imag,
        lambda x: x.real,
        lambda x: x[2, 1],
    ],
)
def test_a_view_has_the_digest_of_its_entries(view):
    seen = view(torch.randn(4, 3, dtype=torch.complex64, generator=torch.Generator().manual_seed(0)))
    assert digest(seen) == digest(torch.tensor(seen.tolist(), dtype=seen.dtype))


def test_how_a_tensor_is_held_does_not_matter():
    x = torch.arange(6.0).reshape(2, 3)
    with torch.inference_mode():
        inferred = x.clone()
    assert digest(x) == digest(x.clone().requires_grad_()) == digest(torch.nn.Parameter(x)) == digest(inferred)


def test_the_order_of_a_dict_does_not_matter_whatever_is_in_it():
    large = {name: torch.randn(2000, generator=torch.Generator().manual_seed(seed)) for seed, name in enumerate("abc")}
    assert digest(large) == digest(dict(reversed(large.items())))
    swapped = {"a": large["b"], "b": large["a"], "c": large["c"]}
    assert digest(large) != digest(swapped)


@pytest.mark.parametrize(
    "thing",
    [
        object(),
        {1, 2},
        np.zeros(2),
        b"a",
        len,
        torch.zeros(2, 2).to_sparse(),
        torch.zeros(2, device="meta"),
        [{"deep": (object(),)}],
    ],
    ids=lambda thing: type(thing).__name__,
)
def test_what_cannot_be_told_apart_is_refused(thing):
    with pytest.raises(DigestError, match="no digest of a"):
        digest(thing)
