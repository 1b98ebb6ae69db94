"""Several processes on one folder, and processes that are killed."""

import multiprocessing
import os
import random
import resource
import signal
import time
from functools import partial

import pytest
import torch

from mechtests.cache import Cache, Disk

KEYS = 40


@pytest.fixture(scope="module")
def processes():
    """Starts processes quickly: one process imports everything once, and the others are copies of it."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["mechtests.cache"])
    return context


def right(number):
    """The one tensor that may ever be found under a number's key."""
    return torch.full((10_000 * (number % 5 + 1),), number, dtype=torch.float32)


def write_and_read(folder, seed, budget, wrong):
    """Puts and gets tensors at random; tells what was not right, and every warning."""
    torch.set_num_threads(1)
    cache = Cache(0, disk=Disk(folder, budget=budget, tell=wrong.put))
    order = random.Random(seed)
    for _ in range(400):
        number = order.randrange(KEYS)
        found = cache.get_or(f"{number}", lambda number=number: right(number))
        if not found.equal(right(number)):
            wrong.put(f"{number}: {found}")
        if order.random() < 0.3:
            cache.put(f"{number}", right(number))
    wrong.put("done")


@pytest.mark.parametrize("budget", [8 << 30, 2_000_000], ids=["roomy", "evicting"])
def test_processes_that_write_read_and_evict_the_same_keys_find_what_is_right(processes, tmp_path, budget):
    wrong = processes.Queue()
    workers = [
        processes.Process(target=write_and_read, args=(tmp_path / "cache", seed, budget, wrong)) for seed in range(3)
    ]
    for worker in workers:
        worker.start()
    told = [wrong.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0] * 3
    assert told == ["done"] * 3
    assert wrong.empty()
    if budget < 1 << 30:
        assert Disk(tmp_path / "cache").survey().bytes <= budget + 3 * 201_000  # a tensor each


def test_clearing_while_others_write_disturbs_nobody(processes, tmp_path):
    wrong = processes.Queue()
    workers = [
        processes.Process(target=write_and_read, args=(tmp_path / "cache", seed, 8 << 30, wrong)) for seed in range(2)
    ]
    for worker in workers:
        worker.start()
    while any(worker.is_alive() for worker in workers):
        Disk(tmp_path / "cache").clear()
        time.sleep(0.01)
    told = [wrong.get(timeout=60) for _ in workers]
    assert told == ["done"] * 2
    assert wrong.empty()


LARGE = 16


def large(number):
    """Takes longer to write than all else does, so that many a kill comes upon the writing."""
    return torch.full((500_000,), number, dtype=torch.float32)


def write_for_ever(folder, seed, began):
    torch.set_num_threads(1)
    order, cache = random.Random(seed), Cache(0, disk=Disk(folder, budget=24_000_000))
    while True:
        number = order.randrange(LARGE)
        cache.put(f"{number}", large(number))
        began.set()


def assert_usable(folder):
    told = []
    cache = Cache(0, disk=Disk(folder, tell=told.append))
    found = [cache.get(f"{number}") for number in range(LARGE)]
    assert all(tensor is None or tensor.equal(large(number)) for number, tensor in enumerate(found))
    # A file appears whole or not at all, so that even the checksum has nothing to find.
    assert told == []
    return sum(tensor is not None for tensor in found)


def assert_goes_on(folder):
    for path in folder.rglob("*.tmp"):
        os.utime(path, (0, 0))  # its writer has been dead for long
    cache = Cache(0, disk=Disk(folder))
    for number in range(LARGE):
        assert cache.get_or(f"{number}", lambda number=number: large(number)).equal(large(number))
    cache.put("one more", right(0))
    assert assert_usable(folder) == LARGE
    assert list(folder.rglob("*.tmp")) == []


def test_killing_a_writer_at_any_moment_leaves_a_usable_cache(processes, tmp_path):
    moments, folder = random.Random(0), tmp_path / "cache"
    for kill in range(25):
        began = processes.Event()
        writer = processes.Process(target=write_for_ever, args=(folder, kill, began))
        writer.start()
        assert began.wait(60)
        time.sleep(moments.random() * 0.05)
        os.kill(writer.pid, signal.SIGKILL)
        writer.join(60)
        assert assert_usable(folder) > 0
    assert_goes_on(folder)


def write_and_die(folder, moment):
    cache = Cache(0, disk=Disk(folder))
    cache.put("0", large(0))
    die = partial(os.kill, os.getpid(), signal.SIGKILL)
    if moment == "before it is renamed":
        os.replace = lambda *_: die()
    else:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, resource.RLIM_INFINITY))
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # which kills, with half of the file written
    cache.put("1", large(1))


@pytest.mark.parametrize("moment", ["in the middle of a file", "before it is renamed"])
def test_a_writer_that_dies_leaves_nothing_under_the_name_of_a_tensor(processes, tmp_path, moment):
    folder = tmp_path / "cache"
    writer = processes.Process(target=write_and_die, args=(folder, moment))
    writer.start()
    writer.join(60)
    assert writer.exitcode in (-signal.SIGKILL, -signal.SIGXFSZ)
    (left,) = folder.rglob("*.tmp")
    assert (left.stat().st_size < 2_000_000) == (moment == "in the middle of a file")
    assert assert_usable(folder) == 1
    assert_goes_on(folder)
