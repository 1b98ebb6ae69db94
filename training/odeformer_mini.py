"""Train a small ODEFormer of the package's modules: ``python training/odeformer_mini.py --steps 8500 --decay 2500``.

The model reads trajectories prepared as the package's ``fit`` prepares them and writes the equations they solve. The
learning rate warms up, stays constant, and falls to zero over the last steps ("warm-up, stable, decay", Hu et al. 2024,
MiniCPM). The state before the fall is kept under ``training/runs/``, so a longer schedule later goes on from there and
loses only the fall. Every run is a function of seed, schedule, device and number of threads.
"""

import argparse
import json
import math
import time
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from odeformer_families import signs, spread, sums_of_terms, uniform, usable
from run import commit, cut, resume, save_state
from safetensors.torch import load_file
from torch import Tensor, nn

from mechtests.checkpoints import Provenance, save
from mechtests.families.ode import (
    Equations,
    Exponential,
    Harmonic,
    Hyperbolic,
    Linear,
    LinearPlane,
    Logistic,
    Trajectories,
    checked,
    solved,
)
from mechtests.families.ode.random_sums import random_sums
from mechtests.systems.odeformer.decoding import greedy
from mechtests.systems.odeformer.equations import Vocabulary, Written, r2
from mechtests.systems.odeformer.package import OdeformerConfig, build

HERE = Path(__file__).parent
CHECKPOINTS = HERE.parent / "fixtures" / "checkpoints" / "odeformer"
NAME = "mini"
BATCH = 64
CHUNK = 32
POINTS = (15, 64)
KEPT = (250, 500, 1000, 2000, 3000, 4000, 6000, 8000, 12000, 16000, 24000)
"""Steps at which a run leaves a checkpoint besides its last."""
VALIDATE_EVERY = 500
SAVE_EVERY = 100
CONFIG = OdeformerConfig(emb_emb_dim=32)
LONGEST = 59
"""Words of an equation at most where the model is judged, the end mark among them."""


@dataclass(frozen=True)
class Schedule:
    """AdamW with a linear warm-up, a constant rate, and a linear fall to zero over the last ``decay`` steps."""

    steps: int
    decay: int
    learning_rate: float = 1e-3
    warmup: int = 300
    one_dimensional: int = 1200
    """Steps at the start that see one dimension and at most two terms only."""

    def rate(self, step: int) -> float:
        return self.learning_rate * min((step + 1) / self.warmup, 1.0, (self.steps - step) / max(self.decay, 1))


def read(vocabulary: Vocabulary, trajectories: Trajectories) -> Tensor:
    """Points as the embedder takes them, ``[point, trajectory, slot]``."""
    return vocabulary.points(trajectories).transpose(0, 1)


def targets_of(vocabulary: Vocabulary, equations: Equations) -> tuple[Tensor, Tensor]:
    """Words ``[trajectory, word]`` between two end marks, and how many there are with them."""
    written = vocabulary.write(equations)
    return nn.functional.pad(written.words, (1, 0), value=vocabulary.end), written.lengths + 1


# What it learns from --------------------------------------------------------------------------------------------------


