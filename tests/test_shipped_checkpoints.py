"""The checkpoints of this repository are what their provenance says, and enough for the claims."""

import pytest
import torch

from claims.subtraction.inputs import PROBLEMS
from fixtures.subtraction import CHECKPOINTS
from mechtests.cache import Cache
from mechtests.systems import Subtraction
from mechtests.systems.subtraction import sign_correct

FINAL = sorted(CHECKPOINTS.glob("*.safetensors"))
STEPS = sorted((CHECKPOINTS / "steps").glob("*.safetensors"))
UNLEARNED = sorted((CHECKPOINTS / "unlearned").glob("*.safetensors"))


def load(path):
    return Subtraction.load(path, torch.device("cpu"), Cache())


@pytest.mark.parametrize("path", FINAL, ids=lambda path: path.stem)
def test_a_shipped_seed_learned_the_sign(path):
    system = load(path)
    made = system.checkpoint.provenance
    accuracy = sign_correct(system.logits(PROBLEMS), PROBLEMS).float().mean().item()
    assert accuracy >= 0.985
    # A few problems are so close that another machine's rounding may turn them.
    assert made.metrics["sign_accuracy"] == pytest.approx(accuracy, abs=5e-4)
    assert made.final
    assert path.stem == f"{made.recipe}-seed{made.seed:02d}"
    assert {weight.dtype for weight in system.module.parameters()} == {torch.float32}


@pytest.mark.parametrize("path", UNLEARNED, ids=lambda path: path.stem)
def test_a_seed_that_did_not_learn_is_kept_apart(path):
    assert load(path).checkpoint.provenance.metrics["sign_accuracy"] < 0.985


def test_each_recipe_has_five_seeds_or_more():
    seeds = {}
    for path in FINAL:
        made = load(path).checkpoint.provenance
        seeds.setdefault(made.recipe, set()).add(made.seed)
    assert set(seeds) == {"light-decay", "heavy-decay"}
    assert all(len(of_recipe) >= 5 for of_recipe in seeds.values())


def test_one_seed_has_twelve_checkpoints_along_training():
    made = [load(path).checkpoint.provenance for path in STEPS]
    assert len(made) == 12
    assert {(one.recipe, one.seed, one.final) for one in made} == {("light-decay", 0, False)}
    assert sorted({one.step for one in made}) == [one.step for one in made]


def test_every_checkpoint_has_weights_of_its_own():
    identities = [load(path).identity for path in (*FINAL, *STEPS, *UNLEARNED)]
    assert len(set(identities)) == len(identities)
