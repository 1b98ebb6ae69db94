import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mechtests.cache import Cache, CacheWarning, Disk
from mechtests.cache.key import key_text
from mechtests.cache.tiers import owned

steady = settings(deadline=None, derandomize=True, max_examples=100)


def of_bytes(n, fill=1):
    return torch.full((n,), fill, dtype=torch.uint8)


def kept_of(cache, keys):
    return [key for key in keys if cache.get(key) is not None]


# ---------------------------------------------------------------------------------------------------------------------
# One tier


def test_gives_back_the_tensor_itself():
    cache, kept = Cache(), torch.randn(3, 4)
    assert cache.put("key", kept) is kept
    assert cache.get("key") is kept


def test_counts_what_it_found_and_where(tmp_path):
    disk = Disk(tmp_path / "cache")
    Cache(disk=disk).put("key", of_bytes(1))
    cache = Cache(disk=disk)
    for _ in range(3):
        cache.get("key")
    cache.get("other")
    assert (cache.from_memory, cache.from_disk, cache.passes) == (2, 1, 0)


def test_the_least_recently_put_goes_first():
    cache = Cache(budget=30)
    for key in "abcd":
        cache.put(key, of_bytes(10))
    assert kept_of(cache, "abcd") == ["b", "c", "d"]


def test_what_was_asked_for_lately_stays():
    cache = Cache(budget=30)
    for key in "abc":
        cache.put(key, of_bytes(10))
    cache.get("a")
    cache.put("d", of_bytes(10))
    assert kept_of(cache, "abcd") == ["a", "c", "d"]


def test_as_many_go_as_a_large_tensor_needs():
    cache = Cache(budget=30)
    for key in "abc":
        cache.put(key, of_bytes(10))
    cache.put("large", of_bytes(15))
    assert kept_of(cache, ["a", "b", "c", "large"]) == ["c", "large"]


def test_a_tensor_of_the_whole_budget_is_kept_and_a_larger_one_is_not():
    cache = Cache(budget=10)
    cache.put("whole", of_bytes(10))
    cache.put("larger", of_bytes(11))
    assert kept_of(cache, ["whole", "larger"]) == ["whole"]


def test_bytes_count_and_not_elements():
    cache = Cache(budget=30)
    cache.put("a", torch.zeros(4, dtype=torch.float64))
    cache.put("b", torch.zeros(3, dtype=torch.float64))
    assert kept_of(cache, "ab") == ["b"]


def test_a_key_put_again_holds_the_later_tensor_and_frees_the_former():
    cache = Cache(budget=20)
    for fill in range(5):
        cache.put("a", of_bytes(10, fill))
    cache.put("b", of_bytes(10))
    assert cache.get("a").tolist() == [4] * 10
    assert cache.get("b") is not None


def test_a_key_put_again_with_more_than_the_budget_does_not_give_the_former_tensor():
    cache = Cache(budget=20)
    cache.put("a", of_bytes(10))
    cache.put("a", of_bytes(21))
    assert cache.get("a") is None


def test_computes_once_what_fits_and_every_time_what_does_not():
    cache, computed = Cache(budget=10), []

    def compute(size):
        computed.append(size)
        return of_bytes(size)

    for size in (10, 10, 11, 11):
        assert len(cache.get_or(str(size), lambda size=size: compute(size))) == size
    assert computed == [10, 11, 11]


@pytest.mark.parametrize("size", [0, 1])
def test_a_budget_of_nothing_keeps_nothing(size):
    cache = Cache(0)
    cache.put("a", of_bytes(size))
    assert cache.get("a") is None


# ---------------------------------------------------------------------------------------------------------------------
# Two tiers in memory


def test_what_leaves_the_device_is_found_in_host_memory_and_comes_back():
    cache, first = Cache(budget=20, host=20), of_bytes(10, 7)
    cache.put("a", first)
    for key in "bc":
        cache.put(key, of_bytes(10))
    assert cache.get("a").tolist() == first.tolist()
    assert kept_of(cache, "abc") == ["a", "b", "c"]


def test_a_tensor_too_large_for_the_device_goes_to_host_memory():
    cache = Cache(budget=10, host=20)
    cache.put("small", of_bytes(10))
    cache.put("large", of_bytes(20, 3))
    assert cache.get("large").tolist() == [3] * 20
    assert cache.get("large").tolist() == [3] * 20
    assert cache.get("small") is not None


def test_a_tensor_too_large_for_memory_is_found_on_disk(tmp_path):
    cache = Cache(budget=10, host=10, disk=Disk(tmp_path / "cache"))
    cache.put("large", of_bytes(20, 3))
    assert cache.get("large").tolist() == [3] * 20
    assert cache.from_disk == 1


