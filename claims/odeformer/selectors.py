"""Which heads a claim speaks of: named by the report, or found on trajectories of their own.

What is found is the best there is, so that an untrained twin has its "steepest head" too: every control chooses among
its own heads in the same way.
"""

import copy
from collections.abc import Callable

import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from claims.odeformer.measures import (
    lift_on,
    near_extremum,
    received,
    row_correlation,
    share_on,
    steep,
)
from claims.odeformer.source import FALLING, HARMONICS, SIGMOIDS, discovery, fresh
from mechtests import Head, memoized
from mechtests.cache import Cache
from mechtests.families.ode import Trajectories
from mechtests.systems import Odeformer

Select = Callable[[Odeformer], Head]


def the_head(model: Odeformer, head: Head | Select, stack: str = "encoder") -> Head:
    """The head that a claim names, or the one that is found; the claim is untested where the model has no such head."""
    if not isinstance(head, Head):
        return head(model)
    if head not in (model.heads if stack == "encoder" else model.decoder_heads):
        pytest.skip(f"{model.name} has no {stack} head {head}, which the report names")
    return head


def the_layer(model: Odeformer, layer: int | Callable[[Odeformer], int]) -> int:
    """The decoder layer that a claim names, or the one that is found; untested where there is no such layer."""
    if callable(layer):
        return layer(model)
    if layer >= (layers := model.module.config.n_dec_layers):
        pytest.skip(f"{model.name} has {layers} decoder layers, and no layer {layer}, which the report names")
    return layer


def keeping_nothing(model: Odeformer) -> Odeformer:
    """The same model with a cache that keeps nothing, for activations of which only a summary is wanted again."""
    twin = copy.copy(model)
    twin.cache = Cache(budget=0)
    return twin


def encoder_profiles(
    model: Odeformer, trajectories: Trajectories, layers: list[int] | None = None
) -> Float[Tensor, "head trajectory point"]:
    """Where each encoder head's value-weighted attention lies, layer by layer."""
    patterns = keeping_nothing(model).encoder_attention(trajectories, weighting="value", layers=layers)
    return torch.cat([received(pattern.transpose(0, 1)) for pattern in patterns])


# Steep regions of sigmoids


@memoized
def steep_shares(model: Odeformer) -> Float[Tensor, "head trajectory"]:
    """Each encoder head's share of attention on the steep points, on the sigmoids on which heads are looked for."""
    return share_on(encoder_profiles(model, discovery(SIGMOIDS)), steep(discovery(SIGMOIDS)))


@memoized
def fresh_steep_shares(model: Odeformer) -> Float[Tensor, "head trajectory"]:
    """The same on other sigmoids."""
    return share_on(encoder_profiles(model, fresh(SIGMOIDS)), steep(fresh(SIGMOIDS)))


def steepest_head(model: Odeformer) -> Head:
    """The encoder head with the greatest share of attention where sigmoids are steep."""
    return model.heads[int(steep_shares(model).mean(1).argmax())]


def next_steepest_head(model: Odeformer) -> Head:
    """The next best of them."""
    return model.heads[int(steep_shares(model).mean(1).argsort(descending=True)[1])]


def flattest_head(model: Odeformer) -> Head:
    """The head with the smallest such share in the layer of the one with the greatest."""
    shares, layer = steep_shares(model).mean(1), steepest_head(model).layer
    return min((head for head in model.heads if head.layer == layer), key=lambda one: shares[model.heads.index(one)])


# Layer 0: tracing heads, extremum heads


@memoized
def tracings(model: Odeformer) -> Float[Tensor, "reading head trajectory"]:
    """How well each head of layer 0 traces falling sigmoids, in the two readings of the word."""
    return traced(model, discovery(FALLING))


@memoized
def fresh_tracings(model: Odeformer) -> Float[Tensor, "direction reading head trajectory"]:
    """The same on other falling sigmoids, and on these rising."""
    falling = fresh(FALLING)
    rising = SIGMOIDS.build(**{**falling.parameters, "direction": torch.ones(len(falling), dtype=torch.int64)})
    return torch.stack([traced(model, falling), traced(model, rising)])


def traced(model: Odeformer, trajectories: Trajectories) -> Float[Tensor, "reading head trajectory"]:
    """Correlation of heads of layer 0 with the curve, in two readings.

    First, the attention that a point gets against its state. Second, where a point's attention has its centre, in time,
    against the point's state, whichever way round: the line that a picture of the pattern shows.
    """
    ready = trajectories.rescaled()
    (pattern,) = keeping_nothing(model).encoder_attention(trajectories, weighting="value", layers=[0])
    pattern = pattern.transpose(0, 1).cpu().double()
    curve, centres = ready.states[..., 0], (pattern @ ready.times[..., None])[..., 0] / pattern.sum(-1)
    return torch.stack([row_correlation(received(pattern), curve), row_correlation(centres, curve).abs()])


def receiving_tracer(model: Odeformer) -> Head:
    """The head of layer 0 to which falling sigmoids' points matter by their states."""
    return Head(0, int(tracings(model)[0].mean(1).argmax()))


def drawing_tracer(model: Odeformer) -> Head:
    """The head of layer 0 whose pattern draws falling sigmoids."""
    return Head(0, int(tracings(model)[1].mean(1).argmax()))


@memoized
def extremum_shares(model: Odeformer) -> Float[Tensor, "side dim head trajectory"]:
    """Attention of layer 0's heads on minima and maxima of harmonics: a point there over a point elsewhere."""
    return extrema_marked(model, discovery(HARMONICS))


def extrema_marked(model: Odeformer, trajectories: Trajectories) -> Float[Tensor, "side dim head trajectory"]:
    """Value-weighted attention of layer 0's heads to a point near a minimum or maximum over that to another point."""
    profiles = encoder_profiles(model, trajectories, [0])
    places = [near_extremum(trajectories, side).unbind(-1) for side in (-1, 1)]
    return torch.stack([torch.stack([lift_on(profiles, where) for where in side]) for side in places])


def extremum_head(model: Odeformer, side: int) -> tuple[int, Head]:
    """The dimension and the head of layer 0 that picks out its minimum (``side`` 0) or maximum (1) best."""
    found = extremum_shares(model)[side].log().mean(-1)
    dimension, head = divmod(int(found.argmax()), found.shape[1])
    return dimension, Head(0, head)
