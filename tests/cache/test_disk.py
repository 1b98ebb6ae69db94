import errno
import json
import os
import resource
import time
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open

from mechtests.cache import Cache, CacheError, CacheWarning, Disk
from mechtests.cache import disk as module

steady = settings(
    deadline=None, derandomize=True, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
DTYPES = [
    torch.bool,
    torch.uint8,
    torch.int16,
    torch.int64,
    torch.float16,
    torch.bfloat16,
    torch.float32,
    torch.float64,
    torch.complex64,
    torch.complex128,
    torch.float8_e4m3fn,
]


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def told():
    return []


@pytest.fixture
def disk(folder, told):
    return Disk(folder, tell=told.append)


def files(folder):
    return sorted((folder / "v1").rglob("*.safetensors"))


def unfinished(folder):
    return sorted(folder.rglob("*.tmp"))


def of_bytes(n, fill=1):
    return torch.full((n,), fill, dtype=torch.uint8)


def bits(tensor):
    return tensor.detach().clone(memory_format=torch.contiguous_format).flatten().view(torch.uint8).tolist()


# ---------------------------------------------------------------------------------------------------------------------
# What is kept


@steady
@given(
    st.sampled_from(DTYPES), st.lists(st.integers(0, 4), max_size=4), st.randoms(use_true_random=False), st.booleans()
)
def test_another_run_finds_the_same_bits_with_the_same_strides(tmp_path, dtype, shape, random, inference):
    order = random.sample(range(len(shape)), len(shape))
    with torch.inference_mode(inference):
        size = torch.empty(shape, dtype=dtype).nbytes
        values = 2 if dtype is torch.bool else 256
        raw = torch.tensor([random.randrange(values) for _ in range(size)], dtype=torch.uint8)
        put = raw.view(dtype).reshape([shape[axis] for axis in order])
        put = put.permute([order.index(axis) for axis in range(len(shape))])
    cache = Cache(0, disk=Disk(tmp_path / "cache"))
    put = cache.put("key", put)
    found = Cache(0, disk=Disk(tmp_path / "cache")).get("key")
    assert (found.dtype, found.shape, found.stride()) == (put.dtype, put.shape, put.stride())
    assert found.is_inference() == put.is_inference()
    assert bits(found) == bits(put)
    assert found.untyped_storage().nbytes() == put.nbytes


def test_not_a_number_zeros_and_infinities_keep_their_bits(disk):
    odd = torch.tensor([0.0, -0.0, float("nan"), float("inf"), 1e-45])
    odd.view(torch.int32)[2] = 0x7FC12345  # a NaN that carries something
    disk.put("key", odd)
    assert bits(disk.get("key")) == bits(odd)


def test_a_tensor_found_is_no_part_of_the_file(disk, folder):
    disk.put("key", of_bytes(100))
    found = disk.get("key")
    (path,) = files(folder)
    path.write_bytes(b"\xff" * path.stat().st_size)
    found.add_(1)
    assert found.tolist() == [2] * 100


def test_a_file_is_safetensors_and_says_what_it_holds(disk, folder):
    disk.put("the key", torch.zeros(2, 3, dtype=torch.bfloat16))
    (path,) = files(folder)
    assert path.parent.name == path.name[:2]
    assert path.relative_to(folder).parts[0] == "v1"
    with safe_open(path, framework="pt") as file:
        entry = json.loads(file.metadata()["entry"])
        assert file.get_tensor("bytes").tolist() == [0] * 12
    assert (entry["key"], entry["dtype"], entry["shape"]) == ("the key", "bfloat16", [2, 3])


def test_the_folder_is_left_alone_by_backups_and_git(disk, folder):
    assert not folder.exists()
    disk.put("key", of_bytes(1))
    assert (folder / "CACHEDIR.TAG").read_text().startswith("Signature: 8a477f597d28d172789f06886806bc55")
    assert (folder / ".gitignore").read_text() == "*\n"


def test_a_key_put_again_holds_the_later_tensor(disk, folder):
    for fill in range(3):
        disk.put("key", of_bytes(10, fill))
    assert disk.get("key").tolist() == [2] * 10
    assert len(files(folder)) == 1


# ---------------------------------------------------------------------------------------------------------------------
# Files that cannot be trusted


def test_no_flipped_bit_gives_a_wrong_tensor(disk, folder, told):
    kept = torch.randn(2, 3, generator=torch.Generator().manual_seed(0)).T
    disk.put("key", kept)
    (path,) = files(folder)
    right = path.read_bytes()
    unnoticed = []
    for place in range(len(right)):
        for bit in range(8):
            flipped = bytearray(right)
            flipped[place] ^= 1 << bit
            path.write_bytes(flipped)
            found = disk.get("key")
            if found is not None:
                unnoticed.append((place, bit))
                assert bits(found) == bits(kept)
                assert found.stride() == kept.stride()
            assert (found is None) == bool(told)
            told.clear()
    assert unnoticed == []
    path.write_bytes(right)
    assert disk.get("key").equal(kept)


@pytest.mark.parametrize("place", [0, 1_000_000, 3_999_999])
def test_a_flipped_bit_in_a_large_tensor_is_noticed(disk, folder, told, place):
    disk.put("key", torch.zeros(1_000_000))
    (path,) = files(folder)
    content = bytearray(path.read_bytes())
    content[len(content) - 4_000_000 + place] ^= 0x10
    path.write_bytes(content)
    assert disk.get("key") is None
    assert "damaged" in told[0]
    assert str(path) in told[0]


def test_a_truncated_file_is_noticed_wherever_it_ends(disk, folder, told):
    disk.put("key", of_bytes(20))
    (path,) = files(folder)
    right = path.read_bytes()
    for length in range(len(right)):
        path.write_bytes(right[:length])
        assert disk.get("key") is None
        assert len(told) == length + 1
    path.write_bytes(right + b"more")
    assert disk.get("key") is None


@pytest.mark.parametrize("content", [b"", b"\0" * 1000, b"\xff" * 1000, b"PK\x03\x04 a pickle", b"{}"])
def test_any_other_content_is_noticed(disk, folder, told, content):
    disk.put("key", of_bytes(20))
    files(folder)[0].write_bytes(content)
    assert disk.get("key") is None
    assert len(told) == 1


def test_a_file_of_safetensors_from_elsewhere_is_noticed(disk, folder, told):
    from safetensors.torch import save_file

    disk.put("key", of_bytes(20))
    (path,) = files(folder)
    for tensors, metadata in [
        ({"bytes": of_bytes(20)}, None),
        ({"bytes": of_bytes(20)}, {"entry": "{}", "crc32": "00000000"}),
        ({"weight": of_bytes(20)}, {"entry": "{}"}),
    ]:
        save_file(tensors, path, metadata)
        assert disk.get("key") is None
    assert len(told) == 3


def test_a_damaged_file_is_replaced_by_what_is_computed_anew(disk, folder, told):
    cache = Cache(0, disk=disk)
    cache.put("key", of_bytes(20))
    files(folder)[0].write_bytes(b"damaged")
    assert cache.get_or("key", lambda: of_bytes(20)).tolist() == [1] * 20
    assert cache.get("key").tolist() == [1] * 20
    assert len(told) == 1


def test_a_file_that_holds_another_key_is_a_miss(disk, folder, told):
    disk.put("one", of_bytes(20, 1))
    (one,) = files(folder)
    disk.put("two", of_bytes(20, 2))
    (two,) = set(files(folder)) - {one}
    one.write_bytes(two.read_bytes())
    assert disk.get("one") is None
    assert disk.get("two").tolist() == [2] * 20
    assert not told


def test_outside_a_run_a_damaged_file_is_a_python_warning(folder):
    disk = Disk(folder)
    disk.put("key", of_bytes(20))
    files(folder)[0].write_bytes(b"damaged")
    with pytest.warns(CacheWarning, match="damaged"):
        assert disk.get("key") is None


# ---------------------------------------------------------------------------------------------------------------------
# Disks that do not work


def test_a_file_in_place_of_the_folder_is_refused(folder):
    folder.write_text("mine")
    with pytest.raises(CacheError, match="expected a folder for the cache, found a file"):
        Disk(folder)


def test_a_folder_with_other_things_is_refused_and_left_alone(folder):
    folder.mkdir()
    (folder / "thesis.tex").write_text("mine")
    with pytest.raises(CacheError, match="contains other files than a mechtests cache"):
        Disk(folder)
    assert [path.name for path in folder.iterdir()] == ["thesis.tex"]


def test_an_empty_folder_and_one_made_before_are_taken(folder):
    folder.mkdir()
    Disk(folder).put("key", of_bytes(3))
    assert Disk(folder).get("key").tolist() == [1] * 3


def test_a_full_disk_is_told_once_and_what_was_kept_is_still_read(disk, folder, told):
    disk.put("before", of_bytes(20))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        for key in "abc":
            disk.put(key, of_bytes(100_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert len(told) == 1
    assert "cannot be written (File too large)" in told[0]
    assert unfinished(folder) == []
    assert disk.get("a") is None
    assert disk.get("before") is not None


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT])
@pytest.mark.parametrize("step", ["replace", "makedirs"])
def test_a_disk_that_cannot_be_written_is_told_once_and_the_run_goes_on(folder, told, monkeypatch, code, step):
    def fail(*_args, **_kwargs):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, step, fail)
    cache = Cache(disk=Disk(folder, tell=told.append))
    for key in "abc":
        cache.put(key, of_bytes(20))
    assert len(told) == 1
    assert os.strerror(code) in told[0]
    assert kept_in_memory(cache) == 3
    assert unfinished(folder) == []


