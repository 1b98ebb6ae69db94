"""Train a small ODEFormer of the package's modules: ``python training/odeformer_mini.py --steps 6000 --decay 1500``.

The model reads trajectories prepared as the package's ``fit`` prepares them and writes the equations they solve. The
learning rate warms up, stays constant, and falls to zero over the last steps ("warm-up, stable, decay", Hu et al. 2024,
MiniCPM). The state before the fall is kept under ``training/runs/``, so a longer schedule later goes on from there and
loses only the fall. Every run is a function of seed, schedule, device and number of threads.
"""

import argparse
import json
import math
import subprocess
import time
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from scipy.integrate import solve_ivp
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
from mechtests.systems.odeformer_package import OdeformerConfig, build
from mechtests.systems.odeformer_tokens import EquationTokens, FloatTokens, encode_points

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


class Words:
    """The model's two vocabularies, and how batches are written in them."""

    def __init__(self, environment: Any) -> None:
        self.environment = environment
        config = CONFIG.float_precision, CONFIG.max_exponent
        self.floats = FloatTokens(environment.float_word2id, *config)
        self.equations = EquationTokens(
            environment.equation_word2id, FloatTokens(environment.equation_word2id, *config)
        )
        self.pad = environment.float_word2id["<OUTPUT_PAD>"]
        self.end = environment.equation_word2id["<EOS>"]

    def read(self, trajectories: Trajectories) -> Tensor:
        """Points as the embedder takes them, ``[point, trajectory, slot]``."""
        points = encode_points(self.floats, trajectories.times, trajectories.states, CONFIG.max_dimension, self.pad)
        return points.transpose(0, 1)

    def write(self, equations: Equations) -> tuple[Tensor, Tensor]:
        """Targets ``[trajectory, word]`` between two end marks, and their lengths."""
        words, lengths = self.equations.encode(equations)
        words = torch.nn.functional.pad(words, (1, 1))
        words[:, 0] = self.end
        words[torch.arange(len(words)), lengths + 1] = self.end
        return words, lengths + 2


# What it learns from --------------------------------------------------------------------------------------------------


