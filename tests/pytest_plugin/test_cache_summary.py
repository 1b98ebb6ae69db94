"""Runs of pytest with the cache cold, warm, off, shared and damaged: one suite of a user's own, the same verdicts."""

import json
import random
import re
import signal
import subprocess
import sys
import time

import pytest
import torch

from mechtests.checkpoints import Provenance, save
from mechtests.systems.subtraction.transformer import SubtractionConfig, SubtractionTransformer

CONFTEST = """
from pathlib import Path
import torch
from mechtests import system_fixture
from mechtests.systems import Subtraction

torch.set_num_threads(1)
small = system_fixture("small", Subtraction.load, Path(__file__).parent / "weights" / "*.safetensors", "make weights")
"""

CLAIMS = '''"""Is it so?"""

import pytest
from torch import Tensor
from mechtests import *
from mechtests.families import SubtractionProblems
from mechtests.systems.subtraction import PLUS, sign_difference

POST, ALL, ANY = Source("A post"), SubtractionProblems(9).census(), SubtractionProblems()


@memoized
def mean_logits(small: System) -> Tensor:
    return small.logits(ALL).mean(0)


@claim("small/sign/exact", "It is.", source=POST, expect=Value(above=0), controls=[untrained])
def test_exact(small, evidence):
    evidence.value(sign_difference(small.logits(ALL)).mean())


@claim("small/sign/erased", "It is.", source=POST, expect=Value(above=0))
@pytest.mark.parametrize("position", [0, 1, 2])
def test_erased(small, position, evidence):
    evidence.value(sign_difference(small.logits(ALL, zero("tok_embed", position=position))).std())


@claim("small/sign/neurons", "It is.", source=POST, expect=Mean(at_least=0, bounds=(-1e3, 1e3)))
def test_neurons(small, evidence):
    evidence.census(small.preactivations(ALL).mean(1))


@claim("small/sign/often", "It is.", source=POST, expect=Rate(at_least=0.5), controls=[untrained])
def test_often(small, evidence):
    for some in evidence.batches(ANY):
        evidence.observe(small.logits(some).argmax(1) != PLUS)


@claim("small/sign/mean", "It is.", source=POST, expect=Value(at_most=0), controls=[shuffled_weights])
def test_mean(small, evidence):
    evidence.value(mean_logits(small)[PLUS])
'''

COUNTS = re.compile(r"forward passes: ([\d,]+); found in the cache: ([\d,]+) in memory, ([\d,]+) on disk \((.+)\)")


class Suite:
    """A user's repository with claims about two checkpoints of a small transformer."""

    def __init__(self, pytester):
        self.pytester, self.path = pytester, pytester.path
        self.cache = self.path / ".mechtests_cache"
        pytester.makeconftest(CONFTEST)
        pytester.makepyfile(test_small=CLAIMS)
        sizes = {"d_model": 16, "n_heads": 2, "d_head": 8, "d_mlp": 32}
        for seed in range(2):
            with torch.random.fork_rng():
                torch.manual_seed(seed)
                module = SubtractionTransformer(SubtractionConfig(**sizes))
            save(self.path / "weights" / f"seed{seed}.safetensors", module, Provenance("subtraction", sizes))

    def run(self, *options):
        return self.pytester.runpytest_inprocess("-p", "no:cacheprovider", "--claims-budget=128", *options)

    def judged(self, *options):
        """What the run says of each claim, but for how long it took, and what it says of the cache."""
        result = self.run(*options)
        document = json.loads((self.path / "reports" / "latest" / "results.json").read_text())
        claims = [{**claim, "seconds": None, "rerun": None} for claim in document["claims"]]
        assert len(claims) == 14
        return sorted(claims, key=lambda claim: json.dumps([claim["checkpoint"], claim["id"], claim["params"]])), result

    def counted(self, *options):
        """The run's claims, and how many passes it made and how many tensors it found in memory and on disk."""
        claims, result = self.judged(*options)
        (line,) = [line for line in result.outlines if line.startswith("forward passes")]
        return claims, tuple(int(number.replace(",", "")) for number in COUNTS.match(line).groups()[:3])

    def entries(self):
        return sorted((self.cache / "v1").rglob("*.safetensors"))


def warnings_in(result):
    return [line for line in result.outlines if line.startswith("cache warning: ")]


@pytest.fixture
def suite(pytester):
    return Suite(pytester)


UNCACHED = []
"""What a run without the cache says: the same for every test, so the first that needs it makes the run."""


