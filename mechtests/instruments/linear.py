"""Least-squares fits of many targets on the same few features."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, eq=False)
class LinearFit:
    """Fits ``target ≈ features @ slopes + intercept``, one for each target.

    Attributes:
        slopes: change of the target per unit of each feature.
        intercept: value of the target where every feature is 0.
        r2: share of the target's variance explained, at most 1; 0 for a target that does not vary.
        spread: standard deviation of the target; that of the fit is ``sqrt(r2) * spread``.
    """

    slopes: Float[Tensor, "feature target"]
    intercept: Float[Tensor, " target"]
    r2: Float[Tensor, " target"]
    spread: Float[Tensor, " target"]

    def predict(self, features: Float[Tensor, "unit feature"]) -> Float[Tensor, "unit target"]:
        """The fitted targets."""
        return features.to(self.slopes) @ self.slopes + self.intercept


def linear_fit(features: Float[Tensor, "unit feature"], targets: Float[Tensor, "unit target"]) -> LinearFit:
    """Ordinary least squares with an intercept, over all units.

    Features must be few and not collinear: the fit is made from the normal equations, which in float32 give R² to 1e-5.

    Raises:
        ValueError: there are no more units than coefficients, so that any target would fit.
    """
    units, n_features = features.shape
    if units <= n_features + 1:
        raise ValueError(
            f"linear_fit: {units} units cannot test a fit of {n_features + 1} coefficients. Give more units."
        )
    x = features.to(targets)
    x_mean = x.mean(0)
    y_mean = targets.mean(0)
    # Centred first: the fit is then of a few columns without an intercept, and keeps its precision in float32.
    x, y = x - x_mean, targets - y_mean
    products = x.T @ y
    slopes = torch.linalg.lstsq(x.T @ x, products).solution
    # What the fit explains is slopes·(xᵀy) (the normal equations), so the many residuals need not be formed.
    total, explained = y.square().sum(0), (slopes * products).sum(0)
    rounding = units * (4 * torch.finfo(y.dtype).eps * y_mean).square()
    r2 = torch.where(total > rounding, explained / total, 0.0).clamp(0, 1)
    return LinearFit(slopes, y_mean - x_mean @ slopes, r2, (total / (units - 1)).sqrt())


def correlation(x: Float[Tensor, " unit"], y: Float[Tensor, " unit"]) -> float:
    """Pearson's correlation.

    Raises:
        ValueError: there are fewer than 3 units, or one side does not vary.
    """
    varying = [bool((side != side[:1]).any()) for side in (x, y)]
    if len(x) < 3 or not all(varying):
        raise ValueError(f"correlation: {len(x)} units, varying: {varying}. Give three or more that vary.")
    return float(torch.corrcoef(torch.stack([x, y]))[0, 1])