def uniform(n: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(n, generator=generator, dtype=torch.float64)


def spread(n: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    """Uniform in the logarithm."""
    return uniform(n, math.log(low), math.log(high), generator).exp()


def signs(n: int, generator: torch.Generator) -> Tensor:
    return 2.0 * torch.randint(0, 2, (n,), generator=generator) - 1


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


def usable(trajectories: Trajectories) -> Trajectories:
    """The valid ones, rescaled, whose numbers are of a size that the model has words for."""
    made = trajectories[trajectories.valid].rescaled()
    system = sums_of_terms(made)
    largest = made.states.abs().amax((1, 2)), system.coefficients.abs().amax((1, 2)), system.frequency.abs().amax(1)
    return made[(torch.stack(largest) < 1e30).all(0)]


def sums_of_terms(trajectories: Trajectories) -> Equations:
    """Their system, of the one kind that can be written down."""
    if not isinstance(trajectories.system, Equations):
        raise TypeError(f"{type(trajectories.system).__name__}: expected a system that is a sum of terms.")
    return trajectories.system


def batches(seed: int, chunk: int, schedule: Schedule, words: Words) -> list[tuple[Tensor, Tensor, Tensor]]:
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
            inputs.append(words.read(kept))
            target, length = words.write(sums_of_terms(kept))
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


def start_smooth(model: Any, words: Words) -> None:
    """Number words start close to their neighbours: embeddings are waves of the value, at many wavelengths."""

    def waves(values: Tensor, width: int) -> Tensor:
        lengths = torch.logspace(math.log10(4), math.log10(0.02), width // 2)
        angles = 2 * math.pi * values[:, None] / lengths
        return torch.cat([angles.sin(), angles.cos()], 1) * width**-0.5

    environment = words.environment
    for table, word2id in (
        (model.embedder.embeddings.weight, environment.float_word2id),
        (model.decoder.embeddings.weight, environment.equation_word2id),
    ):
        width = table.shape[1]
        digits = 10 ** (CONFIG.float_precision + 1)
        mantissas = [word2id[f"N{i:0{CONFIG.float_precision + 1}d}"] for i in range(digits)]
        exponents = [word2id[f"E{i}"] for i in range(-CONFIG.max_exponent, CONFIG.max_exponent + 1)]
        mixing = torch.linalg.qr(torch.randn(2, width, width)).Q
        with torch.no_grad():
            table[mantissas] = waves(torch.arange(digits) / digits, width) @ mixing[0]
            table[exponents] = waves(torch.arange(len(exponents)) / 20, width) @ mixing[1]


def fresh(seed: int, device: str) -> tuple[Any, Words]:
    """The model as it starts, and its words."""
    torch.manual_seed(seed)
    model: Any = build(CONFIG)
    words = Words(model.env)
    start_smooth(model, words)
    return model.to(device).train(), words


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


@torch.no_grad()
def greedy(model: Any, source: Tensor, counts: Tensor, longest: int = 60) -> list[list[int]]:
    """The likeliest next word, again and again, up to the end mark; the package's own loop needs an older torch."""
    decoder = model.decoder
    written = torch.full((1, len(source)), decoder.eos_index)
    ended = torch.zeros(len(source), dtype=torch.bool)
    decoder.cache = {"slen": 0}
    while len(written) < longest and not bool(ended.all()):
        lengths = torch.full((len(source),), len(written))
        last = decoder("fwd", x=written, lengths=lengths, causal=True, src_enc=source, src_len=counts, use_cache=True)[
            -1
        ]
        best = decoder.proj(last).argmax(-1).masked_fill(ended, decoder.eos_index)
        written = torch.cat([written, best[None]])
        ended |= best == decoder.eos_index
    decoder.cache = None
    columns = [column[1:] for column in written.T.tolist()]
    return [column[: column.index(decoder.eos_index)] if decoder.eos_index in column else column for column in columns]


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
def judged(model: Any, words: Words, examples: dict[str, Trajectories]) -> dict[str, float]:
    """By family: share of valid equations, of right leading signs, of fits with R² ≥ 0.9, and the loss."""
    model.eval()
    row: dict[str, float] = {}
    for name, trajectories in examples.items():
        points = words.read(trajectories)
        targets, lengths = words.write(sums_of_terms(trajectories))
        row[f"{name}_loss"] = loss_of(model, points, targets.T, lengths).item()
        source, counts = encoded(model, points)
        written = greedy(model, source, counts)
        valid, sign, fits = 0, 0, 0
        for i, told in enumerate(written):
            tree = parsed(words, told)
            if tree is None or len(tree.nodes) != trajectories.dimension:
                continue
            valid += 1
            sign += first_sign(words, told) == first_sign(words, targets[i, 1 : lengths[i] - 1].tolist())
            fits += fit(tree, trajectories.times[i].numpy(), trajectories.states[i].numpy()) >= 0.9
        n = len(trajectories)
        row |= {f"{name}_valid": valid / n, f"{name}_sign": sign / n, f"{name}_r2": fits / n}
    model.train()
    return row


def parsed(words: Words, told: list[int]) -> Any | None:
    """The system that these words write, read by the package; ``None`` unless every word is used.

    The package alone would stop at the end of the first expression and take whatever follows for valid.
    """
    environment = words.environment
    for part in environment.equation_encoder.split_at_value([environment.equation_id2word[word] for word in told], "|"):
        tree, used = environment.equation_encoder._decode(part)
        if tree is None or used != len(part):
            return None
    return environment.idx_to_infix(told, is_float=False, str_array=False)


def first_sign(words: Words, told: list[int]) -> str | None:
    """The first sign in an equation."""
    named = (words.environment.equation_id2word[word] for word in told)
    return next((word for word in named if word in ("+", "-")), None)


def fit(tree: Any, times: np.ndarray, states: np.ndarray) -> float:
    """R² of the trajectory that the written system makes from the true first state, as the package weighs dimensions.

    Minus infinity where it cannot be solved in 2,000 evaluations of the right-hand side.
    """
    calls = 0

    def slope(_: float, state: np.ndarray) -> np.ndarray:
        nonlocal calls
        calls += 1
        if calls > 2_000:
            raise ArithmeticError("too stiff")
        return tree.val(state[None], np.zeros(1))[0]

    try:
        with np.errstate(all="ignore"):
            told = solve_ivp(slope, (times[0], times[-1]), states[0], t_eval=times, rtol=1e-5, atol=1e-8).y.T
    except (ArithmeticError, ValueError, AssertionError):
        return -math.inf
    if told.shape != states.shape or not np.isfinite(told).all():
        return -math.inf
    spread_about_mean = ((states - states.mean(0)) ** 2).sum()
    return float(1 - ((states - told) ** 2).sum() / max(spread_about_mean, 1e-300))


# The run --------------------------------------------------------------------------------------------------------------


def train(schedule: Schedule, seed: int, device: str, threads: int) -> None:
    torch.set_num_threads(threads)
    model, words = fresh(seed, device)
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=schedule.learning_rate, betas=(0.9, 0.98), weight_decay=0.01, fused=True
    )
    stable = HERE / "runs" / f"odeformer-{NAME}-seed{seed:02d}.safetensors"
    falling = stable.with_stem(f"{stable.stem}-decay")
    curve = HERE / "curves" / f"odeformer-{NAME}-seed{seed:02d}.jsonl"
    curve.parent.mkdir(exist_ok=True)
    turn = schedule.steps - schedule.decay
    first = 0
    if falling.exists() and load_file(falling)["schedule"][:2].tolist() == [schedule.steps, schedule.decay]:
        first = _resume(falling, model, optimiser)
    elif stable.exists():
        first = _resume(stable, model, optimiser)
        if first > turn:
            raise SystemExit(f"{stable} is at step {first}, past the start of the fall at {turn}: ask for more steps.")
    _cut(curve, first)
    examples = held_out(64)
    began, losses = time.monotonic(), []

    def checkpoint(path: Path, step: int, last: bool, metrics: dict[str, float]) -> None:
        half = deepcopy(nn.ModuleDict({"embedder": model.embedder, "encoder": model.encoder, "decoder": model.decoder}))
        provenance = Provenance("odeformer", asdict(CONFIG), NAME, seed, step, last, _commit(), metrics)
        save(path, half.half(), provenance)

    stream = _stream(seed, first, schedule, words)
    for step in range(first, schedule.steps):
        if step > first and (step % SAVE_EVERY == 0 or step == turn):
            _save_state(stable if step <= turn else falling, model, optimiser, step, schedule)
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
                measured = judged(model, words, examples)
                row |= measured
                if done in KEPT and done <= turn:
                    path = CHECKPOINTS / "steps" / f"{NAME}-seed{seed:02d}-step{done:05d}.safetensors"
                    checkpoint(path, done, False, measured)
            with curve.open("a") as file:
                file.write(json.dumps({name: round(value, 5) for name, value in row.items()}) + "\n")
            print({name: round(value, 4) for name, value in row.items()}, flush=True)
    final = CHECKPOINTS / f"{NAME}-seed{seed:02d}.safetensors"
    checkpoint(final, schedule.steps, True, judged(model, words, held_out(256)))
    falling.unlink(missing_ok=True)


def _cut(curve: Path, step: int) -> None:
    """Take out of a curve what came after ``step``: it is about to be written again."""
    if curve.exists():
        rows = curve.read_text().splitlines()
        curve.write_text("".join(f"{row}\n" for row in rows if json.loads(row)["step"] <= step))


def _stream(seed: int, first: int, schedule: Schedule, words: Words) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    chunk, place = divmod(first, CHUNK)
    while True:
        yield from batches(seed, chunk, schedule, words)[place:]
        chunk, place = chunk + 1, 0


def _save_state(path: Path, model: nn.Module, optimiser: torch.optim.Optimizer, step: int, schedule: Schedule) -> None:
    path.parent.mkdir(exist_ok=True)
    tensors: dict[str, Tensor] = {f"model.{name}": tensor for name, tensor in model.named_parameters()}
    for index, slots in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{index}.{slot}": tensor for slot, tensor in slots.items()}
    tensors["schedule"] = torch.tensor([schedule.steps, schedule.decay, step])
    unfinished = path.with_suffix(".tmp")
    save_file({name: tensor.detach().contiguous() for name, tensor in tensors.items()}, unfinished)
    unfinished.replace(path)


def _resume(path: Path, model: nn.Module, optimiser: torch.optim.Optimizer) -> int:
    """Put the saved run back into model and optimiser; the step to go on from."""
    tensors = load_file(path)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.copy_(tensors[f"model.{name}"])
    whole = optimiser.state_dict()
    for slot_name, tensor in tensors.items():
        if slot_name.startswith("optimiser."):
            _, index, slot = slot_name.split(".")
            whole["state"].setdefault(int(index), {})[slot] = tensor
    optimiser.load_state_dict(whole)
    return int(tensors["schedule"][2])


def _commit() -> str:
    """The commit of this script, so that a checkpoint names the code that made it."""
    asked = ["git", "log", "-1", "--format=%H", "--", str(Path(__file__))]
    return subprocess.run(asked, cwd=HERE, capture_output=True, text=True, check=False).stdout.strip()


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
