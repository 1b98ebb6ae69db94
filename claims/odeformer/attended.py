"""How much attention each point gets: from the encoder's heads, and from the words of the equation."""

from itertools import chain
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from claims.odeformer.measures import forced
from claims.odeformer.selectors import keeping_nothing
from claims.odeformer.source import HARMONICS, discovery, fresh
from mechtests import Edit, memoized
from mechtests.activations.capture import Inputs
from mechtests.families.ode import Trajectories
from mechtests.systems import Odeformer

CROSS, ENCODER = "decoder.encoder_attn.{}.{}", "encoder.attentions.{}.{}"
KINDS = {"plain": "pattern", "value": "value_weighted"}


class Attended(NamedTuple):
    """Attention that points of harmonics get, a mean over queries; value-weighted in units of the values' length.

    Attributes:
        plain, value: from all words, by cross-attention head, layer by layer.
        first, second: plain, from the words of the first and of the second equation alone.
        encoder_plain, encoder_value: from all points, by encoder head.
        norms: the length of the encoded points.
    """

    plain: Float[Tensor, "head trajectory point"]
    value: Float[Tensor, "head trajectory point"]
    first: Float[Tensor, "head trajectory point"]
    second: Float[Tensor, "head trajectory point"]
    encoder_plain: Float[Tensor, "head trajectory point"]
    encoder_value: Float[Tensor, "head trajectory point"]
    norms: Float[Tensor, "trajectory point"]


@memoized
def discovered(model: Odeformer) -> Attended:
    """On the harmonics on which heads are looked for."""
    return attended(model, discovery(HARMONICS))


@memoized
def judged(model: Odeformer) -> Attended:
    """On the harmonics on which claims judge."""
    return attended(model, fresh(HARMONICS))


def attended(model: Odeformer, trajectories: Trajectories) -> Attended:
    """All of it in one pass."""
    inputs = forced(model, trajectories)
    config = model.module.config
    stacks = (CROSS, config.n_dec_layers), (ENCODER, config.n_enc_layers)
    sites = [[site.format(i, kind) for i in range(layers)] for site, layers in stacks for kind in KINDS.values()]
    every = keeping_nothing(model).activations(inputs, [*chain(*sites), "encoded"])
    plain, value, encoder_plain, encoder_value = (torch.cat([every[one] for one in some], 1) for some in sites)
    words, counted = inputs[2], _counted(inputs)
    # The word that divides the equations; the query before it foretells it, so that it belongs to neither.
    divided = (words == model.vocabulary.id("|")).int().argmax(1, keepdim=True) - 1
    places = torch.arange(words.shape[1], device=words.device)
    return Attended(
        _mean(plain, counted),
        _mean(value, counted),
        _mean(plain, counted & (places < divided)),
        _mean(plain, counted & (places > divided)),
        encoder_plain.mean(2).transpose(0, 1).cpu(),
        encoder_value.mean(2).transpose(0, 1).cpu(),
        every["encoded"].norm(dim=-1).cpu(),
    )


def attention_to_points(
    model: Odeformer, inputs: Inputs, *edits: Edit, weighting: str = "value"
) -> Float[Tensor, "trajectory point"]:
    """The share of the words' attention that each point gets, over all heads, each layer alike."""
    layers = model.module.config.n_dec_layers
    sites = [CROSS.format(i, KINDS[weighting]) for i in range(layers)]
    found = keeping_nothing(model).activations(inputs, sites, *edits)
    return overall(_mean(torch.cat([found[site] for site in sites], 1), _counted(inputs)), layers)


def attention_and_logits(
    model: Odeformer, inputs: Inputs
) -> tuple[Float[Tensor, "trajectory point"], Float[Tensor, "trajectory word vocab"]]:
    """The same, value-weighted, and the logits of the equation's words, in one pass."""
    layers = model.module.config.n_dec_layers
    sites = [CROSS.format(i, KINDS["value"]) for i in range(layers)]
    *patterns, logits = keeping_nothing(model).activations(inputs, [*sites, "logits"]).values()
    return overall(_mean(torch.cat(patterns, 1), _counted(inputs)), layers), logits


def overall(profiles: Float[Tensor, "head trajectory point"], layers: int) -> Float[Tensor, "trajectory point"]:
    """Summed over the heads of each layer, as shares, and averaged over the layers: values are longer in some."""
    by_layer = profiles.double().unflatten(0, (layers, -1)).sum(1)
    return (by_layer / by_layer.sum(-1, keepdim=True)).mean(0)


def mat_points(attention: Float[Tensor, "trajectory point"]) -> Int[Tensor, " trajectory"]:
    """The mostly-attended-to point of each trajectory."""
    return attention.argmax(1)


def at_points(
    attention: Float[Tensor, "*head trajectory point"], points: Int[Tensor, " trajectory"]
) -> Float[Tensor, "*head trajectory"]:
    """The attention that one point of each trajectory gets."""
    return attention.gather(-1, points[:, None].expand(*attention.shape[:-1], 1))[..., 0]


def shares(profiles: Float[Tensor, "*head trajectory point"]) -> Float[Tensor, "*head trajectory point"]:
    """Profiles that sum to one."""
    return profiles.double() / profiles.double().sum(-1, keepdim=True)


def _counted(inputs: Inputs) -> Tensor:
    words, lengths = inputs[2], inputs[3]
    return torch.arange(words.shape[1], device=words.device) < lengths[:, None].to(words.device)


def _mean(pattern: Tensor, queries: Tensor) -> Tensor:
    """``[head trajectory point]``: the mean over some of the queries of ``[trajectory head query point]``."""
    weights = queries.to(pattern) / queries.sum(1, keepdim=True).to(pattern)
    return torch.einsum("thqp,tq->htp", pattern, weights).cpu()