def kept_in_memory(cache):
    return sum(cache.get(key) is not None for key in "abc")


def test_a_disk_that_cannot_be_read_is_told_once_and_left_alone(disk, folder, told):
    for key in "ab":
        disk.put(key, of_bytes(20))
    for path in files(folder):
        path.unlink()
        path.mkdir()  # an error of reading that no permission of this user prevents
    assert disk.get("a") is None
    assert disk.get("b") is None
    assert len(told) == 1
    assert "cannot be read" in told[0]


def test_where_there_can_be_no_folder_the_run_goes_on_without_one(tmp_path, told):
    (tmp_path / "file").write_text("")
    cache = Cache(disk=Disk(tmp_path / "file" / "cache", tell=told.append))
    for key in "abc":
        cache.put(key, of_bytes(20))
    assert kept_in_memory(cache) == 3
    assert len(told) == 1


def test_what_another_process_removes_at_any_moment_is_a_miss(disk, folder, told, monkeypatch):
    plain = os.fstat

    def removed_after_it_was_opened(descriptor):
        files(folder)[0].unlink()
        return plain(descriptor)

    disk.put("key", of_bytes(20))
    with monkeypatch.context() as patched:
        patched.setattr(os, "fstat", removed_after_it_was_opened)
        assert disk.get("key").tolist() == [1] * 20
    assert disk.get("key") is None
    assert not told


