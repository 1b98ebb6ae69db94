"""Least-squares fits of many targets on the same few features, and correlations."""

from dataclasses import dataclass

import scipy
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

    Features must be few and not collinear: the fit is made from the normal equations. It is made in float64, whatever
    the arguments are in: a float32 sum over 10,000 units is off by up to 1.5e-4 of R² on some processors.

    Args:
        features: in any type.
        targets: a target whose variation is within the rounding of their own type does not vary.

    Returns:
        The fit in float64, on the targets' device.

    Raises:
        ValueError: there are no more units than coefficients, so that any target would fit.
    """
    units, n_features = features.shape
    if units <= n_features + 1:
        raise ValueError(
            f"linear_fit: {units} units cannot test a fit of {n_features + 1} coefficients. Give more units."
        )
    x, y = features.to(targets.device).double(), targets.double()
    x_mean, y_mean = x.mean(0), y.mean(0)
    # Centred first: the fit is then of a few columns without an intercept.
    x, y = x - x_mean, y - y_mean
    products = x.T @ y
    slopes = torch.linalg.lstsq((x.T @ x).cpu(), products.cpu()).solution.to(y.device)
    # What the fit explains is slopes·(xᵀy) (the normal equations), so the many residuals need not be formed.
    total, explained = y.square().sum(0), (slopes * products).sum(0)
    rounding = units * (4 * torch.finfo(targets.dtype).eps * y_mean).square()
    r2 = torch.where(total > rounding, explained / total, 0.0).clamp(0, 1)
    return LinearFit(slopes, y_mean - x_mean @ slopes, r2, (total / (units - 1)).sqrt())


def explained_variance(
    targets: Float[Tensor, "batch unit"], features: Float[Tensor, "#batch unit feature"]
) -> Float[Tensor, " batch"]:
    """R² of each target's least-squares fit on features of its own and a constant; 0 for a target that does not vary.

    Features may be collinear: what a fit explains is then made from the shortest slopes.
    """
    y = targets - targets.mean(1, keepdim=True)
    x = features - features.mean(1, keepdim=True)
    products = x.mT @ y[..., None]
    # What a fit explains is slopes·(xᵀy), by the normal equations.
    fitted = (products * (torch.linalg.pinv(x.mT @ x, hermitian=True) @ products)).sum((1, 2))
    total = y.square().sum(1)
    return torch.where(total > 1e-12, fitted / total.clamp(min=1e-12), 0.0).clamp(0, 1)


def correlation(
    x: Float[Tensor, "*#batch unit"], y: Float[Tensor, "*#batch unit"], constant: float | None = None
) -> Float[Tensor, "*batch"]:
    """Pearson's correlation along the last axis, in float64.

    Args:
        x: one side, a number for each unit.
        y: the other side.
        constant: what the correlation is taken to be where a side does not vary; ``None`` refuses such sides.

    Raises:
        ValueError: there are fewer than 3 units, or a side does not vary.
    """
    _check_units(x, y, constant)
    varies = _varies(x) & _varies(y)
    x, y = (side.double() - side.double().mean(-1, keepdim=True) for side in (x, y))
    sizes = x.norm(dim=-1) * y.norm(dim=-1)
    return torch.where(varies, (x * y).sum(-1) / sizes.clamp(min=1e-300), constant or 0.0).clamp(-1, 1)


def rank_correlation(
    x: Float[Tensor, "*#batch unit"], y: Float[Tensor, "*#batch unit"], constant: float | None = None
) -> Float[Tensor, "*batch"]:
    """Spearman's correlation along the last axis: that of the ranks, where equal values share their mean rank.

    The arguments and errors are those of :func:`correlation`.
    """
    _check_units(x, y, constant)
    x_ranks, y_ranks = (
        torch.as_tensor(scipy.stats.rankdata(side.double().cpu().numpy(), axis=-1)).to(side.device) for side in (x, y)
    )
    return correlation(x_ranks, y_ranks, constant)


def _check_units(x: Tensor, y: Tensor, constant: float | None) -> None:
    units, varying = x.shape[-1], [bool(_varies(side).all()) for side in (x, y)]
    if units < 3 or (constant is None and not all(varying)):
        raise ValueError(f"correlation: {units} units, varying: {varying}. Give three or more that vary.")


def _varies(side: Tensor) -> Tensor:
    return (side != side[..., :1]).any(-1)
