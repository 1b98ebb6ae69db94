"""What is removed from the model, or from what it reads, to see what depends on it."""

from collections.abc import Mapping
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from claims.odeformer.inputs import with_equations
from mechtests import Edit, patch, replace
from mechtests.activations.capture import Inputs
from mechtests.families.ode import Trajectories
from mechtests.systems import Odeformer
from mechtests.systems.ablation import Ablation

ABLATIONS: Mapping[str, Ablation] = {"zeroed": "zero", "averaged": "mean"}
"""Ablations by the name that claims' parameters give them."""

Probabilities = Float[Tensor, "trajectory token vocab"]

# One point


def deleted(model: Odeformer, trajectories: Trajectories, points: Int[Tensor, " trajectory"]) -> Probabilities:
    """Next-token probabilities when one point of each trajectory is left out."""
    inputs = with_equations(model, trajectories, trajectories.rescaled().without(points))
    return model.logits(inputs).softmax(-1).cpu()


def averaged(model: Odeformer, trajectories: Trajectories, points: Int[Tensor, " trajectory"]) -> Probabilities:
    """Next-token probabilities when one point of each trajectory has the mean encoding of all its points."""
    inputs = with_equations(model, trajectories)
    encoded = model.activations(inputs[:2], ["encoded"])["encoded"]
    chosen = (torch.arange(encoded.shape[1]) == points[:, None]).to(encoded.device)[..., None]
    changed = torch.where(chosen, encoded.mean(1, keepdim=True), encoded)
    return model.logits(inputs, None, patch("encoded", changed)).softmax(-1).cpu()


# A part of what the encoder's attention adds


def without(model: Odeformer, inputs: Inputs, removed: Literal["diagonal", "as_much_elsewhere"]) -> list[Edit]:
    """Edits that remove a part of what attention adds, in every encoder layer, each as it is after those below it.

    A head adds ``sum_k pattern[q, k] x_k W_V W_O``. Of that goes what each feature gets back of itself, through the
    diagonal of its ``W_V W_O``; or as much, taken from the next feature.
    """
    edits: list[Edit] = []
    for layer in range(model.n_encoder_layers):
        site = model.attention_site(layer)
        sites = [model.residual_site(layer - 1, "encoder"), model.attention_site(layer, "pattern"), site]
        x, pattern, added = model.activations(inputs[:2], sites, *edits).values()
        heads = range(model.n_encoder_heads)
        parts = [(pattern[:, head] @ x) * model.W_OV(layer, head=head).diagonal() for head in heads]
        gone = sum(part.roll(1, -1) if removed == "as_much_elsewhere" else part for part in parts)
        edits.append(replace(site, added - gone, f"itself without {removed}"))
    return edits
