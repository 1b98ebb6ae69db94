"""Directions in activation space, and how far tensors lie apart."""

import torch
from jaxtyping import Float
from torch import Tensor


def angle(u: Float[Tensor, " d"], v: Float[Tensor, " d"]) -> float:
    """The angle between two directions, in degrees from 0 (aligned) to 180 (opposed), worked out in float64.

    Raises:
        ValueError: a vector is zero and has no direction.
    """
    u, v = u.double(), v.double()
    lengths = u.norm() * v.norm()
    if lengths == 0:
        raise ValueError("angle: a zero vector has no direction.")
    return float(torch.rad2deg(torch.acos((u @ v / lengths).clamp(-1, 1))))


def relative_error(found: Tensor, expected: Tensor) -> Float[Tensor, ""]:
    """The greatest difference between two tensors, as a share of the greatest value that is expected."""
    return (found - expected).abs().max() / expected.abs().max()