@pytest.fixture
def expected(suite):
    """The claims judged with every activation computed anew."""
    if not UNCACHED:
        claims, result = suite.judged("--no-claims-cache")
        assert any(line.startswith("forward passes: ") and "the cache is off" in line for line in result.outlines)
        assert not suite.cache.exists()
        assert len({claim["verdict"] for claim in claims}) > 1
        UNCACHED.extend(claims)
    return UNCACHED


# ---------------------------------------------------------------------------------------------------------------------
# Cold, warm, off, and shared


def test_a_second_run_makes_no_forward_pass_and_finds_the_same(suite, expected):
    cold, (passes, _, on_disk) = suite.counted()
    assert passes > 0
    assert on_disk == 0
    warm, counts = suite.counted()
    assert counts[0] == 0
    assert counts[2] > 0
    assert cold == warm == expected


def test_off_every_activation_is_computed_anew(suite):
    _, result = suite.judged("--no-claims-cache")
    (line,) = [line for line in result.outlines if line.startswith("forward passes")]
    _, (passes, *_) = suite.counted()
    assert int(line.split()[2].rstrip(";")) > passes


def test_other_weights_make_passes_of_their_own(suite):
    suite.counted()
    (suite.path / "weights" / "seed0.safetensors").rename(suite.path / "weights" / "renamed.safetensors")
    _, (renamed, *_) = suite.counted()
    assert renamed == 0  # the same weights under another name are the same
    with torch.random.fork_rng():
        torch.manual_seed(7)
        sizes = {"d_model": 16, "n_heads": 2, "d_head": 8, "d_mlp": 32}
        module = SubtractionTransformer(SubtractionConfig(**sizes))
    save(suite.path / "weights" / "renamed.safetensors", module, Provenance("subtraction", sizes))
    changed, (passes, *_) = suite.counted()
    assert passes > 0
    assert changed == suite.judged("--no-claims-cache")[0]


# ---------------------------------------------------------------------------------------------------------------------
# Where it is


def test_the_folder_is_that_of_the_option_or_of_the_ini_file_or_the_default(suite):
    suite.run()
    assert suite.entries()
    suite.run("--claims-cache-dir=elsewhere")
    assert list((suite.path / "elsewhere" / "v1").rglob("*.safetensors"))
    suite.pytester.makeini("[pytest]\nclaims_cache_dir = from_ini\n")
    result = suite.run()
    assert list((suite.path / "from_ini" / "v1").rglob("*.safetensors"))
    assert any("(from_ini)" in line for line in result.outlines)
    suite.pytester.makeini("[pytest]\nclaims_cache_dir = never\n")
    suite.run("--no-claims-cache", "--claims-cache-dir=neither")
    assert not (suite.path / "never").exists()
    assert not (suite.path / "neither").exists()


def test_a_folder_that_holds_other_things_stops_the_run_and_stays_as_it_was(suite):
    (suite.path / "mine").mkdir()
    (suite.path / "mine" / "thesis.tex").write_text("")
    for folder, message in [("mine", "contains other files"), ("conftest.py", "found a file")]:
        result = suite.run(f"--claims-cache-dir={folder}")
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        assert message in result.stderr.str()
        assert "Traceback" not in result.stderr.str()
    assert [path.name for path in (suite.path / "mine").iterdir()] == ["thesis.tex"]


def test_git_sees_nothing_of_it(suite):
    suite.run()
    subprocess.run(["git", "init", "-q"], cwd=suite.path, check=True)
    seen = subprocess.run(
        ["git", "status", "--porcelain"], cwd=suite.path, check=True, capture_output=True, text=True
    ).stdout
    assert "mechtests_cache" not in seen
    assert "weights" in seen


# ---------------------------------------------------------------------------------------------------------------------
# What is wrong with it