def test_a_folder_that_is_removed_in_the_middle_of_writing_is_made_again(disk, folder, told, monkeypatch):
    plain = os.replace

    def removed_first(source, target):
        os.remove(source)
        plain(source, target)

    monkeypatch.setattr(os, "replace", removed_first)
    disk.put("key", of_bytes(20))
    monkeypatch.setattr(os, "replace", plain)
    assert disk.get("key") is None
    disk.put("key", of_bytes(20))
    assert disk.get("key") is not None
    assert not told


# ---------------------------------------------------------------------------------------------------------------------
# The budget


def bytes_in(folder):
    return sum(path.stat().st_size for path in folder.rglob("*/*/*"))


def bytes_of(key, size):
    return sum(map(len, module._parts(key, of_bytes(size))))


@steady
@given(st.lists(st.tuples(st.sampled_from("abcdefghij"), st.integers(0, 3000)), max_size=30), st.integers(500, 10_000))
def test_one_process_never_exceeds_the_budget(tmp_path_factory, puts, budget):
    folder = tmp_path_factory.mktemp("budget") / "cache"
    disk = Disk(folder, budget=budget)
    for key, size in puts:
        disk.put(f"{key}{size}", of_bytes(size))
        assert bytes_in(folder) <= budget
        found = disk.get(f"{key}{size}")
        assert (found is not None) == (bytes_of(f"{key}{size}", size) <= budget)
        assert found is None or len(found) == size


def used_at(folder, order):
    """Make the files look as if they were last used in this order, long ago."""
    for age, path in enumerate(order):
        os.utime(path, (1_000_000 + age, 1_000_000 + age))


def path_of(disk, key):
    return Path(disk._path(key))


