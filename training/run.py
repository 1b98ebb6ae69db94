"""One training run, as every script here makes it: AdamW, a curve, checkpoints, and a state to go on from."""

import json
import math
import subprocess
import time
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from mechtests.checkpoints import Provenance, save
from mechtests.files import atomic_write

HERE = Path(__file__).parent
CHECKPOINTS = HERE.parent / "fixtures" / "checkpoints"


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


class Task(Protocol):
    """What is trained: a model, its loss at each step, what is measured, and from when on it counts as learned."""

    system: str
    model: Any  # a module with the dataclass of its sizes as ``config``

    def loss(self, step: int) -> Tensor: ...

    def measured(self) -> dict[str, float]: ...

    def learned(self, measured: dict[str, float]) -> bool: ...


def train(
    task: Task,
    name: str,
    recipe: Recipe,
    seed: int,
    steps_kept: Collection[int] = (),
    measure_every: int = 500,
    save_every: int = 1_000,
    write: Callable[[Path, Any, Provenance], None] = save,
) -> None:
    """Train ``task``, or go on from its saved state, and leave its checkpoints under ``fixtures/checkpoints/``.

    The curve, measured every so many steps, is kept under ``training/curves/``. A seed that did not learn is kept
    apart, in ``unlearned/``. ``write`` writes a checkpoint; one that makes a directory names it by the path's stem.
    """
    folder = CHECKPOINTS / task.system
    final = folder / f"{name}-seed{seed:02d}.safetensors"
    state = HERE / "runs" / f"{task.system}-{final.name}"
    curve = HERE / "curves" / f"{task.system}-{final.stem}.jsonl"
    curve.parent.mkdir(exist_ok=True)
    optimiser = torch.optim.AdamW(
        task.model.parameters(),
        lr=recipe.learning_rate,
        betas=recipe.betas,
        weight_decay=recipe.weight_decay,
        fused=True,
    )
    first = resume(state, task.model, optimiser) if state.exists() else 0
    cut(curve, first)
    began = time.monotonic()

    def checkpoint(path: Path, step: int, measured: dict[str, float], last: bool = False) -> None:
        sizes = asdict(task.model.config)
        write(path, task.model, Provenance(task.system, sizes, name, seed, step, last, commit(), measured))

    for step in range(first, recipe.steps):
        if step in steps_kept:
            checkpoint(folder / "steps" / f"{final.stem}-step{step:05d}.safetensors", step, task.measured())
        if step % save_every == 0 and step > first:
            save_state(state, task.model, optimiser)
        loss = task.loss(step)
        for group in optimiser.param_groups:
            group["lr"] = recipe.rate(step)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if (step + 1) % measure_every == 0:
            seconds = round(time.monotonic() - began, 1)
            row = {"step": step + 1, "loss": loss.item(), **task.measured(), "seconds": seconds}
            with curve.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(final.stem, row, flush=True)
    measured = task.measured()
    checkpoint(
        final if task.learned(measured) else folder / "unlearned" / final.name, recipe.steps, measured, last=True
    )
    state.unlink(missing_ok=True)


def is_there(system: str, name: str, seed: int) -> bool:
    """Whether this run has ended, learned or not."""
    folder, file = CHECKPOINTS / system, f"{name}-seed{seed:02d}.safetensors"
    there = any(list(place.glob(f"{Path(file).stem}*")) for place in (folder, folder / "unlearned"))
    if there:
        print(f"{file}: already there")
    return there


def generator(seed: int, purpose: int) -> torch.Generator:
    """Randomness for one purpose of one run."""
    return torch.Generator().manual_seed(seed * 1_000_003 + purpose)


def save_state(path: Path, model: nn.Module, optimiser: torch.optim.Optimizer, **others: Tensor) -> None:
    """Write what :func:`resume` needs to go on, and ``others`` beside it."""
    path.parent.mkdir(exist_ok=True)
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    for index, slots in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{index}.{slot}": tensor for slot, tensor in slots.items()}
    tensors |= others
    with atomic_write(path) as unfinished:
        save_file(
            {name: tensor.clone().contiguous() for name, tensor in tensors.items()}, unfinished
        )  # tied weights too


def resume(path: Path, model: nn.Module, optimiser: torch.optim.Optimizer) -> int:
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


def cut(curve: Path, step: int) -> None:
    """Take from a curve what will be measured again: everything after ``step``."""
    rows = curve.read_text().splitlines(keepends=True) if curve.exists() else []
    curve.write_text("".join(row for row in rows if json.loads(row)["step"] <= step))


def commit() -> str:
    """The last commit of the scripts of this folder, so that a checkpoint names the code that made it."""
    asked = ["git", "log", "-1", "--format=%H", "--", "*.py"]
    return subprocess.run(asked, cwd=HERE, capture_output=True, text=True, check=False).stdout.strip()
