"""What the claims of this folder measure of attention, of equations and of points, and how they ablate heads."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from scipy.stats import rankdata
from torch import Tensor

from claims.odeformer.source import SIGMOIDS, discovery
from mechtests import Edit, Head, mean, zero
from mechtests.activations.capture import Inputs
from mechtests.families.ode import Trajectories
from mechtests.systems import Odeformer

Ablation = Callable[[Odeformer, Head], Edit]

SHARE = 0.5
"""Attention lies mostly somewhere when more than half of it does."""


def name_of(parameter: Any) -> str:
    """What a parameter is called in a test's name."""
    return str(getattr(parameter, "__name__", parameter))


# Attention


def received(attention: Float[Tensor, "*batch query key"]) -> Float[Tensor, "*batch key"]:
    """The share of all attention that each point gets, from all queries alike."""
    total = attention.double().mean(-2)
    return (total / total.sum(-1, keepdim=True)).cpu()


def speed(trajectories: Trajectories) -> Float[Tensor, "trajectory point"]:
    """``|dx/dt|`` in the model's units; in several dimensions the length of the velocity."""
    return trajectories.rescaled().derivatives.norm(dim=-1)


def steep(trajectories: Trajectories) -> Bool[Tensor, "trajectory point"]:
    """The points where ``|dx/dt|`` is at least half its greatest value on the trajectory."""
    slope = speed(trajectories)
    return slope >= slope.amax(1, keepdim=True) / 2


def near_extremum(trajectories: Trajectories, side: int, width: float = 0.05) -> Bool[Tensor, "trajectory point dim"]:
    """The points in the top (``side`` 1) or bottom (-1) ``width`` of each dimension's range, in the model's units."""
    states = side * trajectories.rescaled().states
    high, low = states.amax(1, keepdim=True), states.amin(1, keepdim=True)
    return states >= high - width * (high - low)


def share_on(
    profile: Float[Tensor, "*head trajectory point"], where: Bool[Tensor, "trajectory point"]
) -> Float[Tensor, "*head trajectory"]:
    """How much of a profile lies on the points in ``where``."""
    return (profile * where).sum(-1)


def lift_on(
    profile: Float[Tensor, "*head trajectory point"], where: Bool[Tensor, "trajectory point"]
) -> Float[Tensor, "*head trajectory"]:
    """Attention a point in ``where`` over attention a point elsewhere; 1 where there is no elsewhere."""
    inside, outside = (share_on(profile, part) / part.sum(-1) for part in (where, ~where))
    return torch.where(where.all(-1), 1.0, inside / outside.clamp(min=1e-12))


def rank_correlation(x: Float[Tensor, "*#batch unit"], y: Float[Tensor, "*#batch unit"]) -> Float[Tensor, "*batch"]:
    """Spearman's correlation along the last axis; 0 where one side does not vary."""
    ranks = (torch.as_tensor(rankdata(one.double().numpy(), axis=-1)) for one in (x, y))
    return row_correlation(*ranks)


def row_correlation(x: Float[Tensor, "*#batch unit"], y: Float[Tensor, "*#batch unit"]) -> Float[Tensor, "*batch"]:
    """Pearson's correlation along the last axis; 0 where one side does not vary."""
    x, y = (one.double() - one.double().mean(-1, keepdim=True) for one in (x, y))
    sizes = x.norm(dim=-1) * y.norm(dim=-1)
    return torch.where(sizes > 1e-300, (x * y).sum(-1) / sizes.clamp(min=1e-300), 0.0)


def centre(profile: Float[Tensor, "*batch point"], times: Float[Tensor, "*#batch point"]) -> Float[Tensor, "*batch"]:
    """Where a profile has its centre of mass, in time."""
    return (profile * times).sum(-1) / profile.sum(-1)


def width(profile: Float[Tensor, "*batch point"], times: Float[Tensor, "*#batch point"]) -> Float[Tensor, "*batch"]:
    """How far a profile spreads about its centre: its standard deviation, in time."""
    about = (times - centre(profile, times)[..., None]) ** 2
    return centre(profile, about).sqrt()


# Equations


def forced(model: Odeformer, trajectories: Trajectories, words: int | None = None) -> Inputs:
    """Points and the true equations, of which ``words`` places are read; all of them when ``None``."""
    points, counts, written, lengths = model.tokens(trajectories, model.truth(trajectories))
    return points, counts, written[:, :words], lengths if words is None else lengths.clamp(max=words)


def true_words(model: Odeformer, trajectories: Trajectories) -> tuple[Int[Tensor, "trajectory word"], Tensor]:
    """The words that are right at each place, and which of them count."""
    truth = model.truth(trajectories)
    return truth.words, torch.arange(truth.words.shape[1]) < truth.lengths[:, None]


def loss(model: Odeformer, trajectories: Trajectories, *edits: Edit) -> Float[Tensor, " trajectory"]:
    """Mean loss of the true equation's words, each given those before it, in nats."""
    words, counted = true_words(model, trajectories)
    logits = model.logits(forced(model, trajectories), None, *edits).cpu()
    losses = -logits.log_softmax(-1).gather(2, words[..., None])[..., 0]
    return (losses * counted).sum(1) / counted.sum(1)


# Ablations of encoder heads


def zeroed(model: Odeformer, head: Head) -> Edit:
    """Zero ablation of the head's output."""
    return zero(model.head(head))


def averaged(model: Odeformer, head: Head) -> Edit:
    """Mean ablation: each point gets the mean over the sigmoids on which heads were looked for."""
    place = model.head(head)
    return mean(place, model.activations(model.tokens(discovery(SIGMOIDS)), [place.site])[place.site])


def heads_of_layer(head: Head, heads: Sequence[Head]) -> list[Head]:
    """The other heads of the same layer."""
    return [other for other in heads if other.layer == head.layer and other != head]
