"""How fast the small ODEFormer is trained: ratios of processor time, both sides in turns in the same run."""

import time
from statistics import median

import odeformer_data
import pytest
import torch
from odeformer_data import Batch, bucketed, family_rows, package_rows, package_systems
from odeformer_mini import loss_of
from odeformer_package_samples import PackageGenerator
from odeformer_stacked import Muon, SoftMantissas, Stacked
from torch.nn.functional import pad

from mechtests.systems.odeformer.equations import Vocabulary
from mechtests.systems.odeformer.package import build

pytest.importorskip("odeformer")

ROUNDS = 3
STEP_RATIO = 1.5
GENERATOR_RATIO = 50


def processor_seconds(run):
    began = time.process_time()
    run()
    return time.process_time() - began


@pytest.fixture(scope="module")
def sides():
    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = odeformer_data.CONFIG
    model = build(config)
    return model, Stacked(model), Vocabulary(config)


@pytest.fixture(scope="module")
def batch(sides):
    """128 trajectories of one number of points: the mixture of a run."""
    generator = torch.Generator().manual_seed(0)
    *_, vocabulary = sides
    rows = []
    for dimension in (1, 2):
        (sampled,) = package_systems(600, dimension, [125], generator)
        rows += package_rows(sampled, vocabulary)[:42]
    return bucketed(rows + family_rows(128 - len(rows), 125, generator, vocabulary), vocabulary)


def package_loss(model, vocabulary, batch: Batch):
    """The loss of the package's modules, which take one padded rectangle of tokens."""
    widest = max(words.shape[1] for words in batch.words)
    words = torch.cat([pad(part, (0, widest - part.shape[1]), value=vocabulary.pad) for part in batch.words])
    return loss_of(model, batch.points.transpose(0, 1), words.T, torch.cat(batch.lengths))


def test_a_step_takes_a_fraction_of_the_package_s(sides, batch, capsys):
    """Forward, backward and optimiser, on the same batch: AdamW on the package's modules, Muon and AdamW on ours."""
    model, stacked, vocabulary = sides
    theirs = torch.optim.AdamW(model.parameters(), lr=0.0, fused=True)
    matrices = stacked.matrices()
    muon = Muon([(stacked[name], parts) for name, parts in matrices.items()], lr=0.0)
    rest = torch.optim.AdamW([stacked[name] for name in stacked.names() if name not in matrices], lr=0.0, fused=True)
    loss = SoftMantissas(vocabulary.id("N100"), 900, 0.05)

    def package_step():
        theirs.zero_grad()
        package_loss(model, vocabulary, batch).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        theirs.step()

    def our_step():
        stacked.zero_grad()
        stacked(batch, loss).backward()
        torch.nn.utils.clip_grad_norm_(stacked.parameters(), 1.0)
        muon.step()
        rest.step()

    times = {package_step: [], our_step: []}
    for each in range(ROUNDS + 1):
        for run, taken in times.items():
            seconds = processor_seconds(run)
            if each:
                taken.append(seconds)
    ratio = median(times[package_step]) / median(times[our_step])
    with capsys.disabled():
        print(f"\na step of 128 trajectories: {ratio:.2f} times as fast as the package's")
    assert ratio > STEP_RATIO


@pytest.mark.parametrize("dimension", [1, 2])
def test_systems_are_drawn_many_times_as_fast_as_by_the_package(dimension, capsys):
    """Systems left after all filters, per second of processor time; the package in the same process."""
    package = PackageGenerator(0)
    package.draw(dimension)
    odeformer_data.pool(dimension)
    generator = torch.Generator().manual_seed(1)
    theirs = processor_seconds(lambda: [package.draw(dimension) for _ in range(8)]) / 8
    sampled = []
    counts = list(range(50, 200, 16))
    ours = processor_seconds(lambda: sampled.extend(package_systems(1000, dimension, counts, generator)))
    number = sum(len(one.equations) for one in sampled)
    ratio = theirs * number / ours
    with capsys.disabled():
        print(f"\n{dimension} dimension(s): {number / ours:.0f} systems per second, {ratio:.0f} times the package's")
    assert ratio > GENERATOR_RATIO
