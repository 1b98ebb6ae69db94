"""A run of the small ODEFormer: a function of its seed and schedule, wherever it was interrupted."""

import odeformer_train
import pytest
import torch
from odeformer_data import Batch
from odeformer_train import Run, Schedule, train

from mechtests.checkpoints import read
from mechtests.systems.odeformer.package import OdeformerConfig

pytest.importorskip("odeformer")

SMALL = OdeformerConfig(
    emb_emb_dim=8, enc_emb_dim=16, dec_emb_dim=16, n_enc_layers=1, n_dec_layers=1, n_enc_heads=2, n_dec_heads=2
)
SCHEDULE = Schedule(steps=6, fall=3, warmup=2)


class MachineFailedError(Exception):
    pass


@pytest.fixture(autouse=True)
def random_batches(monkeypatch):
    """Words without meaning in place of equations, and a state saved at every step."""

    def stream(seed, first, vocabulary):
        step = first
        while True:
            generator = torch.Generator().manual_seed(1000 * seed + step)
            words = torch.randint(20, 400, (4, 7), generator=generator)
            yield Batch(torch.randint(20, 400, (4, 5, 9), generator=generator), [words], [torch.full((4,), 7)])
            step += 1

    monkeypatch.setattr(odeformer_train, "stream", stream)
    monkeypatch.setattr(odeformer_train, "SAVE_EVERY", 1)


def finished(home, schedule=SCHEDULE, seed=0, fails_at=None, start=None):
    run = Run(schedule, seed, start=start, config=SMALL, home=home)
    if fails_at is not None:
        take_step = run.take_step

        def failing(batch):
            if run.step == fails_at:
                raise MachineFailedError
            return take_step(batch)

        run.take_step = failing
    train(run)
    return read(run.folder / f"package-seed{seed:02d}.safetensors")


def same(one, two):
    return all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize("fails_at", [1, 3, 5])
def test_an_interrupted_run_ends_like_one_that_was_not(tmp_path, fails_at):
    _, whole = finished(tmp_path / "whole")
    with pytest.raises(MachineFailedError):
        finished(tmp_path / "broken", fails_at=fails_at)
    _, resumed = finished(tmp_path / "broken")
    assert same(whole, resumed)


def test_a_longer_schedule_goes_on_from_before_the_fall(tmp_path):
    longer = Schedule(steps=8, fall=3, warmup=2)
    finished(tmp_path / "twice")
    _, gone_on = finished(tmp_path / "twice", longer)
    _, at_once = finished(tmp_path / "once", longer)
    assert same(gone_on, at_once)


def test_another_seed_is_another_model(tmp_path):
    assert not same(finished(tmp_path)[1], finished(tmp_path, seed=1)[1])


def test_a_schedule_whose_fall_is_past_is_an_error(tmp_path):
    finished(tmp_path)
    with pytest.raises(SystemExit, match="at step 3, past the start of the fall at 2"):
        finished(tmp_path, Schedule(steps=4, fall=2, warmup=2))


def test_a_run_that_starts_from_a_checkpoint_counts_its_steps_and_has_its_weights(tmp_path):
    first, weights = finished(tmp_path / "first")
    again, moved = finished(
        tmp_path / "second", Schedule(steps=1, fall=1, warmup=1, muon=0.0, adamw=0.0), start=first.path
    )
    assert (first.provenance.step, again.provenance.step) == (6, 7)
    assert again.provenance.final
    assert all(torch.allclose(weights[name], moved[name], atol=1e-3) for name in weights)


def test_the_rate_warms_up_stays_and_falls_to_zero():
    schedule = Schedule(steps=100, fall=50, warmup=10)
    scales = [schedule.scale(step) for step in range(101)]
    assert scales[:10] == [pytest.approx((step + 1) / 10) for step in range(10)]
    assert set(scales[10:51]) == {1.0}
    assert scales[51:] == sorted(scales[51:], reverse=True)
    assert scales[100] == 0.0
