"""The logit lens on linear systems: what each decoder layer would write, at the position of the sign and elsewhere."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import pad

from claims.odeformer.inputs import EVALUATION, GROWTH, SIGN, decay, up_to_the_sign, with_equations
from mechtests import memoized
from mechtests.activations.capture import Inputs
from mechtests.families.ode import Trajectories
from mechtests.instruments import rank_correlation
from mechtests.systems import Odeformer

PAIRS = GROWTH.discovery(32)
"""Rising systems, of pairs on which heads, layers and a default token are looked for."""
JUDGED = GROWTH.evaluation(EVALUATION)
"""Others, of pairs on which claims judge."""


class Signs(NamedTuple):
    """What is predicted at the position of the sign; the first of each pair rises, the second falls.

    Attributes:
        tops: the likeliest token, by layer.
        plus, minus: the logits of the signs, less the mean over all tokens, by layer.
        gradients: rank correlation of each cross-attention head's attention with the points' size.
    """

    tops: Int[Tensor, "layer pair direction"]
    plus: Float[Tensor, "layer pair direction"]
    minus: Float[Tensor, "layer pair direction"]
    gradients: Float[Tensor, "head pair direction"]


@memoized
def signs(model: Odeformer, growth: Trajectories) -> Signs:
    """All of it, in one pass, for pairs of systems of which the rising ones are given."""
    inputs, layers = up_to_the_sign(model, growth), range(model.n_decoder_layers)
    patterns = [model.cross_attention_site(layer) for layer in layers]
    # All in one pass, so that the logit lens finds the residual stream in the cache.
    activations = model.activations(inputs, [*map(model.residual_site, layers), *patterns])
    at_sign = torch.cat([activations[site][:, :, SIGN].transpose(0, 1) for site in patterns]).cpu()
    size = torch.cat([one.rescaled().states[..., 0].abs() for one in (growth, decay(growth))])
    logits = torch.stack([layer[:, SIGN] for layer in by_layer(model, inputs)])
    centred = logits - logits.mean(-1, keepdim=True)
    plus, minus = (centred[..., model.vocabulary.id(sign)] for sign in "+-")
    rows = logits.argmax(-1), plus, minus, rank_correlation(at_sign, size, 0.0)
    return Signs(*(part.unflatten(1, (2, -1)).mT.contiguous() for part in rows))


def plus_layer(model: Odeformer) -> int:
    """The layer of the middle half at which '+' is most often the likeliest token, for rising and falling alike."""
    layers = model.n_decoder_layers
    plus = signs(model, PAIRS).tops == model.vocabulary.id("+")
    middle = range(layers // 4, max(layers * 3 // 4, layers // 4 + 1))
    return max(middle, key=lambda layer: float(plus[layer].all(-1).double().mean()))


def first_layer(tops: Int[Tensor, "layer *batch"], token: int) -> Int[Tensor, "*batch"]:
    """The first layer at which a token is the likeliest; as many as there are layers where it never is."""
    there = tops == token
    return torch.where(there.any(0), there.int().argmax(0), len(tops))


def by_layer(model: Odeformer, inputs: Inputs) -> Iterator[Float[Tensor, "trajectory token vocab"]]:
    """The logit lens, a layer at a time: all layers at once take a published model's vocabulary twelve times over."""
    for layer in range(model.n_decoder_layers):
        yield model.logit_lens(inputs, layers=[layer])[0].cpu()


class Predictions(NamedTuple):
    """What is predicted at each token of ``mul ± N… E… x_0 <EOS>``, and after its end.

    Attributes:
        tops: the likeliest token, by layer.
        right: the probability of the right token, by layer; meaningless after the end.
    """

    tops: Int[Tensor, "layer trajectory token"]
    right: Float[Tensor, "layer trajectory token"]

    def rises(self) -> Float[Tensor, "trajectory token"]:
        """By how much the right token gets likelier over the last quarter of the layers."""
        layers = len(self.right)
        return (self.right[-1] - self.right[layers - 1 - max(1, layers // 4)])[:, :-1]


@memoized
def predictions(model: Odeformer, growth: Trajectories) -> Predictions:
    """All of it, in one pass, for systems of which the second half is made to fall."""
    half = len(growth) // 2
    parts = [with_equations(model, part) for part in (growth[:half], decay(growth[half:]))]
    points, counts, tokens, lengths = (torch.cat(part) for part in zip(*parts, strict=True))
    # One more token, the end mark itself, so that what follows the end is predicted as well.
    inputs = points, counts, pad(tokens, (0, 1), value=model.vocabulary.end), lengths + 1
    model.activations(inputs, map(model.residual_site, range(model.n_decoder_layers)))  # one pass for all layers
    right = pad(inputs[2][:, 1:], (0, 1), value=model.vocabulary.end).cpu()
    tops, probabilities = [], []
    for logits in by_layer(model, inputs):
        tops.append(logits.argmax(-1))
        probabilities.append(logits.softmax(-1).gather(2, right[..., None])[..., 0])
    return Predictions(torch.stack(tops), torch.stack(probabilities))


def repeats(model: Odeformer, layer: int, trajectories: Trajectories) -> Bool[Tensor, "trajectory token"]:
    """Whether the likeliest token is the previous one."""
    inputs = with_equations(model, trajectories)
    return (model.logit_lens(inputs, layers=[layer])[0].argmax(-1) == inputs[2].to(model.device)).cpu()
