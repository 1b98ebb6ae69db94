"""Train the small ODEFormer: ``python training/odeformer_train.py --seed 0 --steps 6000 --fall 3000``.

It learns from systems as the package draws them and from the families that claims are about (``odeformer_data.py``),
with Muon on the stacked matrices and AdamW on the rest. The rate warms up, stays, and falls to zero over the last
``--fall`` steps; mantissas are soft targets until then. The state before the fall is kept under ``training/runs/``, so
a run can be made longer later and loses only its fall. ``--start`` goes on from a checkpoint's weights and counts its
steps. A run is a function of its start, seed, schedule, products, device and number of threads.
"""

import argparse
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from odeformer_data import CONFIG, Batch, stream
from odeformer_stacked import Muon, SoftMantissas, Stacked
from run import commit, cut
from safetensors.torch import load_file, save_file
from torch import nn

from mechtests.checkpoints import Provenance, read, save
from mechtests.files import atomic_write
from mechtests.systems.odeformer.equations import Vocabulary
from mechtests.systems.odeformer.package import OdeformerConfig, build

HERE = Path(__file__).parent
NAME = "package"
SAVE_EVERY = 25
KEEP_EVERY = 25
"""Steps between checkpoints, which are all left under ``training/runs/``."""
REPORT_EVERY = 10


@dataclass(frozen=True)
class Schedule:
    """Rates by step: a linear warm-up, a constant, and a linear fall to zero over the last ``fall`` steps.

    Attributes:
        steps: of this run, without those of the checkpoint it starts from.
        muon: rate of the stacked matrices.
        adamw: rate of embeddings, biases and norms.
        softness: relative deviation of the mantissas' targets before the fall.
    """

    steps: int
    fall: int
    muon: float = 2e-3
    adamw: float = 1e-3
    warmup: int = 50
    softness: float = 0.05

    @property
    def turn(self) -> int:
        """The step at which the fall begins."""
        return self.steps - self.fall

    def scale(self, step: int) -> float:
        return min((step + 1) / self.warmup, 1.0, (self.steps - step) / max(self.fall, 1))


def optimisers(model: Stacked, schedule: Schedule) -> tuple[Muon, torch.optim.AdamW]:
    matrices = model.matrices()
    rest = [model[name] for name in model.names() if name not in matrices]
    muon = Muon([(model[name], parts) for name, parts in matrices.items()], lr=schedule.muon)
    return muon, torch.optim.AdamW(rest, lr=schedule.adamw, betas=(0.9, 0.98), weight_decay=0.01, fused=True)


