"""Cost of the cache on disk: compared with the forward pass that it saves, and with other checksums."""

import hashlib
import time
import zlib

import pytest
import torch

from fixtures.subtraction import CHECKPOINTS
from mechtests.cache import Cache, Disk
from mechtests.families import SubtractionProblems
from mechtests.systems import Subtraction

PROBLEMS = SubtractionProblems().census()
ROUNDS = 7


def seconds_of(run):
    """The least of some rounds: what the work takes where nothing else disturbs it."""
    taken = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        run()
        taken.append(time.perf_counter() - began)
    return min(taken)


def test_finding_a_pass_on_disk_costs_less_than_making_it(benchmark, tmp_path):
    paths = sorted(CHECKPOINTS.glob("*.safetensors"))
    if not paths:
        pytest.skip(f"no checkpoint in {CHECKPOINTS}")
    disk, cpu = Disk(tmp_path / "cache"), torch.device("cpu")
    Subtraction.load(paths[0], cpu, Cache(disk=disk)).logits(PROBLEMS)
    warm, bare = (Subtraction.load(paths[0], cpu, Cache(0, disk=kept)) for kept in (disk, None))
    kept = disk.survey()
    found = benchmark.pedantic(seconds_of, args=(lambda: warm.logits(PROBLEMS),), rounds=1)
    made = seconds_of(lambda: bare.logits(PROBLEMS))
    assert warm.cache.passes == 0
    benchmark.extra_info.update(
        entries=kept.entries, megabytes=kept.bytes / 1e6, found=found, made=made, ratio=found / made
    )
    assert found < made


def test_the_checksum_costs_at_most_twice_the_fastest_at_hand(benchmark):
    content = torch.randn(5_000_000, generator=torch.Generator().manual_seed(0)).numpy().data
    taken = {
        "crc32": benchmark.pedantic(seconds_of, args=(lambda: zlib.crc32(content),), rounds=1),
        "sha256": seconds_of(lambda: hashlib.sha256(content).digest()),
        "blake2b": seconds_of(lambda: hashlib.blake2b(content).digest()),
    }
    benchmark.extra_info.update({name: 20e6 / seconds / 1e9 for name, seconds in taken.items()}, unit="GB/s")
    assert taken["crc32"] <= 2 * min(taken.values())
