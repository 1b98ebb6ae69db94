"""Train the attention-only transformer: ``python training/induction.py --recipe two-layer --seeds 0 1 2``.

The model predicts the next token of sequences that copy stretches of their own past (:mod:`copying_source` says how).
Every step sees new sequences, drawn by seed and step. Every run is a function of recipe, seed, device and number of
threads (one); an interrupted one goes on from its last saved state under ``training/runs/``.
"""

import argparse
from collections.abc import Sequence
from typing import Any

import torch
from copying_source import CopyingSource
from run import Recipe, generator, is_there, train
from torch import Tensor
from torch.nn.functional import cross_entropy

from mechtests.activations.capture import run
from mechtests.instruments import prefix_matching_score, previous_token_score
from mechtests.systems.induction.transformer import AttentionOnlyConfig, AttentionOnlyTransformer

LEARNED = 1.0
"""Loss, in nats, on the second occurrence of a random segment, below which a seed counts as one that learned induction.
An untrained model has 5.5."""

RECIPES = {"two-layer": Recipe(weight_decay=0.01, learning_rate=3e-3, batch=64, steps=5_000)}
TRAJECTORY = {("two-layer", 0): (300, 700, 900, 950, 1000, 1050, 1100, 1150, 1200, 1400, 2000, 3000)}
"""Steps at which a run saves a checkpoint besides its last: the training trajectory on which emergence is judged. Seed
0 learns to attend to the right token abruptly, between steps 950 and 1,150."""

EVALUATION = 256
"""How many sequences of each kind a model is measured on; they are the same for every seed."""


class Induction:
    """The model of one seed, its batches, and what is measured of it."""

    system = "induction"

    def __init__(self, seed: int, batch: int, device: str) -> None:
        torch.manual_seed(seed)
        self.model = self.drawn_model().to(device)
        self.seed, self.batch, self.device = seed, batch, device
        self.source = CopyingSource()
        drawn = torch.Generator().manual_seed(2**40)  # no batch of any seed has this number
        self.held_out = self.source.sample(EVALUATION, drawn)
        half = self.source.n_ctx // 2
        segment = torch.stack([torch.randperm(self.source.d_vocab, generator=drawn)[:half] for _ in range(EVALUATION)])
        self.repeated = torch.cat([segment, segment], 1)
        self.floors = self._summary(
            self.source.ideal_losses(self.held_out.tokens)[:, 1:],
            self.source.ideal_losses(self.repeated)[:, 1:],
            "floor",
        )

    def drawn_model(self) -> Any:
        """The model before training; the seed has been set."""
        return AttentionOnlyTransformer(AttentionOnlyConfig())

    def logits(self, tokens: Tensor) -> Tensor:
        return self.model(tokens)

    def patterns(self, tokens: Tensor) -> Sequence[Tensor]:
        """How the heads of each layer attend, ``[sequence, head, query, key]``."""
        sites = ["blocks.0.attn.pattern", "blocks.1.attn.pattern"]
        found = run(self.model, tokens, sites)
        return [found[site] for site in sites]

    def loss(self, step: int) -> Tensor:
        tokens = self.source.sample(self.batch, generator(self.seed, step)).tokens.to(self.device)
        return cross_entropy(self.logits(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())

    @torch.inference_mode()
    def measured(self) -> dict[str, float]:
        repeated = self.repeated.to(self.device)
        losses = self._losses(self.logits(self.held_out.tokens.to(self.device)), self.held_out.tokens)
        first, *later = self.patterns(repeated)
        return {
            **self._summary(losses, self._losses(self.logits(repeated), repeated), "loss"),
            **self.floors,
            "previous_token": previous_token_score(first, repeated).mean(0).max().item(),
            "prefix_matching": max(prefix_matching_score(one, repeated).mean(0).max().item() for one in later),
        }

    def learned(self, measured: dict[str, float]) -> bool:
        return measured["second_loss"] <= LEARNED

    def _losses(self, logits: Tensor, tokens: Tensor) -> Tensor:
        return cross_entropy(logits[:, :-1].mT, tokens[:, 1:].to(self.device), reduction="none").cpu()

    def _summary(self, losses: Tensor, repeated: Tensor, of: str) -> dict[str, float]:
        """Mean losses of the tokens after the first: all, those that go on with a copy, the others; and, on a repeated
        segment, its first and its second occurrence, where the second's first token cannot be foreseen.
        """
        going_on, half = self.held_out.going_on[:, 1:], self.source.n_ctx // 2
        return {
            f"all_{of}": losses.mean().item(),
            f"copied_{of}": losses[going_on].mean().item(),
            f"other_{of}": losses[~going_on].mean().item(),
            f"first_{of}": repeated[:, : half - 1].mean().item(),
            f"second_{of}": repeated[:, half:].mean().item(),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", choices=RECIPES, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", required=True)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(1)
    recipe = RECIPES[options.recipe]
    for seed in options.seeds:
        if not is_there("induction", options.recipe, seed):
            task = Induction(seed, recipe.batch, options.device)
            kept = TRAJECTORY.get((options.recipe, seed), ())
            train(task, options.recipe, recipe, seed, kept, measure_every=50)


if __name__ == "__main__":
    main()
