"""What the transformers of this repository are built of: named sites, and one projection for all heads of a layer."""

from jaxtyping import Float
from torch import Tensor, nn


class Site(nn.Identity):
    """A named place in the forward pass: what flows through it can be read or replaced by a hook."""


def per_head(
    resid: Float[Tensor, "batch pos model"],
    weight: Float[Tensor, "head model d_head"],
    bias: Float[Tensor, "head d_head"] | None = None,
) -> Float[Tensor, "batch head pos d_head"]:
    """``resid @ weight[head] + bias[head]`` of every head."""
    # One product with the heads' matrices side by side is several times faster than one product per head.
    projected = resid @ weight.transpose(0, 1).flatten(1)
    if bias is not None:
        projected = projected + bias.flatten()
    return projected.unflatten(-1, (weight.shape[0], weight.shape[2])).transpose(1, 2)
