"""The shipped causal language models: what is in them, and that they do what their headers say."""

from pathlib import Path

import pytest
import torch

from mechtests.cache import Cache
from mechtests.checkpoints import fill
from mechtests.checkpoints.huggingface import read_pretrained
from mechtests.instruments import prefix_matching_score, previous_token_score
from mechtests.systems import CausalLM

pytest.importorskip("transformers", reason="pip install 'mechtests[hf]'")

import causal_lm
from induction import LEARNED

FOLDER = Path(__file__).parents[2] / "fixtures" / "checkpoints" / "causal-lm"
SHIPPED = sorted(FOLDER.glob("*-seed*"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_a_checkpoint_does_what_its_header_says(path):
    found = read_pretrained(path, "causal-lm")
    made = found.checkpoint.provenance
    assert path.name == f"{made.recipe}-seed{made.seed:02d}"
    assert made.final
    assert made.step == causal_lm.RECIPE.steps
    assert made.metrics["second_loss"] <= LEARNED
    task = causal_lm.CausalLM(made.recipe, made.seed, batch=1, device="cpu")
    fill(task.model, found.tensors, path)
    assert task.measured() == pytest.approx(made.metrics, abs=1e-3)
    assert {one.dtype for one in found.tensors.values()} == {torch.float32}
    assert sum(file.stat().st_size for file in path.iterdir()) <= 3_000_000


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_the_adapter_finds_what_was_measured_in_training(path):
    system = CausalLM.load(path, torch.device("cpu"), Cache())
    made = system.checkpoint.provenance
    tokens = causal_lm.CausalLM(made.recipe, made.seed, batch=1, device="cpu").repeated
    first, *later = (system.pattern(tokens, layer) for layer in range(system.n_layers))
    assert system.losses(tokens)[:, 32:].mean().item() == pytest.approx(made.metrics["second_loss"], abs=1e-3)
    assert previous_token_score(first, tokens).mean(0).max().item() == pytest.approx(
        made.metrics["previous_token"], abs=1e-3
    )
    assert max(prefix_matching_score(one, tokens).mean(0).max().item() for one in later) == pytest.approx(
        made.metrics["prefix_matching"], abs=1e-3
    )


def test_two_families_are_shipped():
    assert {path.name for path in SHIPPED} >= {"gpt2-small-copying-seed00", "llama-small-copying-seed00"}