@steady
@given(st.permutations("abcdefgh"), st.integers(1, 8))
def test_the_least_recently_used_leave_first(tmp_path_factory, order, many):
    folder = tmp_path_factory.mktemp("order") / "cache"
    disk = Disk(folder)
    for key in order:
        disk.put(key, of_bytes(1000))
    size = path_of(disk, "a").stat().st_size
    used_at(folder, [path_of(disk, key) for key in order])
    small = Disk(folder, budget=many * size + size // 2)
    small.put("z", of_bytes(1000))
    left = [key for key in order if path_of(disk, key).exists()]
    assert left == order[len(order) - len(left) :]
    assert path_of(disk, "z").exists()
    assert many - 2 <= len(left) < many


def test_what_was_read_lately_stays(disk, folder):
    for key in "abc":
        disk.put(key, of_bytes(1000))
    size = path_of(disk, "a").stat().st_size
    used_at(folder, [path_of(disk, key) for key in "abc"])
    assert disk.get("a") is not None
    Disk(folder, budget=2 * size + size // 2).put("d", of_bytes(1000))
    assert [key for key in "abcd" if path_of(disk, key).exists()] == ["a", "d"]


def test_what_others_wrote_counts_and_leaves_too(folder):
    size = 1400
    first, second = (Disk(folder, budget=10 * size) for _ in range(2))
    for number in range(40):
        (first if number % 2 else second).put(f"{number}", of_bytes(1000))
        assert bytes_in(folder) <= 10 * size * (1 + 2 / 16) + size


LARGE, SMALL = 100_000, 1000


def there(disk, keys):
    return [key for key in keys if path_of(disk, key).exists()]


def test_a_run_that_fills_the_disk_keeps_its_first_activations_and_all_that_it_came_to(folder):
    disk = Disk(folder, budget=10 * LARGE)
    names = [f"{number}" for number in range(30)]
    for name in names:
        disk.put(f"large {name}", of_bytes(LARGE))
        disk.put(f"small {name}", of_bytes(SMALL))
        assert bytes_in(folder) <= 10 * LARGE
    large = there(disk, [f"large {name}" for name in names])
    assert 8 <= len(large) <= 9
    assert large == [f"large {number}" for number in range(30)][9 - len(large) : 9]
    assert len(there(disk, [f"small {name}" for name in names])) == 30


def test_a_later_run_has_room_for_its_own_and_small_ones_outlast_large_ones(folder):
    first = Disk(folder, budget=10 * LARGE)
    old = ["small a", "large a", "large b", "small b", "large c", "large d"]
    for key in old:
        first.put(key, of_bytes(LARGE if "large" in key else SMALL))
    used_at(folder, [path_of(first, key) for key in old])
    later = Disk(folder, budget=4 * LARGE + 20 * SMALL)
    assert later.get("large a") is not None
    for number in range(8):
        later.put(f"large {number}", of_bytes(LARGE))
    # What was read in this run is one of its own.
    assert there(later, old) == ["small a", "large a", "small b"]
    assert there(later, [f"large {number}" for number in range(8)]) == ["large 0", "large 1", "large 2"]


def test_small_ones_leave_when_there_is_nothing_else(folder):
    disk = Disk(folder, budget=10 * SMALL)
    for number in range(40):
        disk.put(f"{number}", of_bytes(SMALL))
    assert disk.get("39") is not None
    assert disk.get("0") is None


def test_a_tensor_larger_than_the_budget_is_not_kept_and_nothing_leaves_for_it(folder, told):
    disk = Disk(folder, budget=2000, tell=told.append)
    disk.put("small", of_bytes(100))
    disk.put("large", of_bytes(2000))
    disk.put("barely", of_bytes(1990))
    assert len(files(folder)) == 1
    assert disk.get("small") is not None
    assert not told


def test_the_folder_is_looked_at_seldom(folder, monkeypatch):
    looks, plain = [], Disk._scan
    monkeypatch.setattr(Disk, "_scan", lambda self, size: looks.append(size) or plain(self, size))
    disk = Disk(folder, budget=160_000)
    for number in range(200):
        disk.put(f"{number}", of_bytes(600))
    assert len(looks) <= 200 * 1000 / 10_000 + 2


# ---------------------------------------------------------------------------------------------------------------------
# What writers left unfinished


def abandoned(folder, seconds):
    path = folder / "v1" / "ab" / f"{'ab' * 32}.{'0' * 32}.tmp"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"half")
    then = time.time() - seconds
    os.utime(path, (then, then))
    return path


def test_what_a_dead_writer_left_goes_when_the_folder_is_looked_at(disk, folder):
    disk.put("key", of_bytes(10))
    dead = abandoned(folder, 3600)
    Disk(folder).put("other", of_bytes(10))
    assert not dead.exists()
    alive = abandoned(folder, 1)
    Disk(folder).put("third", of_bytes(10))
    assert alive.exists()


def test_clearing_leaves_an_empty_cache_that_a_run_goes_on_with(disk, folder):
    for key in "abc":
        disk.put(key, of_bytes(10))
    abandoned(folder, 1)
    (folder / "v1" / "notes.txt").write_text("mine")
    Disk(folder).clear()
    assert [path.name for path in (folder / "v1").rglob("*.*")] == ["notes.txt"]
    assert disk.get("a") is None
    disk.put("a", of_bytes(10))
    assert disk.get("a") is not None


def test_a_survey_counts_what_is_there(disk, folder):
    assert disk.survey() == module.Survey(0, 0, None, None)
    for key in "abc":
        disk.put(key, of_bytes(10))
    used_at(folder, files(folder))
    abandoned(folder, 1)
    assert disk.survey() == module.Survey(3, bytes_in(folder), 1_000_000, 1_000_002)
