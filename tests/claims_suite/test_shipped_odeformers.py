"""The shipped checkpoints of the small ODEFormer: what is in them, and that the last does what its header says."""

from pathlib import Path

import pytest
import torch

from mechtests.cache import Cache
from mechtests.checkpoints import read
from mechtests.families.ode import Hyperbolic, Linear
from mechtests.systems import Odeformer

pytest.importorskip("odeformer", reason="its claims need the odeformer package")

FOLDER = Path(__file__).parents[2] / "fixtures" / "checkpoints" / "odeformer"
FINAL = sorted(FOLDER.glob("*.safetensors"))
STEPS = sorted((FOLDER / "steps").glob("*.safetensors"))
FAMILIES = ("linear", "logistic", "exponential", "linear_plane")
"""Those that its training is judged by."""


@pytest.fixture(scope="module")
def mini():
    (path,) = FINAL
    model = Odeformer.load(path, torch.device("cpu"), Cache())
    model.longest = 40
    return model


def examples(family, n=32):
    drawn = family.sample(3 * n, torch.Generator().manual_seed(2**42))
    return drawn[drawn.valid][:n]


@pytest.mark.parametrize("path", [*FINAL, *STEPS], ids=lambda path: path.stem)
def test_a_checkpoint_is_of_the_published_layout_and_small(path):
    checkpoint, tensors = read(path)
    made = checkpoint.provenance
    layout = {name: made.config[name] for name in ("n_enc_layers", "n_dec_layers", "n_enc_heads", "n_dec_heads")}
    assert layout == {"n_enc_layers": 4, "n_dec_layers": 12, "n_enc_heads": 16, "n_dec_heads": 16}
    assert (made.system, made.recipe, made.seed) == ("odeformer", "mini", 0)
    assert {f"{family}_{what}" for family in FAMILIES for what in ("valid", "sign", "r2")} <= made.metrics.keys()
    assert path.stat().st_size < 20 << 20
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float16}


def test_the_steps_are_of_the_run_of_the_last_and_lie_before_it():
    (last,) = (read(path)[0].provenance for path in FINAL)
    made = [read(path)[0].provenance for path in STEPS]
    assert last.final
    assert [(one.seed, one.final) for one in made] == [(last.seed, False)] * len(made)
    assert all(one.step < last.step for one in made)
    assert len(made) >= 6


def test_the_last_learned_to_write_equations():
    (path,) = FINAL
    metrics = read(path)[0].provenance.metrics
    assert all(metrics[f"{family}_valid"] >= 0.95 for family in FAMILIES)
    assert all(metrics[f"{family}_sign"] >= 0.9 for family in FAMILIES)


def test_the_last_does_what_its_header_says(mini):
    for name, family in (("linear", Linear()), ("hyperbolic", Hyperbolic())):
        trajectories = examples(family)
        written = mini.decode(trajectories)
        fits = (mini.r2(written, trajectories) >= 0.9).double().mean().item()
        stated = mini.checkpoint.provenance.metrics
        assert written.valid.double().mean().item() == pytest.approx(stated[f"{name}_valid"], abs=0.1)
        assert fits == pytest.approx(stated[f"{name}_r2"], abs=0.25)
