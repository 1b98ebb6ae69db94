"""What a claim's body records must be: numbers, one per unit, of the kind that its expectation takes."""

from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from mechtests.claiming.expectations import ClaimError, Expectation, Rate

Units = Float[np.ndarray, " unit"]


def numbers(values: Any) -> Units:
    """``values`` as one finite number per unit, in float64.

    Raises:
        ClaimError: they have another shape, or one of them is NaN or infinite.
    """
    array = _array(values)
    if array.ndim != 1:
        raise ClaimError(f"expected one value per unit, a list or 1-D tensor; found the shape {array.shape}.")
    if not np.isfinite(array).all():
        where = int(np.flatnonzero(~np.isfinite(array))[0])
        raise ClaimError(
            f"unit {where} of {len(array)} was measured as {array[where]}. "
            "Leave such units out of the population, or use evidence.undefined(reason)."
        )
    return array


def one_number(value: Any) -> float:
    """``value`` as one finite number.

    Raises:
        ClaimError: it is no number, more than one, NaN or infinite.
    """
    array = _array(value)
    if array.size != 1:
        raise ClaimError(
            f"expected one number, found {array.size} of the shape {array.shape}. Reduce them to the one the claim "
            "is about; or, where each is a unit, expect a Rate or a Mean and write evidence.observe or evidence.census."
        )
    return float(numbers(array.reshape(1))[0])


def units_of(expect: Expectation, values: Any) -> Units:
    """``values`` as :func:`numbers`, which for a rate are 0 and 1.

    Raises:
        ClaimError: as :func:`numbers`, or a unit of a rate is neither true nor false.
    """
    array = numbers(values)
    if isinstance(expect, Rate) and not np.isin(array, (0.0, 1.0)).all():
        raise ClaimError("a Rate is a share of units: observe true or false for each, or expect a Mean.")
    return array


def margins_of(expect: Expectation, margin: Any, values: Units) -> Units:
    """By how much each unit of a rate is true, in float64.

    Raises:
        ClaimError: the claim expects no rate, or a margin is not one finite number per unit of the unit's sign.
    """
    if not isinstance(expect, Rate):
        kind = type(expect).__name__
        raise ClaimError(f"a margin says by how much a unit of a Rate is true, and this claim expects {kind}.")
    array = _array(margin)
    if array.shape != values.shape:
        raise ClaimError(
            f"evidence.observe was given {len(values)} values and margins of the shape {array.shape}. "
            "Give one margin per unit, a list or 1-D tensor."
        )
    if not np.isfinite(array).all():
        unit = int(np.flatnonzero(~np.isfinite(array))[0])
        raise ClaimError(f"the margin of unit {unit} of {len(array)} is {array[unit]}. Expected a finite number.")
    if (wrong := np.flatnonzero(np.where(values == 1, array < 0, array > 0))).size:
        unit = int(wrong[0])
        raise ClaimError(
            f"unit {unit} of {len(array)} is {bool(values[unit])} and its margin is {array[unit]:g}. "
            "A margin is above zero where the unit is true and below zero where it is not."
        )
    return array


def must_be_family(family: object) -> None:
    """Refuse what no inputs can be drawn from.

    Raises:
        ClaimError: ``family`` has no method ``sample``, or is a class that parameters are yet to be given to.
    """
    if isinstance(family, type):
        raise ClaimError(
            f"evidence.batches({family.__name__}): expected a family of inputs, found its class. "
            f"Write {family.__name__}(…) with its parameters."
        )
    if not callable(getattr(family, "sample", None)):
        raise ClaimError(
            f"evidence.batches({family!r:.40}): expected a family of inputs, such as RepeatedTokens(d_vocab=64), found "
            f"a {type(family).__name__}. Of inputs at hand, write evidence.observe(values), or evidence.census(values) "
            "where they are all there are."
        )


def must_expect(expect: Expectation, *kinds: type[Expectation]) -> None:
    """Refuse a body that records something else than its claim expects.

    Raises:
        ClaimError: ``expect`` is of none of ``kinds``.
    """
    if not isinstance(expect, kinds):
        wanted = " or ".join(kind.__name__ for kind in kinds)
        raise ClaimError(
            f"this claim expects {type(expect).__name__}({expect}), and its body recorded a {wanted}. "
            "Change the expectation in the decorator, or the call in the body."
        )


def _array(values: Any) -> np.ndarray:
    if isinstance(values, Tensor):
        return values.detach().cpu().double().numpy()
    try:
        return np.asarray(values if np.iterable(values) else float(values), dtype=np.float64)
    except (TypeError, ValueError):
        raise ClaimError(f"expected numbers, true or false; found {values!r:.80}.") from None
