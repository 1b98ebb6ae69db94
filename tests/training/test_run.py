"""A training run that was interrupted ends with the weights of one that was not."""

import json
from dataclasses import dataclass

import pytest
import run as training
import torch
from run import Recipe, train
from torch import nn

from mechtests.checkpoints import read


@dataclass(frozen=True)
class Sizes:
    width: int = 3


class Line(nn.Linear):
    config = Sizes()


class Fit:
    """A line fitted to noise, new at each step; the machine may fail at one of them."""

    system = "line"

    def __init__(self, fails_at=None, learns=True):
        torch.manual_seed(0)
        self.model, self.fails_at, self.learns = Line(3, 1), fails_at, learns

    def loss(self, step):
        if step == self.fails_at:
            raise KeyboardInterrupt
        drawn = torch.randn(8, 4, generator=training.generator(0, step))
        return (self.model(drawn[:, :3])[:, 0] - drawn[:, 3]).square().mean()

    def measured(self):
        return {"bias": self.model.bias.item()}

    def learned(self, measured):
        return self.learns and "bias" in measured


RECIPE = Recipe(weight_decay=0.1, steps=40, warmup=5)


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch, tmp_path):
    (tmp_path / "training").mkdir()
    monkeypatch.setattr(training, "HERE", tmp_path / "training")
    monkeypatch.setattr(training, "CHECKPOINTS", tmp_path / "checkpoints")
    return tmp_path


def fit(task, name="plain"):
    train(task, name, RECIPE, 0, steps_kept=(0, 25), measure_every=10, save_every=15)


def test_an_interrupted_run_goes_on_to_the_same_weights(elsewhere):
    fit(Fit())
    with pytest.raises(KeyboardInterrupt):
        fit(Fit(fails_at=33), "interrupted")
    assert (elsewhere / "training" / "runs" / "line-interrupted-seed00.safetensors").exists()
    fit(Fit(fails_at=10), "interrupted")  # what was done before the last saved state is not done again
    _, plain = read(elsewhere / "checkpoints" / "line" / "plain-seed00.safetensors")
    _, interrupted = read(elsewhere / "checkpoints" / "line" / "interrupted-seed00.safetensors")
    assert all(plain[name].equal(interrupted[name]) for name in plain)
    assert not list((elsewhere / "training" / "runs").iterdir())
    curves = [elsewhere / "training" / "curves" / f"line-{name}-seed00.jsonl" for name in ("plain", "interrupted")]
    first, second = ([json.loads(row) for row in curve.read_text().splitlines()] for curve in curves)
    assert [row["step"] for row in second] == [10, 20, 30, 40]
    assert [row["loss"] for row in first] == [row["loss"] for row in second]


def test_leaves_checkpoints_with_their_provenance_and_a_curve(elsewhere):
    fit(Fit())
    folder = elsewhere / "checkpoints" / "line"
    final, _ = read(folder / "plain-seed00.safetensors")
    made = final.provenance
    assert (made.system, made.config, made.recipe, made.seed) == ("line", {"width": 3}, "plain", 0)
    assert (made.step, made.final) == (40, True)
    steps = [read(path)[0].provenance for path in sorted((folder / "steps").iterdir())]
    assert [(one.step, one.final) for one in steps] == [(0, False), (25, False)]
    lines = (elsewhere / "training" / "curves" / "line-plain-seed00.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [10, 20, 30, 40]
    assert json.loads(lines[-1])["bias"] == made.metrics["bias"]


def test_a_seed_that_did_not_learn_is_kept_apart(elsewhere):
    fit(Fit(learns=False))
    assert (elsewhere / "checkpoints" / "line" / "unlearned" / "plain-seed00.safetensors").exists()
    assert training.is_there("line", "plain", 0)
    assert not training.is_there("line", "plain", 1)


def test_the_rate_warms_up_and_falls_to_nothing():
    rates = [RECIPE.rate(step) for step in range(40)]
    assert rates[0] == pytest.approx(1e-3 / 5)
    assert max(rates) == pytest.approx(1e-3, rel=0.05)
    assert rates[-1] < 1e-5
