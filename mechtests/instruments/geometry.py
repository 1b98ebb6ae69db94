"""Directions in activation space."""

import torch
from jaxtyping import Float
from torch import Tensor


def angle(u: Float[Tensor, " d"], v: Float[Tensor, " d"]) -> float:
    """The angle between two directions, in degrees from 0 (aligned) to 180 (opposed).

    Raises:
        ValueError: a vector is zero and has no direction.
    """
    lengths = u.norm() * v.norm()
    if lengths == 0:
        raise ValueError("angle: a zero vector has no direction.")
    return float(torch.rad2deg(torch.acos((u @ v / lengths).clamp(-1, 1))))
