"""A training run from end to end: mechanisms appear, the ledger keeps them, and a damaged checkpoint is caught."""

import copy
import re
import shutil
from pathlib import Path

import pytest
import torch

from claims.subtraction.neurons import sign_relevant
from fixtures.subtraction import CHECKPOINTS
from mechtests.cache import Cache
from mechtests.checkpoints import save
from mechtests.cli import main
from mechtests.results.ledger import Ledger
from mechtests.systems import Subtraction

ROOT = Path(__file__).parent.parent
STEPS = [CHECKPOINTS / "steps" / f"light-decay-seed00-step{step:05}.safetensors" for step in (100, 600, 4000)]
EARLY, MIDDLE, LAST = (path.stem for path in STEPS)

DEFAULT = "subtraction/default-plus/erased-loss"
SLOPES = "subtraction/linear-neurons/opposite-slopes"
GRADED = "subtraction/linear-neurons/graded"
SELECTED = "(erased_loss or opposite_slopes or graded) and not emergence and not universal"


@pytest.fixture
def told(tmp_path, monkeypatch, capfd):
    """The command line in this repository, with a ledger and a cache of its own."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("PYTEST_ADDOPTS", f"-p no:cacheprovider --claims-cache-dir {tmp_path / 'cache'}")

    def tell(*words):
        code = main([*map(str, words), "--claims-history", str(tmp_path / "history.db")])
        said = capfd.readouterr()
        return code, said.out, said.err

    return tell


def changes(out):
    """By claim, how its verdict changed, from a comparison's tables."""
    return {
        claim: f"{direction}: {before} → {after}"
        for direction, claim, before, after in re.findall(
            r"^\| (\w+) \| (\S+) \|[^|]*\| . (\w+) → . (\w+) \|", out, re.MULTILINE
        )
    }


def damaged(path):
    """The last checkpoint, in which the linear neurons write to the output what another one of them should."""
    system = Subtraction.load(STEPS[-1], torch.device("cpu"), Cache(0))
    linear = sign_relevant(system).nonzero().flatten()
    module = copy.deepcopy(system.module)
    shuffled = linear[torch.randperm(len(linear), generator=torch.Generator().manual_seed(0))]
    with torch.no_grad():
        W_out = module.blocks[0].mlp.W_out
        W_out[linear] = W_out[shuffled]
    save(path, module, system.checkpoint.provenance)
    return path


def test_mechanisms_appear_along_training_and_a_damaged_checkpoint_is_caught(told, tmp_path):
    code, _, error = told("verify", *STEPS, "-k", SELECTED, "-o", tmp_path / "good")
    assert code == 0, error

    # '+' as the default comes first, and linear neurons of opposite slopes later.
    code, out, _ = told("compare", EARLY, MIDDLE, "--markdown")
    assert (code, changes(out)) == (
        0,
        {
            DEFAULT: "better: refuted → supported",
            GRADED: "better: vacuous → supported",
            SLOPES: "worse: vacuous → refuted",
        },
    )
    code, out, _ = told("compare", MIDDLE, LAST, "--markdown")
    assert (code, changes(out)) == (0, {SLOPES: "better: refuted → supported"})
    # Back in time, what appeared is lost.
    code, out, _ = told("compare", LAST, EARLY, "--markdown")
    assert (code, set(changes(out)), out.count("| regression |")) == (1, {DEFAULT, SLOPES, GRADED}, 3)

    # The weights of the linear neurons' outputs are mixed up: their inputs and the default stay, their effect is lost.
    bad = damaged(tmp_path / "bad.safetensors")
    words = ("-k", SELECTED, "--baseline", tmp_path / "good" / "results.json", "--against", LAST)
    code, out, error = told("verify", bad, *words, "-o", tmp_path / "bad")
    assert code == 1, error
    assert "1 regression" in out
    (line,) = [line for line in (tmp_path / "bad" / "summary.md").read_text().splitlines() if "| regression |" in line]
    assert GRADED in line
    assert "✓ supported → ✗ refuted" in line

    # The same by a watch over the folder that they are written to; the damaged file is only half there at first.
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "new.safetensors").write_bytes(bad.read_bytes()[:100_000])
    words = ("watch", tmp_path / "run", "-o", tmp_path / "watched", "--once", "-k", SELECTED, "--baseline", LAST)
    code, out, _ = told(*words)
    assert (code, "incomplete (100,000 of" in out) == (0, True)
    shutil.copy(bad, tmp_path / "run" / "new.safetensors")
    code, out, error = told(*words)
    assert code == 1, error
    assert f"1 regression; 2 verdicts as before since {LAST}" in re.sub(r"; \d estimates? moved[^;]*", "", out)
    assert told(*words)[:2] == (0, "")

    runs = Ledger(tmp_path / "history.db").runs()
    assert [past.checkpoints for past in runs] == [("new",), ("bad",), (EARLY, MIDDLE, LAST)]
    code, out, _ = told("history", "--claim", GRADED)
    verdicts = [re.search(r"[✓✗○] \w+", line)[0] for line in out.splitlines() if "linear-neurons" in line]
    assert sorted(verdicts) == ["○ vacuous", "✓ supported", "✓ supported", "✗ refuted", "✗ refuted"]
