"""The shipped checkpoints of the induction system: what is in them, and that they do what their headers say."""

from pathlib import Path

import pytest
import torch
from induction import LEARNED, RECIPES, TRAJECTORY, Induction

from mechtests.checkpoints import fill, read
from mechtests.systems.induction.transformer import AttentionOnlyConfig

FOLDER = Path(__file__).parent.parent / "fixtures" / "checkpoints" / "induction"
FINAL = sorted(FOLDER.glob("*.safetensors"))
STEPS = sorted((FOLDER / "steps").glob("*.safetensors"))


@pytest.fixture(scope="module")
def task():
    return Induction(0, batch=1, device="cpu")


@pytest.mark.parametrize("path", [*FINAL, *STEPS], ids=lambda path: path.stem)
def test_a_checkpoint_does_what_its_header_says(task, path):
    checkpoint, tensors = read(path)
    made = checkpoint.provenance
    assert AttentionOnlyConfig(**made.config) == AttentionOnlyConfig()
    fill(task.model, tensors, path)
    assert task.measured() == pytest.approx(made.metrics, abs=1e-3)
    assert made.system == "induction"
    assert path.stem.startswith(f"{made.recipe}-seed{made.seed:02d}")
    assert {weight.dtype for weight in tensors.values()} == {torch.float32}
    assert path.stat().st_size < 2_000_000


@pytest.mark.parametrize("path", FINAL, ids=lambda path: path.stem)
def test_a_shipped_seed_learned_induction(path):
    made = read(path)[0].provenance
    assert made.final
    assert made.step == RECIPES[made.recipe].steps
    assert made.metrics["second_loss"] <= LEARNED


def test_three_seeds_or_more():
    assert len({read(path)[0].provenance.seed for path in FINAL}) >= 3


def test_one_seed_has_twelve_checkpoints_around_the_phase_change():
    made = [read(path)[0].provenance for path in STEPS]
    assert {(one.recipe, one.seed, one.final) for one in made} == {("two-layer", 0, False)}
    assert tuple(one.step for one in made) == TRAJECTORY["two-layer", 0]
    assert len(made) == 12
    losses = [one.metrics["second_loss"] for one in made]
    assert losses[0] > 5  # before it
    assert losses[-1] < LEARNED  # after it


def test_every_checkpoint_has_weights_of_its_own():
    digests = [read(path)[0].sha256 for path in (*FINAL, *STEPS)]
    assert len(set(digests)) == len(digests)