@steady
@given(
    st.lists(st.tuples(st.sampled_from("abcdefg"), st.integers(0, 25), st.booleans()), max_size=60),
    st.sampled_from([0, 20, 40]),
    st.sampled_from([0, 20, 40]),
)
def test_keeps_what_a_plain_model_of_it_keeps(steps, budget, host):
    cache = Cache(budget, host=host)
    tiers = [(budget, {}), (host, {})]  # size by key, least recently used first

    def place(key, size, tier=0):
        if tier == len(tiers):
            return
        limit, held = tiers[tier]
        leaving = [(key, size)]
        if 0 < limit >= size:
            held[key], leaving = size, []
        while sum(held.values()) > limit:
            oldest = next(iter(held))
            leaving.append((oldest, held.pop(oldest)))
        for other, bytes_ in leaving:
            place(other, bytes_, tier + 1)

    for key, size, asked in steps:
        where = next((tier for tier, (_, held) in enumerate(tiers) if key in held), None)
        former = None if where is None else tiers[where][1].pop(key)
        if asked:
            found = cache.get(key)
            assert (None if found is None else len(found)) == former
            if former is not None:
                place(key, former)
        else:
            cache.put(key, of_bytes(size))
            place(key, size)
        for memory, (limit, held) in zip((cache._device, cache._host), tiers, strict=True):
            bytes_held = [one.tensor.untyped_storage().nbytes() for one in memory._held.values()]
            assert sum(bytes_held) == memory._bytes <= limit
            assert bytes_held == list(held.values())


# ---------------------------------------------------------------------------------------------------------------------
# Whose memory it is


def test_a_view_does_not_keep_the_larger_tensor_in_memory():
    cache, large = Cache(budget=1000), torch.arange(1000.0)
    kept = cache.put("view", large[10:20])
    assert kept.untyped_storage().nbytes() == 40
    assert kept.equal(large[10:20])
    large.fill_(0)
    assert cache.get("view") is kept
    assert kept.tolist() == list(range(10, 20))


@pytest.mark.parametrize(
    ("view", "stays"),
    [
        (lambda x: x, True),
        (lambda x: x.T, True),
        (lambda x: x.unsqueeze(1).squeeze(1), True),
        (lambda x: x.permute(1, 0).unsqueeze(2), True),
        (lambda x: x[:2], False),
        (lambda x: x[:, ::2], False),
        (lambda x: x[:1].expand(5, 4), False),
        (lambda x: x.as_strided((2, 2, 3), (1, 1, 4)), False),
        (lambda x: x.flatten()[:0], False),
    ],
)
def test_what_holds_all_of_its_storage_once_stays_and_all_else_is_copied(view, stays):
    tensor = view(torch.arange(12.0).reshape(3, 4))
    own = owned(tensor)
    assert (own is tensor) == stays
    assert own.equal(tensor)
    assert own.untyped_storage().nbytes() == own.nbytes
    if stays:
        assert own.stride() == tensor.stride()


@pytest.mark.parametrize(
    "lazy",
    [
        lambda: torch.tensor([1 + 2j, 3 - 4j]).conj(),
        lambda: torch.tensor([1 + 2j, 3 - 4j]).conj().imag,
        lambda: torch.nn.Parameter(torch.tensor([1.0, 2.0])),
        lambda: torch.tensor([1.0, 2.0], requires_grad=True),
    ],
    ids=["conjugate", "negative", "parameter", "with gradient"],
)
def test_what_is_kept_is_a_plain_tensor_of_the_same_values(tmp_path, lazy):
    values = lazy().detach().clone().resolve_conj().resolve_neg()
    cache = Cache(disk=Disk(tmp_path / "cache"))
    for found in (cache.put("key", lazy()), cache.get("key"), Cache(disk=Disk(tmp_path / "cache")).get("key")):
        assert type(found) is torch.Tensor
        assert [found.requires_grad, found.is_conj(), found.is_neg()] == [False] * 3
        assert found.equal(values)


def test_a_sparse_tensor_is_not_kept():
    cache, sparse = Cache(), torch.eye(3).to_sparse()
    assert cache.put("key", sparse) is sparse
    assert cache.get("key") is None


# ---------------------------------------------------------------------------------------------------------------------
# Tensors that somebody changes


def test_what_was_made_in_inference_mode_cannot_be_changed_from_memory_or_disk(tmp_path):
    with torch.inference_mode():
        activation = torch.randn(3, 4)
    cache = Cache(disk=Disk(tmp_path / "cache"))
    cache.put("key", activation)
    for found in (cache.get("key"), Cache(disk=Disk(tmp_path / "cache")).get("key")):
        assert found.is_inference()
        with pytest.raises(RuntimeError, match="inference tensor"):
            found[:, 0] -= 1
        assert found.equal(activation)


