"""Train the subtraction transformer: ``python training/subtraction.py --recipe light-decay --seeds 0 1 2``.

The model reads ``a - b =`` and the sign, and learns to predict the sign at ``=`` and ``|a - b|`` at the sign. It trains
on 8,000 of the 10,000 problems, drawn by the seed. Every run is a function of recipe, seed, device and number of
threads (one); an interrupted one goes on from its last saved state under ``training/runs/``.
"""

import argparse
import json
import math
import subprocess
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch.nn.functional import cross_entropy

from mechtests.checkpoints import Provenance, save
from mechtests.systems.subtraction_transformer import (
    EQUALS,
    MINUS,
    PLUS,
    POSITIONS,
    SubtractionConfig,
    SubtractionTransformer,
)

HERE = Path(__file__).parent
CHECKPOINTS = HERE.parent / "fixtures" / "checkpoints" / "subtraction"
N_TRAIN = 8_000
SAVE_EVERY = 1_000
LEARNED = 0.985
"""Sign accuracy over all problems from which on a seed counts as one that learned the task. A seed that did not is kept
apart, in ``unlearned/``, and the claims do not speak of it."""


@dataclass(frozen=True)
class Recipe:
    """How a seed is trained: AdamW with a linear warm-up and a cosine to zero."""

    weight_decay: float
    learning_rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.98)
    batch: int = 512
    warmup: int = 200
    steps: int = 5_000

    def rate(self, step: int) -> float:
        return self.learning_rate * min((step + 1) / self.warmup, 0.5 * (1 + math.cos(math.pi * step / self.steps)))


RECIPES = {"light-decay": Recipe(weight_decay=0.01), "heavy-decay": Recipe(weight_decay=1.0)}
TRAJECTORY = {("light-decay", 0): (50, 100, 150, 200, 300, 400, 600, 900, 1300, 2000, 3000, 4000)}
"""Steps at which a run leaves a checkpoint besides its last: the training trajectory that emergence is read from."""


def all_problems(device: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens ``[10000, 5]`` with the right sign in the last place, and targets ``[10000, 2]``: sign, then number."""
    a, b = torch.cartesian_prod(torch.arange(100), torch.arange(100)).T
    sign = torch.where(a >= b, PLUS, MINUS)
    tokens = torch.stack([a, torch.full_like(a, MINUS), b, torch.full_like(a, EQUALS), sign], 1)
    return tokens.to(device), torch.stack([sign, (a - b).abs()], 1).to(device)


def train(name: str, seed: int, device: str) -> None:
    recipe, steps_kept = RECIPES[name], TRAJECTORY.get((name, seed), ())
    final = CHECKPOINTS / f"{name}-seed{seed:02d}.safetensors"
    if any((folder / final.name).exists() for folder in (CHECKPOINTS, CHECKPOINTS / "unlearned")):
        print(f"{final.name}: already there")
        return
    torch.manual_seed(seed)
    model = SubtractionTransformer(SubtractionConfig()).to(device)
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=recipe.learning_rate, betas=recipe.betas, weight_decay=recipe.weight_decay, fused=True
    )
    tokens, targets = all_problems(device)
    train_set = torch.randperm(len(tokens), generator=_generator(seed, -1))[:N_TRAIN].to(device)
    asked = torch.tensor([POSITIONS["="], POSITIONS["sign"]], device=device)
    state = HERE / "runs" / f"subtraction-{name}-seed{seed:02d}.safetensors"
    curve = HERE / "curves" / f"subtraction-{name}-seed{seed:02d}.jsonl"
    curve.parent.mkdir(exist_ok=True)
    first = _resume(state, model, optimiser) if state.exists() else 0
    began = time.monotonic()

    def measured() -> dict[str, float]:
        with torch.inference_mode():
            right = model(tokens, asked).argmax(-1) == targets
            held_out = torch.ones(len(tokens), dtype=torch.bool, device=device).index_fill(0, train_set, False)
            return {
                "sign_accuracy": right[:, 0].float().mean().item(),
                "number_accuracy": right[:, 1].float().mean().item(),
                "held_out_sign_accuracy": right[held_out, 0].float().mean().item(),
                "held_out_number_accuracy": right[held_out, 1].float().mean().item(),
            }

    def checkpoint(path: Path, step: int, last: bool) -> None:
        provenance = Provenance("subtraction", asdict(model.config), name, seed, step, last, _commit(), measured())
        save(path, model, provenance)

    per_epoch = N_TRAIN // recipe.batch
    for step in range(first, recipe.steps):
        if step in steps_kept:
            checkpoint(CHECKPOINTS / "steps" / f"{final.stem}-step{step:05d}.safetensors", step, last=False)
        if step % SAVE_EVERY == 0 and step > first:
            _save_state(state, model, optimiser)
        epoch, place = divmod(step, per_epoch)
        if place == 0 or step == first:
            order = train_set[torch.randperm(N_TRAIN, generator=_generator(seed, epoch)).to(device)]
        batch = order[place * recipe.batch : (place + 1) * recipe.batch]
        loss = cross_entropy(model(tokens[batch], asked).flatten(0, 1), targets[batch].flatten())
        for group in optimiser.param_groups:
            group["lr"] = recipe.rate(step)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if (step + 1) % 500 == 0:
            row = {"step": step + 1, "loss": loss.item(), **measured(), "seconds": round(time.monotonic() - began, 1)}
            with curve.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(final.stem, row, flush=True)
    learned = measured()["sign_accuracy"] >= LEARNED
    checkpoint(final if learned else CHECKPOINTS / "unlearned" / final.name, recipe.steps, last=True)
    state.unlink(missing_ok=True)


def _generator(seed: int, epoch: int) -> torch.Generator:
    """Randomness for one purpose of one run: the split is epoch -1, then one order of the problems an epoch."""
    return torch.Generator().manual_seed(seed * 1_000_003 + epoch + 1)


def _save_state(path: Path, model: SubtractionTransformer, optimiser: torch.optim.Optimizer) -> None:
    path.parent.mkdir(exist_ok=True)
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    for index, slots in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{index}.{slot}": tensor for slot, tensor in slots.items()}
    unfinished = path.with_suffix(".tmp")
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, unfinished)
    unfinished.replace(path)


def _resume(path: Path, model: SubtractionTransformer, optimiser: torch.optim.Optimizer) -> int:
    """Put the saved run back into model and optimiser; the step to go on from."""
    tensors = load_file(path)
    model.load_state_dict({name[6:]: tensor for name, tensor in tensors.items() if name.startswith("model.")})
    whole = optimiser.state_dict()
    for name, tensor in tensors.items():
        if name.startswith("optimiser."):
            _, index, slot = name.split(".")
            whole["state"].setdefault(int(index), {})[slot] = tensor
    optimiser.load_state_dict(whole)
    return round(tensors["optimiser.0.step"].item())


def _commit() -> str:
    """The commit of this script, so that a checkpoint names the code that made it."""
    asked = ["git", "log", "-1", "--format=%H", "--", str(Path(__file__))]
    return subprocess.run(asked, cwd=HERE, capture_output=True, text=True, check=False).stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", choices=RECIPES, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", required=True)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for seed in options.seeds:
        train(options.recipe, seed, options.device)


if __name__ == "__main__":
    main()
