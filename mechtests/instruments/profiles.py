"""Attention profiles: how much of the attention each point of an input gets, and where that lies.

A profile has one number per point, along the last axis: attention, plain or value-weighted, averaged over queries.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def received(attention: Float[Tensor, "*batch query point"]) -> Float[Tensor, "*batch point"]:
    """The share of all attention that each point gets, from all queries alike, in float64."""
    return shares(attention.double().mean(-2)).cpu()


def shares(profiles: Float[Tensor, "*batch point"]) -> Float[Tensor, "*batch point"]:
    """Profiles that sum to one, in float64."""
    return profiles.double() / profiles.double().sum(-1, keepdim=True)


def share_on(
    profiles: Float[Tensor, "*batch trajectory point"], where: Bool[Tensor, "trajectory point"]
) -> Float[Tensor, "*batch trajectory"]:
    """How much of a profile lies on the points in ``where``."""
    return (profiles * where).sum(-1)


def lift_on(
    profiles: Float[Tensor, "*batch trajectory point"], where: Bool[Tensor, "trajectory point"]
) -> Float[Tensor, "*batch trajectory"]:
    """Attention per point in ``where`` over attention per point elsewhere; 1 where there is no elsewhere."""
    inside, outside = (share_on(profiles, part) / part.sum(-1) for part in (where, ~where))
    return torch.where(where.all(-1), 1.0, inside / outside.clamp(min=1e-12))


def centre(profiles: Float[Tensor, "*batch point"], times: Float[Tensor, "*#batch point"]) -> Float[Tensor, "*batch"]:
    """Where a profile has its centre of mass, in time."""
    return (profiles * times).sum(-1) / profiles.sum(-1)


def width(profiles: Float[Tensor, "*batch point"], times: Float[Tensor, "*#batch point"]) -> Float[Tensor, "*batch"]:
    """How far a profile spreads about its centre: its standard deviation, in time."""
    return centre(profiles, (times - centre(profiles, times)[..., None]) ** 2).sqrt()


def prominence(profiles: Float[Tensor, "trajectory point"]) -> Float[Tensor, " trajectory"]:
    """By how many standard deviations of the other points the greatest lies above their mean."""
    top = profiles.amax(1)
    others = profiles.scatter(1, profiles.argmax(1, keepdim=True), float("nan"))
    mean = others.nanmean(1)
    spread = (others - mean[:, None]).square().nanmean(1).sqrt()
    return (top - mean) / spread.clamp(min=1e-12)


def at_points(
    values: Float[Tensor, "*batch trajectory point"], points: Int[Tensor, " trajectory"]
) -> Float[Tensor, "*batch trajectory"]:
    """The values, such as attention, of one point of each trajectory."""
    return values.gather(-1, points[:, None].expand(*values.shape[:-1], 1))[..., 0]
