"""What comparing a model with one of its controls comes to."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mechtests.claiming.claim import Control
from mechtests.claiming.estimate import Estimate
from mechtests.claiming.expectations import Average, Expectation
from mechtests.inference import Interval, control_e_value, vacuity_error
from mechtests.judging.evidence import Evidence
from mechtests.judging.pairing import PairedUnits

ALLOWED = 0
"""How many draws of a control may do as much as the model: none, so that the first one settles it."""


@dataclass(frozen=True)
class Draw:
    """One draw of a control beside the model.

    Attributes:
        value: the claim's quantity on it; ``None`` where it does not exist.
        reached: whether the model is not shown to do more than it by the control's margin.
        ahead: by how much the model does more, in the claimed direction; ``None`` where the quantity does not exist, or
            the region has two ends.
        interval: where the true difference lies; ``None`` where it is exact.
    """

    value: float | None
    reached: bool = False
    ahead: float | None = None
    interval: Interval | None = None


UNDEFINED = Draw(None)


@dataclass(frozen=True)
class ControlResult:
    """One control of one claim: its draws, and whether the model does more than all of them.

    Attributes:
        name: the control's name.
        values: the estimate of each draw that was made; ``None`` where the claim's quantity does not exist on it.
        reached: how many of them do as much as the model: drawing ends with the first.
        planned: how many draws there are at most.
        redrawn: whether the draws are a sample; else they are all the alternatives there are.
        alpha: the error rate of each comparison; 0 where values are exact.
        margin: by how much the model must do more.
        closest: the draw to which the model is closest, counted from 0; ``None`` where no draw has a value.
        ahead: by how much the model does more than that one, in the claimed direction.
        interval: where that difference truly lies; ``None`` where it is exact.
    """

    name: str
    values: tuple[float | None, ...]
    reached: int
    planned: int
    redrawn: bool = True
    alpha: float = 0.0
    margin: float = 0.0
    closest: int | None = None
    ahead: float | None = None
    interval: Interval | None = None

    @property
    def undefined(self) -> int:
        """How many draws have no value."""
        return sum(value is None for value in self.values)

    @property
    def clear(self) -> bool | None:
        """Whether the model does more than the control; ``None`` where no draw has a value, so nothing was compared."""
        return None if self.undefined == len(self.values) else self.reached <= ALLOWED

    @property
    def error(self) -> float:
        """How often a model that is one more draw of the control passes for more than that.

        Where the draws are all the alternatives there are: how often a model passes that does no more than one of them.
        """
        return vacuity_error(self.planned, ALLOWED, self.alpha) if self.redrawn else self.alpha

    @property
    def e_value(self) -> float:
        """E-value for "the model does more than the control"; 0 where nothing was compared."""
        if not self.clear:
            return 0.0
        if self.redrawn:
            return control_e_value(self.reached, self.planned, ALLOWED, self.alpha)
        return 1 / self.alpha if self.alpha else math.inf


def control_result(control: Control, planned: int, draws: Sequence[Draw], alpha: float) -> ControlResult:
    """The result of the draws that were made of a control, of ``planned``, at an error rate of ``alpha`` each."""
    known = [(draw.ahead, number) for number, draw in enumerate(draws) if draw.ahead is not None]
    closest = min(known)[1] if known else None
    nearest = UNDEFINED if closest is None else draws[closest]
    return ControlResult(
        control.name,
        tuple(draw.value for draw in draws),
        sum(draw.reached for draw in draws),
        planned,
        control.draws is not None,
        alpha,
        control.margin,
        closest,
        nearest.ahead,
        nearest.interval,
    )


def pairing(expect: Expectation, model: Evidence, margin: float) -> PairedUnits | None:
    """What compares draws of a control with the model unit by unit; ``None`` where there are no units to pair.

    A region with two ends asks whether the model is nearer to its middle, and differences do not tell.
    """
    if not isinstance(expect, Average) or expect.direction == "within" or not len(model.values):
        return None
    return PairedUnits(expect, model.values, margin, model.alpha)


def compared(expect: Expectation, model: Estimate, draw: Estimate, pair: PairedUnits | None, margin: float) -> Draw:
    """One draw of a control beside the model.

    Without pairs a draw is reached when its interval, or exact value, comes as far as the model's less the margin.
    """
    if pair is not None and pair.units:
        return Draw(draw.value, not pair.does_more, pair.difference, pair.interval)
    if expect.direction == "within":
        centre = (expect.lower + expect.upper) / 2
        nearest = 0.0 if draw.low <= centre <= draw.high else min(abs(draw.low - centre), abs(draw.high - centre))
        farthest = max(abs(model.low - centre), abs(model.high - centre))
        return Draw(draw.value, nearest <= farthest)
    if expect.direction == "high":
        low, ahead, high = model.low - draw.high, model.value - draw.value, model.high - draw.low
    else:
        low, ahead, high = draw.low - model.high, draw.value - model.value, draw.high - model.low
    exact = model.interval is None and draw.interval is None
    return Draw(draw.value, low <= margin, ahead, None if exact else Interval(low, high))


def could_be_clear(control: ControlResult) -> bool:
    """Whether the model might yet stand clear of ``control`` if it were sampled further."""
    return control.clear is not False or (control.ahead is not None and control.ahead > control.margin)
