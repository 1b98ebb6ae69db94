"""The rule that makes a verdict of an estimate and its controls."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

from mechtests.claiming.expectations import Direction, Expectation
from mechtests.judging.evidence import Estimate

CONTROL_P = 0.05
"""A claim stands clear of a redrawn control at this rank p-value or below (design note ``docs/design/verdicts.md``)."""


class Verdict(Enum):
    """What a claim comes to on one checkpoint."""

    SUPPORTED = "supported"
    REFUTED = "refuted"
    INCONCLUSIVE = "inconclusive"
    VACUOUS = "vacuous"
    UNTESTED = "untested"


@dataclass(frozen=True)
class ControlResult:
    """One control of one claim: its draws' estimates, and whether the model's stands clear of them.

    Attributes:
        name: the control's name.
        values: the estimate of each draw; ``None`` where the claim's quantity does not exist on it.
        reached: how many draws come as far in the claimed direction as the model does.
        p_value: rank p-value ``(1 + reached) / (1 + draws)``; ``None`` where every alternative was seen.
        clear: whether the model stands clear of the control.
    """

    name: str
    values: tuple[float | None, ...]
    reached: int
    p_value: float | None
    clear: bool


def control_result(
    name: str, expect: Expectation, model: Estimate, draws: Sequence[Estimate | None], redrawn: bool
) -> ControlResult:
    """Whether ``model`` stands clear of a control's ``draws`` in the claimed direction.

    A draw is reached when its interval, or exact value, comes as far as the model's: they overlap, or it lies beyond.
    A redrawn control (untrained twins, random sets) is a sample, and the model is clear at rank p ≤ 0.05. Where the
    draws are all the alternatives there are (the other heads), none of them may be reached.
    """
    reached = sum(draw is not None and _reaches(draw, model, expect) for draw in draws)
    p_value = (1 + reached) / (1 + len(draws)) if redrawn else None
    clear = reached == 0 if p_value is None else p_value <= CONTROL_P
    values = tuple(None if draw is None else draw.value for draw in draws)
    return ControlResult(name, values, reached, p_value, clear)


def could_be_clear(control: ControlResult, expect: Expectation, model: Estimate) -> bool:
    """Whether the model would stand clear of ``control`` if more units made every interval as narrow as its value."""
    draws = [None if value is None else Estimate(value, None, model.units) for value in control.values]
    exact = replace(model, interval=None)
    return control_result(control.name, expect, exact, draws, redrawn=control.p_value is not None).clear


def decide(
    expect: Expectation, estimate: Estimate | None, controls: Sequence[ControlResult], undefined: str | None = None
) -> tuple[Verdict, str | None]:
    """The verdict on one claim, and the reason for it where it is not plainly the region's."""
    if estimate is None:
        return Verdict.VACUOUS, f"there is nothing to measure: {undefined}"
    inside = in_region(expect, estimate)
    if inside is None:
        return Verdict.INCONCLUSIVE, f"the interval still crosses the region's edge after {estimate.units} units"
    if not inside:
        return Verdict.REFUTED, None
    for control in controls:
        if not control.clear:
            return (
                Verdict.VACUOUS,
                f"{control.reached} of {len(control.values)} draws of the control “{control.name}” do as much",
            )
    return Verdict.SUPPORTED, None


def in_region(expect: Expectation, estimate: Estimate) -> bool | None:
    """Whether an estimate lies wholly in the region, wholly outside it, or neither (``None``)."""
    if estimate.p_value is not None:
        return expect.contains(estimate.p_value)
    return expect.holds(estimate.low, estimate.high)


def _reaches(draw: Estimate, model: Estimate, expect: Expectation) -> bool:
    direction: Direction = expect.direction
    if direction == "high":
        return draw.high >= model.low
    if direction == "low":
        return draw.low <= model.high
    centre = (expect.lower + expect.upper) / 2
    nearest = 0.0 if draw.low <= centre <= draw.high else min(abs(draw.low - centre), abs(draw.high - centre))
    farthest = max(abs(model.low - centre), abs(model.high - centre))
    return nearest <= farthest