class Run:
    """A model on its way: what is saved, and what takes a step."""

    def __init__(
        self,
        schedule: Schedule,
        seed: int,
        device: str = "cpu",
        start: Path | None = None,
        config: OdeformerConfig = CONFIG,
        home: Path = HERE,
        products: torch.dtype = torch.float32,
    ) -> None:
        self.schedule, self.seed, self.device, self.config = schedule, seed, device, config
        torch.manual_seed(seed)
        self.module: Any = build(config)
        self.before = 0
        if start is not None:
            checkpoint, tensors = read(start)
            self.module.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
            self.before = checkpoint.provenance.step
        self.model = Stacked(self.module, products).to(device)
        self.optimisers = optimisers(self.model, schedule)
        self.vocabulary = Vocabulary(config)
        self.step = 0
        name = f"odeformer-{NAME}-seed{seed:02d}"
        self.folder = home / "runs" / name
        self.stable = home / "runs" / f"{name}-muon.safetensors"
        self.falling = self.stable.with_stem(f"{self.stable.stem}-fall")
        self.curve = home / "curves" / f"{name}-muon.jsonl"

    def take_step(self, batch: Batch) -> float:
        scale = self.schedule.scale(self.step)
        for optimiser, rate in zip(self.optimisers, (self.schedule.muon, self.schedule.adamw), strict=True):
            optimiser.param_groups[0]["lr"] = rate * scale
            optimiser.zero_grad()
        first = self.vocabulary.id("N100")
        softness = self.schedule.softness if self.step < self.schedule.turn else 0.0
        loss = self.model(batch.to(self.device), SoftMantissas(first, 900, softness))
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimiser in self.optimisers:
            optimiser.step()
        self.step += 1
        return float(loss.detach())

    def save_state(self) -> None:
        path = self.stable if self.step <= self.schedule.turn else self.falling
        tensors = {"at": torch.tensor([self.step, self.before, self.schedule.steps, self.schedule.fall])}
        tensors |= {f"weight.{name}": self.model[name] for name in self.model.names()}
        for number, optimiser in enumerate(self.optimisers):
            for index, slots in optimiser.state_dict()["state"].items():
                tensors |= {f"optimiser.{number}.{index}.{slot}": tensor for slot, tensor in slots.items()}
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as unfinished:
            save_file({name: one.detach().cpu().clone().contiguous() for name, one in tensors.items()}, unfinished)

    def resume(self) -> None:
        """Go on from the fall if it is this schedule's, else from the state before any fall, if there is one."""
        path = self.stable
        ends = [self.schedule.steps, self.schedule.fall]
        if self.falling.exists() and load_file(self.falling)["at"].tolist()[2:] == ends:
            path = self.falling
        if not path.exists():
            return
        tensors = load_file(path)
        step, before, *_ = tensors["at"].tolist()
        if path == self.stable and step > self.schedule.turn:
            raise SystemExit(
                f"{path} is at step {step}, past the start of the fall at {self.schedule.turn}: ask for more."
            )
        self.step, self.before = step, before
        with torch.no_grad():
            for name in self.model.names():
                self.model[name].copy_(tensors[f"weight.{name}"])
        for number, optimiser in enumerate(self.optimisers):
            whole = optimiser.state_dict()
            prefix = f"optimiser.{number}."
            for name, tensor in tensors.items():
                if name.startswith(prefix):
                    index, slot = name[len(prefix) :].split(".")
                    whole["state"].setdefault(int(index), {})[slot] = tensor
            optimiser.load_state_dict(whole)

    def checkpoint(self, last: bool, metrics: dict[str, float]) -> Path:
        """Write the weights so far, in half precision, under the package's names."""
        self.module.load_state_dict(self.model.whole())
        kept = nn.ModuleDict({name: getattr(self.module, name) for name in ("embedder", "encoder", "decoder")})
        step = self.before + self.step
        path = self.folder / (f"{NAME}-seed{self.seed:02d}.safetensors" if last else f"step{step:05d}.safetensors")
        provenance = Provenance("odeformer", asdict(self.config), NAME, self.seed, step, last, commit(), metrics)
        save(path, kept.half(), provenance)
        kept.float()
        return path


def train(run: Run) -> None:
    """Take the steps that are left."""
    run.resume()
    run.curve.parent.mkdir(parents=True, exist_ok=True)
    cut(run.curve, run.before + run.step)
    batches = stream(run.seed, run.step, run.vocabulary)
    losses: list[float] = []
    began = time.process_time()
    while run.step < run.schedule.steps:
        losses.append(run.take_step(next(batches)))
        if run.step % SAVE_EVERY == 0 or run.step == run.schedule.turn:
            run.save_state()
        if run.step % REPORT_EVERY == 0:
            row = {
                "step": run.before + run.step,
                "loss": round(sum(losses) / len(losses), 5),
                "rate": run.schedule.muon * run.schedule.scale(run.step - 1),
                "seconds": round(time.process_time() - began, 1),
            }
            losses.clear()
            with run.curve.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(row, flush=True)
        if run.step % KEEP_EVERY == 0:
            run.checkpoint(False, {})
    run.checkpoint(True, {})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, required=True, help="steps of this run, the fall included")
    parser.add_argument("--fall", type=int, required=True, help="steps of the fall")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", type=Path, help="a checkpoint to start from; without it, fresh weights")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--bfloat16",
        action="store_true",
        help="multiply in bfloat16: faster where the processor has instructions for it",
    )
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    products = torch.bfloat16 if options.bfloat16 else torch.float32
    schedule = Schedule(options.steps, options.fall)
    train(Run(schedule, options.seed, options.device, options.start, products=products))


if __name__ == "__main__":
    main()