def flipped(content):
    changed = bytearray(content)
    changed[len(content) // 2] ^= 4
    return changed


DAMAGES = [flipped, lambda content: content[:-5], lambda content: b"", lambda content: b"no tensor"]


# This process has imported mechtests already, of which pytest warns.
REWRITE = "ignore::pytest.PytestAssertRewriteWarning"


def damage(suite):
    """Damage every file, each in another way."""
    for number, path in enumerate(suite.entries()):
        path.write_bytes(DAMAGES[number % len(DAMAGES)](path.read_bytes()))


def assert_damage_is_reported(suite, result):
    lines = warnings_in(result)
    assert len(lines) == 6
    assert all("damaged" in line and str(suite.cache) in line for line in lines[:5])
    assert re.fullmatch(r"cache warning: and \d+ more", lines[5])


@pytest.mark.parametrize("options", [[], ["-W", "error", "-W", REWRITE]], ids=["", "warnings are errors"])
def test_damaged_files_are_computed_anew_and_reported_and_fail_no_claim(suite, expected, options):
    suite.pytester.makeini(f"[pytest]\nfilterwarnings =\n    error\n    {REWRITE}\n")
    before = suite.run().parseoutcomes()
    damage(suite)
    claims, result = suite.judged(*options)
    assert claims == expected
    assert {word: result.parseoutcomes().get(word) for word in ("passed", "failed")} == {
        word: before.get(word) for word in ("passed", "failed")
    }
    assert_damage_is_reported(suite, result)
    again, counts = suite.counted()
    assert again == expected
    assert counts[0] == 0


def test_workers_share_one_cache_report_its_damage_and_sum_their_counts(suite, expected):
    suite.pytester.makeini(f"[pytest]\nfilterwarnings =\n    error\n    {REWRITE}\n")
    cold = suite.run().parseoutcomes()
    warm, (none, _, found) = suite.counted("-n2")
    assert warm == expected
    assert none == 0
    assert found > 0
    # With every file damaged the workers begin anew; one process then finds all that they have written.
    damage(suite)
    claims, result = suite.judged("-n2")
    assert claims == expected
    assert {word: result.parseoutcomes().get(word) for word in ("passed", "failed")} == {
        word: cold.get(word) for word in ("passed", "failed")
    }
    (line,) = [line for line in result.outlines if line.startswith("forward passes")]
    assert int(COUNTS.match(line)[1].replace(",", "")) > 0
    assert_damage_is_reported(suite, result)
    again, (none, _, found) = suite.counted("-n0")
    assert again == expected
    assert none == 0
    assert found > 0


def test_a_file_under_the_name_of_another_is_not_taken_for_it(suite, expected):
    suite.run()
    paths = suite.entries()
    contents = [path.read_bytes() for path in paths]
    for path, content in zip(paths, contents[1:] + contents[:1], strict=True):
        path.write_bytes(content)
    claims, result = suite.judged()
    assert claims == expected
    assert not warnings_in(result)


@pytest.mark.parametrize("step", ["replace", "makedirs"])
def test_a_disk_that_cannot_be_written_is_told_once_and_changes_no_verdict(suite, expected, monkeypatch, step):
    def fail(*args, **_options):
        if ".mechtests_cache" in str(args[0]):
            raise OSError(28, "No space left on device")
        return plain(*args, **_options)

    plain = getattr(sys.modules["os"], step)
    monkeypatch.setattr(f"os.{step}", fail)
    claims, result = suite.judged()
    assert claims == expected
    (told,) = warnings_in(result)
    assert "cannot be written (No space left on device)" in told
    assert suite.entries() == []


def test_a_tensor_changed_in_place_is_told_and_changes_no_later_verdict(suite):
    later = """

@claim("small/sign/later", "It is.", source=POST, expect=Value(above=-1e9))
def test_later(small, evidence):
    kept = mean_logits(small)
    evidence.value(kept[PLUS])
    kept += 100
"""
    suite.pytester.makepyfile(test_small=CLAIMS + later + later.replace("later", "latest"))
    result = suite.run("--claims-results=results.json")
    found = {}
    for claim in json.loads((suite.path / "results.json").read_text())["claims"]:
        found.setdefault(claim["id"], []).append(claim["estimate"])
    assert found["small/sign/later"] == found["small/sign/latest"] == found["small/sign/mean"]
    assert any("changed in place" in line for line in warnings_in(result))


# ---------------------------------------------------------------------------------------------------------------------
# Runs that are killed


def test_killing_runs_at_any_moment_leaves_a_usable_cache(suite, expected):
    moments = random.Random(1)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--claims-budget=128"]
    for workers in ([], ["-n2"], []):
        before, grown = len(suite.entries()), moments.randrange(1, 60)
        run = subprocess.Popen(
            [*command, *workers],
            cwd=suite.path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        while run.poll() is None and len(suite.entries()) < before + grown:
            time.sleep(0.002)
        if run.poll() is None:
            # The whole session, because the workers of a killed run would go on for a while.
            subprocess.run(["kill", "-KILL", "--", f"-{run.pid}"], check=True)
        assert run.wait(60) in (-signal.SIGKILL, 0, 1)
    found, (*_, on_disk) = suite.counted()
    assert found == expected
    assert on_disk > 0
    again, (none, *_) = suite.counted()
    assert again == expected
    assert none == 0
