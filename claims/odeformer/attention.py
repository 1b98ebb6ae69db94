"""How much attention each point gets: from the encoder's heads, and from the tokens of the equation."""

from itertools import chain
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from claims.odeformer.inputs import with_equations
from mechtests import Edit, Head, memoized
from mechtests.activations.capture import Inputs
from mechtests.families.ode import Trajectories
from mechtests.instruments.profiles import received, shares
from mechtests.systems import Odeformer

MOSTLY = 0.5
"""Attention lies mostly somewhere when more than half of it does."""


class Attention(NamedTuple):
    """Attention that points get, a mean over queries; value-weighted in units of the values' length.

    Attributes:
        plain, value: from all tokens of the equations, by cross-attention head.
        first, second: plain, from the tokens of the first and of the second equation alone.
        encoder_plain, encoder_value: from all points, by encoder head.
        norms: the length of the encoded points.
    """

    plain: Float[Tensor, "layer head trajectory point"]
    value: Float[Tensor, "layer head trajectory point"]
    first: Float[Tensor, "layer head trajectory point"]
    second: Float[Tensor, "layer head trajectory point"]
    encoder_plain: Float[Tensor, "layer head trajectory point"]
    encoder_value: Float[Tensor, "layer head trajectory point"]
    norms: Float[Tensor, "trajectory point"]


@memoized
def attention_on(model: Odeformer, harmonics: Trajectories) -> Attention:
    """All of it, in one pass: on the harmonics on which heads are looked for, and on those on which claims judge."""
    inputs, cross, encoder = with_equations(model, harmonics), model.n_decoder_layers, model.n_encoder_layers
    sites = [
        [model.cross_attention_site(layer) for layer in range(cross)],
        [model.cross_attention_site(layer, "value_weighted") for layer in range(cross)],
        [model.attention_site(layer, "pattern") for layer in range(encoder)],
        [model.attention_site(layer, "value_weighted") for layer in range(encoder)],
    ]
    activations = model.activations(inputs, [*chain(*sites), "encoded"], keep=False)
    plain, value, encoder_plain, encoder_value = (torch.cat([activations[one] for one in some], 1) for some in sites)
    tokens, counted = inputs[2], _counted(inputs)
    # The token that divides the equations; the query before it predicts it, so that it belongs to neither.
    divider = (tokens == model.vocabulary.id("|")).int().argmax(1, keepdim=True) - 1
    positions = torch.arange(tokens.shape[1], device=tokens.device)
    return Attention(
        plain=_mean(plain, counted, cross),
        value=_mean(value, counted, cross),
        first=_mean(plain, counted & (positions < divider), cross),
        second=_mean(plain, counted & (positions > divider), cross),
        encoder_plain=encoder_plain.mean(2).transpose(0, 1).cpu().unflatten(0, (encoder, -1)),
        encoder_value=encoder_value.mean(2).transpose(0, 1).cpu().unflatten(0, (encoder, -1)),
        norms=activations["encoded"].norm(dim=-1).cpu(),
    )


def profile(model: Odeformer, trajectories: Trajectories, head: Head) -> Float[Tensor, "trajectory point"]:
    """Where an encoder head's value-weighted attention lies, over the points of each trajectory."""
    return received(model.attention(trajectories, head, weighting="value"))


def encoder_profiles(
    model: Odeformer, trajectories: Trajectories, layers: list[int] | None = None
) -> Float[Tensor, "layer head trajectory point"]:
    """Where the value-weighted attention of each encoder head lies."""
    patterns = model.encoder_attention(trajectories, weighting="value", layers=layers, keep=False)
    return torch.stack([received(pattern.transpose(0, 1)) for pattern in patterns])


def attention_to_points(model: Odeformer, inputs: Inputs, *edits: Edit) -> Float[Tensor, "trajectory point"]:
    """The share of the tokens' value-weighted attention that each point gets, over all heads, each layer alike."""
    patterns = torch.cat(model.cross_attention(inputs, None, *edits, weighting="value", keep=False), 1)
    return over_heads(_mean(patterns, _counted(inputs), model.n_decoder_layers))


def over_heads(profiles: Float[Tensor, "layer head trajectory point"]) -> Float[Tensor, "trajectory point"]:
    """Summed over the heads of each layer, as shares, and averaged over the layers: values are longer in some."""
    return shares(profiles.double().sum(1)).mean(0)


# Points


def the_mat_point(
    attention: Float[Tensor, "trajectory point"], _generator: torch.Generator | None = None
) -> Int[Tensor, " trajectory"]:
    """The mostly-attended-to point of each trajectory."""
    return attention.argmax(1)


def another_point(
    attention: Float[Tensor, "trajectory point"], generator: torch.Generator
) -> Int[Tensor, " trajectory"]:
    """Any other point of each, drawn at random."""
    n = attention.shape[1]
    return (the_mat_point(attention) + torch.randint(1, n, (len(attention),), generator=generator)) % n


def _counted(inputs: Inputs) -> Bool[Tensor, "trajectory token"]:
    """Which tokens of the equations are no padding."""
    tokens, lengths = inputs[2], inputs[3]
    return torch.arange(tokens.shape[1], device=tokens.device) < lengths[:, None].to(tokens.device)


def _mean(
    patterns: Float[Tensor, "trajectory heads query point"], queries: Bool[Tensor, "trajectory query"], layers: int
) -> Float[Tensor, "layer head trajectory point"]:
    """The mean over some of the queries, by layer and head."""
    weights = queries.to(patterns) / queries.sum(1, keepdim=True).to(patterns)
    return torch.einsum("thqp,tq->htp", patterns, weights).cpu().unflatten(0, (layers, -1))
