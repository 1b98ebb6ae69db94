"""The tensor networks of the lecture as einsums: one call per diagram, one letter per leg.

Source: X. Poncini, "Transformer mechanistic interpretability" (2024), after J. K. Taylor, "An introduction to graphical
tensor notation for mechanistic interpretability" (2024). Legs: ``i``, ``j``, ``k`` and ``q`` are positions of the
context, ``h`` heads, ``d``, ``e`` and ``f`` a head's dimensions, the other letters the model's. Weights are named as in
:class:`~mechtests.instruments.heads.Heads`; they are those of one head where no head axis is named.

These are written to be read beside the diagrams; :mod:`mechtests.instruments.paths` computes the same faster.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, einsum

Matrix = Float[Tensor, "model d_head"]
Pattern = Float[Tensor, "query key"]
Stream = Float[Tensor, "pos model"]


def mlp(
    x: Float[Tensor, "pos in"],
    W_up: Float[Tensor, "in hidden"],
    b_up: Float[Tensor, " hidden"],
    W_down: Float[Tensor, "hidden out"],
    b_down: Float[Tensor, " out"],
    nonlinearity: Callable[[Tensor], Tensor],
) -> Float[Tensor, "pos out"]:
    """``σ(σ(x W↑ + b↑) W↓ + b↓)``, the lecture's "MLP": it has the non-linearity after both layers.

    An affine map is one contraction when the input has a leg of ones beside it.
    """

    def affine(inputs: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        beside = torch.cat([inputs, inputs.new_ones(len(inputs), 1)], 1)
        return einsum("p i, i j -> p j", beside, torch.cat([weight, bias.unsqueeze(0)]))

    return nonlinearity(affine(nonlinearity(affine(x, W_up, b_up)), W_down, b_down))


def attention(x: Stream, W_Q: Matrix, W_K: Matrix) -> Pattern:
    """``A(x) = softmax^row(Mask(x W_Q W_Kᵀ xᵀ / sqrt(d_head)))``, where the mask puts -∞ on keys after the query."""
    scores = einsum("q m, m d, n d, k n -> q k", x, W_Q, W_K, x) / W_Q.shape[1] ** 0.5
    return scores.masked_fill(torch.ones_like(scores).triu(1).bool(), float("-inf")).softmax(-1)


def head(x: Stream, pattern: Pattern, W_V: Matrix, W_O: Float[Tensor, "d_head model"]) -> Stream:
    """``h(x) = A(x) x W_V W_O``: the pattern acts on the context's leg, the weights on the model's."""
    return einsum("q k, k m, m d, d o -> q o", pattern, x, W_V, W_O)


def multi_head(
    x: Stream,
    patterns: Float[Tensor, "head query key"],
    W_V: Float[Tensor, "head model d_head"],
    W_O: Float[Tensor, "head d_head model"],
) -> Stream:
    """``Σ_h A^h(x) x W_V^h W_O^h``: the sum over heads is one more contracted leg."""
    return einsum("h q k, k m, h m d, h d o -> q o", patterns, x, W_V, W_O)


def no_composition(x: Stream, W_Q: Matrix, W_K: Matrix) -> Pattern:
    """``x W_Q W_Kᵀ xᵀ / sqrt(d_head)``: the first term of a layer-1 head's scores."""
    return einsum("q m, m d, n d, k n -> q k", x, W_Q, W_K, x) / W_Q.shape[1] ** 0.5


def q_composition(
    x: Stream, W_Q: Matrix, W_K: Matrix, earlier: Pattern, W_V: Matrix, W_O: Float[Tensor, "d_head model"]
) -> Pattern:
    """``A^p x W_V^p W_O^p · W_Q W_Kᵀ xᵀ / sqrt(d_head)``: the queries come through the earlier head ``p``."""
    scores = einsum("q j, j a, a e, e m, m d, n d, k n -> q k", earlier, x, W_V, W_O, W_Q, W_K, x)
    return scores / W_Q.shape[1] ** 0.5


def k_composition(
    x: Stream, W_Q: Matrix, W_K: Matrix, earlier: Pattern, W_V: Matrix, W_O: Float[Tensor, "d_head model"]
) -> Pattern:
    """``x W_Q · (A^p x W_V^p W_O^p W_K)ᵀ / sqrt(d_head)``: the keys come through the earlier head ``p``."""
    scores = einsum("q m, m d, n d, e n, a e, j a, k j -> q k", x, W_Q, W_K, W_O, W_V, x, earlier)
    return scores / W_Q.shape[1] ** 0.5


def qk_composition(
    x: Stream, W_Q: Matrix, W_K: Matrix, earlier: Pattern, W_V: Matrix, W_O: Float[Tensor, "d_head model"]
) -> Pattern:
    """``A^p x W_V^p W_O^p W_Q · (A^p x W_V^p W_O^p W_K)ᵀ / sqrt(d_head)``: both come through the earlier head ``p``."""
    scores = einsum(
        "q i, i b, b f, f m, m d, n d, e n, a e, j a, k j -> q k",
        *(earlier, x, W_V, W_O, W_Q, W_K, W_O, W_V, x, earlier),
    )
    return scores / W_Q.shape[1] ** 0.5
