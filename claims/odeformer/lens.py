"""The logit lens on linear systems: what each decoder layer would write, where the sign stands and elsewhere."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import pad

from claims.odeformer.attended import CROSS
from claims.odeformer.measures import forced, rank_correlation
from claims.odeformer.source import GROWTH, SLIGHT_GROWTH, decay, discovery, fresh
from mechtests import Edit, memoized
from mechtests.activations.capture import Inputs
from mechtests.families.ode import Trajectories
from mechtests.systems import Odeformer

SIGN, DIGITS = 1, (2, 3)
"""Where ``mul ± N… E… x_0`` has its sign, and where it has the digits and the exponent of its constant."""


class Signs(NamedTuple):
    """What is foretold at the place of the sign; the first of each pair rises, the second falls.

    Attributes:
        tops: the likeliest word, by layer.
        plus, minus: the logits of the signs, less the mean over all words, by layer.
        gradients: rank correlation of each cross-attention head's attention with the points' size.
    """

    tops: Int[Tensor, "layer pair direction"]
    plus: Float[Tensor, "layer pair direction"]
    minus: Float[Tensor, "layer pair direction"]
    gradients: Float[Tensor, "head pair direction"]


@memoized
def discovered_signs(model: Odeformer) -> Signs:
    """On pairs on which heads and layers are looked for."""
    return signs(model, discovery(GROWTH, 32))


@memoized
def judged_signs(model: Odeformer) -> Signs:
    """On pairs on which claims judge."""
    return signs(model, fresh(GROWTH))


def pairs(model: Odeformer, growth: Trajectories) -> Inputs:
    """Rising systems, then the same falling, with the equations' words before the sign."""
    both = (forced(model, one, SIGN + 1) for one in (growth, decay(growth)))
    return tuple(torch.cat(part) for part in zip(*both, strict=True))


def signs(model: Odeformer, growth: Trajectories) -> Signs:
    """All of it in one pass."""
    inputs, config = pairs(model, growth), model.module.config
    patterns = [CROSS.format(layer, "pattern") for layer in range(config.n_dec_layers)]
    residuals = [f"decoder.layer_norm2.{layer}" for layer in range(config.n_dec_layers)]
    model.activations(inputs, [*residuals, *patterns])  # kept, so that what follows makes no pass
    found = model.activations(inputs, patterns)
    at_sign = torch.cat([found[site][:, :, SIGN].transpose(0, 1) for site in patterns]).cpu()
    size = torch.cat([one.rescaled().states[..., 0].abs() for one in (growth, decay(growth))])
    logits = torch.stack([layer[:, SIGN] for layer in by_layer(model, inputs)])
    centred = logits - logits.mean(-1, keepdim=True)
    plus, minus = (centred[..., model.vocabulary.id(sign)] for sign in "+-")
    told = logits.argmax(-1), plus, minus, rank_correlation(at_sign, size)
    return Signs(*(part.unflatten(1, (2, -1)).mT.contiguous() for part in told))


def by_layer(model: Odeformer, inputs: Inputs, *edits: Edit) -> Iterator[Float[Tensor, "trajectory word vocab"]]:
    """The logit lens, a layer at a time: all layers at once take a published model's vocabulary twelve times over."""
    for layer in range(model.module.config.n_dec_layers):
        yield model.logit_lens(inputs, None, *edits, layers=[layer])[0].cpu()


class Words(NamedTuple):
    """What is foretold at each word of ``mul ± N… E… x_0 <EOS>``, and after its end.

    Attributes:
        tops: the likeliest word, by layer.
        right: the probability of the right word, by layer; meaningless after the end.
        given: the word before.
    """

    tops: Int[Tensor, "layer trajectory word"]
    right: Float[Tensor, "layer trajectory word"]
    given: Int[Tensor, "trajectory word"]


@memoized
def judged_words(model: Odeformer) -> Words:
    """On systems on which claims judge: half of them rise."""
    return words(model, half_and_half(fresh(GROWTH)))


@memoized
def discovered_words(model: Odeformer) -> Words:
    """On systems on which a default word is looked for."""
    return words(model, half_and_half(discovery(GROWTH, 32)))


@memoized
def slight_words(model: Odeformer) -> Words:
    """On systems whose constant is of the order of 1e-4."""
    return words(model, half_and_half(fresh(SLIGHT_GROWTH)))


def half_and_half(growth: Trajectories) -> tuple[Trajectories, Trajectories]:
    """The first half as they are, the second falling."""
    return growth[: len(growth) // 2], decay(growth[len(growth) // 2 :])


def words(model: Odeformer, parts: tuple[Trajectories, ...]) -> Words:
    """All of it in one pass."""
    every = [forced(model, part) for part in parts]
    points, counts, given, lengths = (torch.cat(part) for part in zip(*every, strict=True))
    # One more word, the end mark itself, so that what follows the end is foretold as well.
    given = pad(given, (0, 1), value=model.vocabulary.end)
    inputs = points, counts, given, lengths + 1
    residuals = [f"decoder.layer_norm2.{layer}" for layer in range(model.module.config.n_dec_layers)]
    model.activations(inputs, residuals)
    right = pad(given[:, 1:], (0, 1), value=model.vocabulary.end).cpu()
    tops, probabilities = [], []
    for logits in by_layer(model, inputs):
        tops.append(logits.argmax(-1))
        probabilities.append(logits.softmax(-1).gather(2, right[..., None])[..., 0])
    return Words(torch.stack(tops), torch.stack(probabilities), given.cpu())