@pytest.mark.parametrize("view", [lambda x: x, lambda x: x[0], lambda x: x.detach().T], ids=["itself", "part", "view"])
@pytest.mark.parametrize("tier", ["device", "host"])
def test_a_changed_tensor_is_dropped_with_a_warning(view, tier):
    told = []
    cache = Cache(0 if tier == "host" else 1000, host=1000, tell=told.append)
    cache.put(("some", "key"), torch.zeros(3, 4))
    view(cache.get(("some", "key"))).add_(1)
    assert cache.get(("some", "key")) is None
    assert len(told) == 1
    assert "changed in place" in told[0]
    assert "('some','key',)" in told[0]
    assert cache.get_or(("some", "key"), lambda: torch.zeros(3, 4)).equal(torch.zeros(3, 4))
    assert len(told) == 1


def test_a_changed_tensor_is_found_on_disk_as_it_was(tmp_path):
    told = []
    cache = Cache(disk=Disk(tmp_path / "cache"), tell=told.append)
    cache.put("key", torch.zeros(3)).add_(1)
    assert cache.get("key").equal(torch.zeros(3))
    assert len(told) == 1


def test_a_changed_tensor_does_not_move_to_host_memory():
    told = []
    cache = Cache(20, host=100, tell=told.append)
    cache.put("a", of_bytes(20)).add_(1)
    cache.put("b", of_bytes(20))
    assert cache.get("a") is None
    assert len(told) == 1


def test_outside_a_run_what_is_wrong_is_a_python_warning():
    cache = Cache()
    cache.put("key", torch.zeros(3)).add_(1)
    with pytest.warns(CacheWarning, match="changed in place"):
        assert cache.get("key") is None


# ---------------------------------------------------------------------------------------------------------------------
# Keys

texts = st.text(st.sampled_from("ab'\"\\(),\0\n\ud83d\ude00😀é ") | st.characters(), max_size=4)
keys = st.recursive(texts, lambda parts: st.lists(parts, max_size=3).map(tuple), max_leaves=6)


@steady
@given(keys, keys)
def test_two_keys_have_one_text_only_when_they_are_one(first, second):
    assert (key_text(first) == key_text(second)) == (first == second)
    assert key_text(first).isascii()


LOOKALIKES = [
    ("a", "b"),
    ("ab",),
    "ab",
    ("a,b",),
    "('a','b',)",
    ("a", ("b",)),
    (("a",), "b"),
    (("a", "b"),),
    ("a", "b", ""),
    ("a\0b",),
    ("a', 'b",),
    (),
    ("",),
    "",
    ((),),
    "\ud83d\ude00",
    "😀",
    "\\ud83d\\ude00",
]


def test_keys_that_look_alike_have_entries_of_their_own(tmp_path):
    cache = Cache(disk=Disk(tmp_path / "cache"))
    for number, key in enumerate(LOOKALIKES):
        cache.put(key, torch.tensor(number))
    for again in (cache, Cache(disk=Disk(tmp_path / "cache"))):
        assert [again.get(key).item() for key in LOOKALIKES] == list(range(len(LOOKALIKES)))


class Named(str):
    pass


@pytest.mark.parametrize("key", [1, None, ("a", 1), ["a"], ("a", ("b", 2.0)), b"a", Named("a"), torch.zeros(1)])
def test_a_key_is_made_of_texts_alone(key):
    with pytest.raises(TypeError, match="expected a str or a tuple of such, found the"):
        Cache().get(key)
    with pytest.raises(TypeError, match="cache key"):
        Cache().put(key, torch.zeros(1))


# ---------------------------------------------------------------------------------------------------------------------
# A device other than the CPU


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
class TestOnAGpu:
    def test_tensors_come_back_to_the_device_where_they_were_put(self, tmp_path):
        gpu = torch.device("cuda", 0)
        disk = Disk(tmp_path / "cache", device=gpu)
        cache = Cache(40, host=1000, disk=disk)
        there = [torch.randn(10, device=gpu) for _ in range(5)]
        for number, tensor in enumerate(there):
            cache.put(f"gpu {number}", tensor)
        cache.put("cpu", torch.ones(3))
        assert cache._device._bytes <= 40
        assert all(one.tensor.device.type == "cpu" for one in cache._host._held.values())
        for again in (cache, Cache(disk=disk)):
            for number, tensor in enumerate(there):
                found = again.get(f"gpu {number}")
                assert found.device == gpu
                assert found.equal(tensor)
            assert again.get("cpu").device.type == "cpu"
        assert cache.from_disk == 0

    def test_inference_tensors_stay_what_they_are_on_every_way(self, tmp_path):
        with torch.inference_mode():
            tensor = torch.randn(4, 5, device="cuda").T.clone()
        disk = Disk(tmp_path / "cache", device=tensor.device)
        Cache(disk=disk).put("key", tensor)
        through_host = Cache(0, host=1000)
        through_host.put("key", tensor)
        for found in (Cache(disk=disk).get("key"), through_host.get("key")):
            assert found.is_inference()
            assert found.stride() == tensor.stride()
            assert found.equal(tensor)