def drawn(n: int, points: int, sums: list[Trajectories], generator: torch.Generator) -> list[Trajectories]:
    """Valid trajectories of the families that claims are about and those of ``sums``, prepared as ``fit`` would.

    Harmonic and plane linear systems are among them when ``sums`` has two dimensions.
    """
    g = generator
    k = n // 4
    made = [
        Linear(points=points).build(rate=signs(k, g) * spread(k, 0.02, 2, g), amplitude=torch.ones(k).double()),
        Hyperbolic(points=points).build(amplitude=spread(k // 2, 0.1, 10, g), shift=uniform(k // 2, -0.9, 9, g)),
        Exponential(points=points).build(
            rate=signs(k, g) * spread(k, 0.05, 2, g),
            amplitude=signs(k, g) * spread(k, 0.1, 10, g),
            offset=signs(k, g) * spread(k, 0.1, 10, g),
        ),
        Logistic(points=points).build(
            amplitude=torch.ones(2 * k).double(),
            steepness=spread(2 * k, 0.2, 6, g),
            midpoint=uniform(2 * k, 0, 11, g),
            direction=torch.randint(0, 2, (2 * k,), generator=g),
        ),
    ]
    if len(sums) > 1:
        made += [
            Harmonic(points=points).build(
                frequency=spread(k, 0.2, 3, g),
                amplitude=torch.ones(k).double(),
                phase=uniform(k, 0, 2 * math.pi, g),
            ),
            LinearPlane(points=points).sample(2 * k, g),
        ]
    return [kept for one in (*made, *sums) if len(kept := usable(one))]


def group_sizes(generator: torch.Generator, gaps: bool) -> tuple[int, int]:
    """How many points the model sees in a group, and how many there were on the even grid before some were left out."""
    low, high = math.log(POINTS[0]), math.log(POINTS[1] + 1)
    points = int(uniform(1, low, high, generator).exp().item())
    return points, round(points / (1 - 0.5 * torch.rand(1, generator=generator).item())) if gaps else points


def random_trajectories(
    groups: Sequence[tuple[int, int]], number: int, dimension: int, most: int, generator: torch.Generator
) -> list[Trajectories]:
    """For each group, up to ``number`` trajectories of random sums from 1 in every dimension, on its even grid."""
    system = random_sums(number * len(groups), dimension, most, generator)
    longest = max(whole for _, whole in groups)
    grids = [torch.linspace(1, 10, whole, dtype=torch.float64) for _, whole in groups]
    # Solved together: shorter grids repeat their last time.
    times = torch.stack([torch.cat([grid, grid.new_full((longest - len(grid),), 10.0)]) for grid in grids])
    times = times.repeat_interleave(number, 0)
    start = times.new_ones(len(times), dimension)
    states, fault = solved(system, start, times, tolerance=1e-4, bound=1e4, most=300)
    made = []
    for group, (_, whole) in enumerate(groups):
        rows = slice(group * number, (group + 1) * number)
        one = checked(times[rows, :whole], states[rows, :whole], system[rows], 1e4, {}, fault[rows])
        made.append(moving(one, generator))
    return made


def moving(trajectories: Trajectories, generator: torch.Generator) -> Trajectories:
    """Those that still move in their last quarter, and one in ten of the others, as the package's generator has it."""
    last = trajectories.states[:, -(trajectories.states.shape[1] // 4) :]
    moved = ((last.amax(1) - last.amin(1)) > 1e-3 * last.shape[1]).any(-1)
    return trajectories[moved | (torch.rand(len(moved), generator=generator) < 0.1)]


def batches(seed: int, chunk: int, schedule: Schedule, vocabulary: Vocabulary) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Thirty-two batches of points, targets and their lengths; each of one number of points and of like lengths.

    Half of the groups have gaps: up to half of the points of their even grid are left out.
    """
    generator = torch.Generator().manual_seed(seed * 1_000_003 + chunk)
    early = chunk * CHUNK < schedule.one_dimensional
    groups = [group_sizes(generator, gaps=bool(group % 2)) for group in range(CHUNK // 4)]
    shares = ((1, 100),) if early else ((1, 60), (2, 110))
    sums = [
        random_trajectories(groups, number, dimension, 2 if early else 3, generator) for dimension, number in shares
    ]
    made = []
    for group, (points, whole) in enumerate(groups):
        inputs, targets, lengths = [], [], []
        of_group = [each[group] for each in sums]
        for one in drawn(220 if early else 140, whole, of_group, generator):
            kept = one
            if whole > points:
                order = torch.rand(len(one), whole, generator=generator).argsort(1)[:, :points].sort(1).values
                kept = one.at(order).rescaled()
            inputs.append(read(vocabulary, kept))
            target, length = targets_of(vocabulary, sums_of_terms(kept))
            targets.append(target)
            lengths.append(length)
        width = max(target.shape[1] for target in targets)
        x = torch.cat(inputs, 1)
        y = torch.cat([torch.nn.functional.pad(target, (0, width - target.shape[1])) for target in targets])
        length = torch.cat(lengths)
        if len(y) < 4 * BATCH:
            raise RuntimeError(f"chunk {chunk}, group {group}: {len(y)} trajectories, expected {4 * BATCH} or more.")
        chosen = torch.randperm(len(y), generator=generator)[: 4 * BATCH]
        chosen = chosen[length[chosen].argsort(stable=True)]
        for index in chosen.split(BATCH):
            longest = int(length[index].max())
            made.append((x[:, index], y[index, :longest].T.contiguous(), length[index]))
    order = torch.randperm(len(made), generator=generator)
    return [made[i] for i in order]


# The model ------------------------------------------------------------------------------------------------------------


def fresh(seed: int, device: str) -> Any:
    """The model as it starts."""
    torch.manual_seed(seed)
    model: Any = build(CONFIG)
    return model.to(device).train()


def encoded(model: Any, points: Tensor) -> tuple[Tensor, Tensor]:
    """The encoder's output ``[trajectory, point, width]`` and the number of points."""
    lengths = torch.full((points.shape[1],), len(points), device=points.device)
    embedded = model.embedder.compress(model.embedder.embed(points))
    return model.encoder("fwd", x=embedded, lengths=lengths, causal=False).transpose(0, 1), lengths


def loss_of(model: Any, points: Tensor, targets: Tensor, lengths: Tensor) -> Tensor:
    source, counts = encoded(model, points)
    decoded = model.decoder("fwd", x=targets, lengths=lengths, causal=True, src_enc=source, src_len=counts)
    asked = torch.arange(len(targets), device=lengths.device)[:, None] < lengths - 1
    right = targets[1:][asked[:-1]]
    return model.decoder("predict", tensor=decoded, pred_mask=asked, y=right, get_scores=False)[1]


# What is measured -----------------------------------------------------------------------------------------------------


def held_out(n: int) -> dict[str, Trajectories]:
    """The same ``n`` valid trajectories of each family at every validation; their seed is no training chunk's."""
    families = {
        "linear": Linear(),
        "logistic": Logistic(),
        "exponential": Exponential(),
        "linear_plane": LinearPlane(),
        "harmonic": Harmonic(),
        "hyperbolic": Hyperbolic(),
    }
    chosen = {}
    for number, (name, family) in enumerate(families.items()):
        drawn = family.sample(3 * n, torch.Generator().manual_seed(2**40 + number)).rescaled()
        chosen[name] = drawn[drawn.valid][:n]
    return chosen


@torch.no_grad()
def judged(model: Any, vocabulary: Vocabulary, examples: dict[str, Trajectories]) -> dict[str, float]:
    """By family: share of valid equations, of right leading signs, of fits with R² ≥ 0.9, and the loss."""
    model.eval()
    row: dict[str, float] = {}
    for name, trajectories in examples.items():
        points = read(vocabulary, trajectories)
        truth = sums_of_terms(trajectories)
        targets, lengths = targets_of(vocabulary, truth)
        row[f"{name}_loss"] = loss_of(model, points, targets.T, lengths).item()
        words, scores = greedy(model.decoder, *encoded(model, points), LONGEST)
        written, right = Written(words, vocabulary, scores), vocabulary.write(truth)
        valid = written.dimensions == trajectories.dimension
        signs = torch.tensor([written.first_sign(i) == right.first_sign(i) for i in range(len(right))])
        fits = r2(written, trajectories) >= 0.9
        for measure, holds in (("valid", valid), ("sign", valid & signs), ("r2", fits)):
            row[f"{name}_{measure}"] = holds.double().mean().item()
    model.train()
    return row


# The run --------------------------------------------------------------------------------------------------------------


def train(schedule: Schedule, seed: int, device: str, threads: int) -> None:
    torch.set_num_threads(threads)
    model, vocabulary = fresh(seed, device), Vocabulary(CONFIG)
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=schedule.learning_rate, betas=(0.9, 0.98), weight_decay=0.01, fused=True
    )
    stable = HERE / "runs" / f"odeformer-{NAME}-seed{seed:02d}.safetensors"
    falling = stable.with_stem(f"{stable.stem}-decay")
    curve = HERE / "curves" / f"odeformer-{NAME}-seed{seed:02d}.jsonl"
    curve.parent.mkdir(exist_ok=True)
    turn = schedule.steps - schedule.decay
    first = 0
    if falling.exists() and load_file(falling)["schedule"].tolist() == [schedule.steps, schedule.decay]:
        first = resume(falling, model, optimiser)
    elif stable.exists():
        first = resume(stable, model, optimiser)
        if first > turn:
            raise SystemExit(f"{stable} is at step {first}, past the start of the fall at {turn}: ask for more steps.")
    cut(curve, first)
    examples = held_out(64)
    began, losses = time.monotonic(), []

    def checkpoint(path: Path, step: int, last: bool, metrics: dict[str, float]) -> None:
        half = deepcopy(nn.ModuleDict({"embedder": model.embedder, "encoder": model.encoder, "decoder": model.decoder}))
        provenance = Provenance("odeformer", asdict(CONFIG), NAME, seed, step, last, commit(), metrics)
        save(path, half.half(), provenance)

    stream = _stream(seed, first, schedule, vocabulary)
    for step in range(first, schedule.steps):
        if step > first and (step % SAVE_EVERY == 0 or step == turn):
            state = stable if step <= turn else falling
            save_state(state, model, optimiser, schedule=torch.tensor([schedule.steps, schedule.decay]))
        points, targets, lengths = (tensor.to(device) for tensor in next(stream))
        loss = loss_of(model, points, targets, lengths)
        for group in optimiser.param_groups:
            group["lr"] = schedule.rate(step)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        losses.append(loss.item())
        done = step + 1
        if done % 50 == 0 or done in KEPT:
            row: dict[str, float] = {
                "step": done,
                "loss": sum(losses) / len(losses),
                "rate": schedule.rate(step),
                "seconds": round(time.monotonic() - began, 1),
            }
            losses.clear()
            if done % VALIDATE_EVERY == 0 or done in KEPT:
                measured = judged(model, vocabulary, examples)
                row |= measured
                if done in KEPT and done <= turn:
                    path = CHECKPOINTS / "steps" / f"{NAME}-seed{seed:02d}-step{done:05d}.safetensors"
                    checkpoint(path, done, False, measured)
            with curve.open("a") as file:
                file.write(json.dumps({name: round(value, 5) for name, value in row.items()}) + "\n")
            print({name: round(value, 4) for name, value in row.items()}, flush=True)
    final = CHECKPOINTS / f"{NAME}-seed{seed:02d}.safetensors"
    checkpoint(final, schedule.steps, True, judged(model, vocabulary, held_out(256)))
    falling.unlink(missing_ok=True)


def _stream(
    seed: int, first: int, schedule: Schedule, vocabulary: Vocabulary
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    chunk, place = divmod(first, CHUNK)
    while True:
        yield from batches(seed, chunk, schedule, vocabulary)[place:]
        chunk, place = chunk + 1, 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, required=True, help="steps in all, the fall included")
    parser.add_argument("--decay", type=int, required=True, help="steps of the fall")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    train(Schedule(options.steps, options.decay), options.seed, options.device, options.threads)


if __name__ == "__main__":
    main()
