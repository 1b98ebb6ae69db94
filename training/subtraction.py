"""Train the subtraction transformer: ``python training/subtraction.py --recipe light-decay --seeds 0 1 2``.

The model reads ``a - b =`` and the sign, and learns to predict the sign at ``=`` and ``|a - b|`` at the sign. It trains
on 8,000 of the 10,000 problems, drawn by the seed. Every run is a function of recipe, seed, device and number of
threads (one); an interrupted one goes on from its last saved state under ``training/runs/``.
"""

import argparse

import torch
from run import Recipe, generator, is_there, train
from torch import Tensor
from torch.nn.functional import cross_entropy

from mechtests.systems.subtraction.transformer import (
    EQUALS,
    MINUS,
    PLUS,
    POSITIONS,
    SubtractionConfig,
    SubtractionTransformer,
)

N_TRAIN = 8_000
LEARNED = 0.985
"""Sign accuracy over all problems from which on a seed counts as one that learned the task. A seed that did not is kept
apart, in ``unlearned/``, and the claims do not speak of it."""

RECIPES = {"light-decay": Recipe(weight_decay=0.01), "heavy-decay": Recipe(weight_decay=1.0)}
TRAJECTORY = {("light-decay", 0): (50, 100, 150, 200, 300, 400, 600, 900, 1300, 2000, 3000, 4000)}
"""Steps at which a run leaves a checkpoint besides its last: the training trajectory that emergence is read from."""


def all_problems(device: str) -> tuple[Tensor, Tensor]:
    """Tokens ``[10000, 5]`` with the right sign in the last place, and targets ``[10000, 2]``: sign, then number."""
    a, b = torch.cartesian_prod(torch.arange(100), torch.arange(100)).T
    sign = torch.where(a >= b, PLUS, MINUS)
    tokens = torch.stack([a, torch.full_like(a, MINUS), b, torch.full_like(a, EQUALS), sign], 1)
    return tokens.to(device), torch.stack([sign, (a - b).abs()], 1).to(device)


class Subtraction:
    """The model of one seed, its problems, and what is measured of it."""

    system = "subtraction"

    def __init__(self, seed: int, batch: int, device: str) -> None:
        torch.manual_seed(seed)
        self.model = SubtractionTransformer(SubtractionConfig()).to(device)
        self.seed, self.batch, self.device = seed, batch, device
        self.tokens, self.targets = all_problems(device)
        self.train_set = torch.randperm(len(self.tokens), generator=generator(seed, 0))[:N_TRAIN].to(device)
        self.asked = torch.tensor([POSITIONS["="], POSITIONS["sign"]], device=device)
        self._epoch, self._order = -1, self.train_set

    def loss(self, step: int) -> Tensor:
        epoch, place = divmod(step, N_TRAIN // self.batch)
        if epoch != self._epoch:
            drawn = torch.randperm(N_TRAIN, generator=generator(self.seed, epoch + 1))
            self._epoch, self._order = epoch, self.train_set[drawn.to(self.device)]
        batch = self._order[place * self.batch : (place + 1) * self.batch]
        return cross_entropy(self.model(self.tokens[batch], self.asked).flatten(0, 1), self.targets[batch].flatten())

    @torch.inference_mode()
    def measured(self) -> dict[str, float]:
        right = self.model(self.tokens, self.asked).argmax(-1) == self.targets
        held_out = torch.ones(len(self.tokens), dtype=torch.bool, device=self.device)
        held_out[self.train_set] = False
        return {
            "sign_accuracy": right[:, 0].float().mean().item(),
            "number_accuracy": right[:, 1].float().mean().item(),
            "held_out_sign_accuracy": right[held_out, 0].float().mean().item(),
            "held_out_number_accuracy": right[held_out, 1].float().mean().item(),
        }

    def learned(self, measured: dict[str, float]) -> bool:
        return measured["sign_accuracy"] >= LEARNED


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", choices=RECIPES, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", required=True)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(1)
    recipe = RECIPES[options.recipe]
    for seed in options.seeds:
        if not is_there("subtraction", options.recipe, seed):
            task = Subtraction(seed, recipe.batch, options.device)
            train(task, options.recipe, recipe, seed, TRAJECTORY.get((options.recipe, seed), ()))


if __name__ == "__main__":
    main()
