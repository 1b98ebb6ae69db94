"""Which heads and layers a claim speaks of: named by the report, or found on trajectories of their own.

What is found is the best there is, so that an untrained twin has its "steepest head" too: every control chooses among
its own heads in the same way.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from claims.odeformer.attention import Attention, attention_on, encoder_profiles
from claims.odeformer.inputs import DISCOVERY, HARMONICS, SIGMOIDS, near_extremum, steep
from mechtests import Evidence, Head, memoized
from mechtests.families.ode import Trajectories
from mechtests.instruments import correlation
from mechtests.instruments.profiles import lift_on, received, share_on, shares
from mechtests.systems import Odeformer
from mechtests.systems.odeformer.sites import Stack

Find = Callable[[Odeformer], Head]


def the_head(model: Odeformer, head: Head | Find, evidence: Evidence, stack: Stack = "encoder") -> Head:
    """The head that a claim names, or the one that is found; the claim is untested where the model has no such head."""
    if not isinstance(head, Head):
        return head(model)
    if head not in (model.heads if stack == "encoder" else model.decoder_heads):
        evidence.untested(f"{model.name} has no {stack} head {head}, which the report names")
    return head


def the_layer(
    model: Odeformer, layer: int | Callable[[Odeformer], int], evidence: Evidence, stack: Stack = "decoder"
) -> int:
    """The layer that a claim names, or the one that is found; the claim is untested where there is no such layer."""
    if callable(layer):
        return layer(model)
    if layer >= (layers := model.n_encoder_layers if stack == "encoder" else model.n_decoder_layers):
        evidence.untested(f"{model.name} has {layers} {stack} layers, and no layer {layer}, which the report names")
    return layer


# Heads of the encoder: steep regions of sigmoids


@memoized
def steep_shares(model: Odeformer, sigmoids: Trajectories) -> Float[Tensor, "layer head trajectory"]:
    """Each encoder head's share of attention on the steep points."""
    return share_on(encoder_profiles(model, sigmoids), steep(sigmoids))


def steepest_head(model: Odeformer) -> Head:
    """The encoder head with the greatest share of attention where sigmoids are steep."""
    return model.heads[int(steep_shares(model, SIGMOIDS.discovery(DISCOVERY)).mean(-1).argmax())]


def flattest_head(model: Odeformer) -> Head:
    """The head with the smallest such share in the layer of the one with the greatest."""
    layer = steepest_head(model).layer
    return Head(layer, int(steep_shares(model, SIGMOIDS.discovery(DISCOVERY))[layer].mean(-1).argmin()))


# Heads of the encoder's layer 0: tracing heads, extremum heads


@memoized
def tracings(model: Odeformer, sigmoids: Trajectories) -> Float[Tensor, "reading head trajectory"]:
    """How well each head of layer 0 traces the curve: its correlation with it, in two readings of the word.

    First, the attention that a point gets against its state. Second, where a point's attention has its centre, in time,
    against the point's state, whichever way round: the line that a picture of the pattern shows.
    """
    ready = sigmoids.rescaled()
    (pattern,) = model.encoder_attention(sigmoids, weighting="value", layers=[0], keep=False)
    pattern = pattern.transpose(0, 1).cpu().double()
    curve, centres = ready.states[..., 0], (pattern @ ready.times[..., None])[..., 0] / pattern.sum(-1)
    return torch.stack([correlation(received(pattern), curve, 0.0), correlation(centres, curve, 0.0).abs()])


def extremum_lifts(model: Odeformer, trajectories: Trajectories) -> Float[Tensor, "side dim head trajectory"]:
    """Value-weighted attention of layer 0's heads to a point near a minimum or maximum over that to another point."""
    (profiles,) = encoder_profiles(model, trajectories, [0])
    regions = [near_extremum(trajectories, side).unbind(-1) for side in (-1, 1)]
    return torch.stack([torch.stack([lift_on(profiles, where) for where in side]) for side in regions])


def extremum_head(model: Odeformer, side: int) -> tuple[int, Head]:
    """The dimension and the head of layer 0 that picks out its minimum (``side`` 0) or maximum (1) best."""
    lifts = extremum_lifts(model, HARMONICS.discovery(DISCOVERY))[side].log().mean(-1)
    dimension, head = divmod(int(lifts.argmax()), lifts.shape[1])
    return dimension, Head(0, head)


# Heads of the cross-attention


def marking(attention: Attention, harmonics: Trajectories) -> Float[Tensor, "layer head trajectory"]:
    """How much more attention a point near an extremum of any dimension gets than another, for each head."""
    extrema = near_extremum(harmonics, 1) | near_extremum(harmonics, -1)
    return lift_on(shares(attention.plain), extrema.any(-1))


def separation(attention: Attention, harmonics: Trajectories) -> Float[Tensor, "layer head trajectory"]:
    """How much more of the attention from each equation's tokens lies on its own extrema than on the other's."""
    first, second = (near_extremum(harmonics, 1) | near_extremum(harmonics, -1)).unbind(-1)
    from_first, from_second = shares(attention.first), shares(attention.second)
    own = share_on(from_first, first) - share_on(from_first, second)
    other = share_on(from_second, second) - share_on(from_second, first)
    return (own + other) / 2


def markers(model: Odeformer) -> list[tuple[float, Head]]:
    """The heads that mark extrema half as strongly as the strongest or more, each after its separation."""
    harmonics = HARMONICS.discovery(DISCOVERY)
    attention = attention_on(model, harmonics)
    marks = marking(attention, harmonics).log().mean(-1)
    separations = separation(attention, harmonics).mean(-1)
    strong = [head for head in model.decoder_heads if marks[head.layer, head.index] >= marks.max() / 2]
    return [(float(separations[head.layer, head.index]), head) for head in strong]


def uniting_head(model: Odeformer) -> Head:
    """The head among those that marks the extrema of both dimensions most alike."""
    return min(markers(model), key=lambda marker: abs(marker[0]))[1]


def separating_head(model: Odeformer) -> Head:
    """The head among those that separates the dimensions most."""
    return max(markers(model), key=lambda marker: marker[0])[1]
