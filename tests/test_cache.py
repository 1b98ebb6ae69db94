import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mechtests.cache import RunCache

steady = settings(deadline=None, derandomize=True, max_examples=100)


def of_bytes(n, fill=1):
    return torch.full((n,), fill, dtype=torch.uint8)


def test_gives_back_the_tensor_itself():
    cache, kept = RunCache(), torch.randn(3, 4)
    cache.put("key", kept)
    assert cache.get("key") is kept


def test_counts_what_was_there_and_what_was_not():
    cache = RunCache()
    assert cache.get("key") is None
    cache.put("key", of_bytes(1))
    cache.get("key")
    cache.get("key")
    cache.get("other")
    assert (cache.hits, cache.misses) == (2, 2)


def test_the_least_recently_put_goes_first():
    cache = RunCache(budget=30)
    for key in "abcd":
        cache.put(key, of_bytes(10))
    assert [key for key in "abcd" if cache.get(key) is not None] == ["b", "c", "d"]


def test_what_was_asked_for_lately_stays():
    cache = RunCache(budget=30)
    for key in "abc":
        cache.put(key, of_bytes(10))
    cache.get("a")
    cache.put("d", of_bytes(10))
    assert [key for key in "abcd" if cache.get(key) is not None] == ["a", "c", "d"]


def test_as_many_go_as_a_large_tensor_needs():
    cache = RunCache(budget=30)
    for key in "abc":
        cache.put(key, of_bytes(10))
    cache.put("large", of_bytes(15))
    assert [key for key in ("a", "b", "c", "large") if cache.get(key) is not None] == ["c", "large"]


def test_a_tensor_of_the_whole_budget_is_kept_and_a_larger_one_is_not():
    cache = RunCache(budget=10)
    cache.put("whole", of_bytes(10))
    cache.put("larger", of_bytes(11))
    assert cache.get("whole") is not None
    assert cache.get("larger") is None


def test_bytes_count_and_not_elements():
    cache = RunCache(budget=30)
    cache.put("a", torch.zeros(4, dtype=torch.float64))
    assert cache.get("a") is None
    cache.put("b", torch.zeros(3, dtype=torch.float64))
    assert cache.get("b") is not None


def test_a_key_put_again_holds_the_later_tensor_and_frees_the_former():
    cache = RunCache(budget=20)
    for fill in range(5):
        cache.put("a", of_bytes(10, fill))
    cache.put("b", of_bytes(10))
    assert cache.get("a").tolist() == [4] * 10
    assert cache.get("b") is not None


def test_a_key_put_again_with_more_than_the_budget_does_not_give_the_former_tensor():
    cache = RunCache(budget=20)
    cache.put("a", of_bytes(10))
    cache.put("a", of_bytes(21))
    assert cache.get("a") is None


def test_computes_once_what_fits_and_every_time_what_does_not():
    cache, computed = RunCache(budget=10), []

    def compute(size):
        computed.append(size)
        return of_bytes(size)

    for size in (10, 10, 11, 11):
        assert len(cache.get_or(size, lambda size=size: compute(size))) == size
    assert computed == [10, 11, 11]
    assert (cache.hits, cache.misses) == (1, 3)


@pytest.mark.parametrize("budget", [0, 1])
def test_a_budget_of_nothing_keeps_nothing(budget):
    cache = RunCache(budget)
    cache.put("a", of_bytes(2))
    assert cache.get("a") is None


@steady
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 25), st.booleans()), max_size=40))
def test_keeps_what_a_plain_model_of_it_keeps(steps):
    cache, kept = RunCache(budget=40), []  # least recently used first
    for key, size, asked in steps:
        if asked:
            found = cache.get(key)
            held = next((pair for pair in kept if pair[0] == key), None)
            assert (None if found is None else len(found)) == (None if held is None else held[1])
            if held is not None:
                kept = [pair for pair in kept if pair != held] + [held]
        else:
            cache.put(key, of_bytes(size))
            kept = [pair for pair in kept if pair[0] != key] + [(key, size)]
            while sum(bytes_ for _, bytes_ in kept) > 40:
                kept.pop(0)
