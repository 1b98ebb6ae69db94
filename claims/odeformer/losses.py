"""How hard the true equation is for the model."""

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor

from claims.odeformer.inputs import with_equations
from mechtests import Edit
from mechtests.families.ode import Trajectories
from mechtests.systems import Odeformer


def loss(model: Odeformer, trajectories: Trajectories, *edits: Edit) -> Float[Tensor, " trajectory"]:
    """Mean loss of the true equation's tokens, each given those before it, in nats."""
    truth = model.truth(trajectories)
    counted = torch.arange(truth.words.shape[1]) < truth.lengths[:, None]
    logits = model.logits(with_equations(model, trajectories), None, *edits).cpu()
    losses = -logits.log_softmax(-1).gather(2, truth.words[..., None])[..., 0]
    return (losses * counted).sum(1) / counted.sum(1)


def damage(model: Odeformer, trajectories: Trajectories, edits: Iterable[Edit]) -> Float[Tensor, " trajectory"]:
    """By how much edits raise that loss."""
    return loss(model, trajectories, *edits) - loss(model, trajectories)
