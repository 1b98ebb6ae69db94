"""The rule that makes a verdict of an estimate and its controls."""

import math
from collections.abc import Sequence
from enum import Enum

from mechtests.claiming.claim import Claim
from mechtests.claiming.estimate import Estimate
from mechtests.claiming.expectations import Expectation
from mechtests.judging.control_result import ControlResult


class Verdict(Enum):
    """What a claim comes to on one checkpoint, in the order in which tables list verdicts."""

    SUPPORTED = "supported"
    REFUTED = "refuted"
    INCONCLUSIVE = "inconclusive"
    VACUOUS = "vacuous"
    UNTESTED = "untested"

    @property
    def symbol(self) -> str:
        """One character for tables, so that no verdict is shown by colour alone."""
        return _SYMBOLS[self]

    def is_worse_than(self, other: "Verdict") -> bool:
        """Whether this verdict is further from supported than ``other``; never where one of them is ``UNTESTED``."""
        if Verdict.UNTESTED in (self, other):
            return False
        return _WORST_TO_BEST.index(self) < _WORST_TO_BEST.index(other)


_WORST_TO_BEST = (Verdict.REFUTED, Verdict.VACUOUS, Verdict.INCONCLUSIVE, Verdict.SUPPORTED)

_SYMBOLS = {
    Verdict.SUPPORTED: "✓",
    Verdict.REFUTED: "✗",
    Verdict.INCONCLUSIVE: "?",
    Verdict.VACUOUS: "○",
    Verdict.UNTESTED: "-",
}


class Support(Enum):
    """What stands behind a supported claim besides its region."""

    SAMPLED = "e-value and controls"
    """A value with an interval, and more than its controls."""
    RANK = "rank among controls"
    """An exact value, beyond all draws of controls that are a sample."""
    EXACT = "exact"
    """An exact value, beyond all the alternatives there are."""
    TRAINING_RUNS = "training runs"
    """Verdicts on other claims, on several checkpoints."""
    IDENTITY = "identity"
    """True of the architecture, whatever the weights."""
    NO_CONTROL = "no control"
    """Nothing: the claim names no control, or its quantity exists on no draw of any."""


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
        if control.clear is False:
            by = f" but {control.margin:g}" if control.margin else ""
            return (
                Verdict.VACUOUS,
                f"draw {len(control.values)} of {control.planned} of the control “{control.name}” does as much{by}",
            )
    return Verdict.SUPPORTED, None


def support_of(claim: Claim, estimate: Estimate, controls: Sequence[ControlResult], rests_on_others: bool) -> Support:
    """What stands behind the support of a claim whose estimate lies in its region and which its controls do not reach.

    Args:
        claim: the claim.
        estimate: what was observed.
        controls: those that it was compared with.
        rests_on_others: whether the body asked for the verdicts on other claims.
    """
    if claim.evidence_kind == "identity":
        return Support.IDENTITY
    clear = [control for control in controls if control.clear]
    if rests_on_others:
        return Support.TRAINING_RUNS
    if not clear:
        return Support.NO_CONTROL
    if estimate.interval is not None or estimate.p_value is not None:
        return Support.SAMPLED
    return Support.RANK if any(control.redrawn for control in clear) else Support.EXACT


def combined_e_value(
    claim: Claim, estimate: Estimate, controls: Sequence[ControlResult], support: Support | None, rests_on_others: bool
) -> float | None:
    """E-value against "outside the region, or no more than one of the controls": the least of theirs.

    ``None`` where there is no chance in it: an exact value beside all alternatives, an identity, or verdicts on other
    claims. 0 where the claim is not supported, or was compared with nothing.
    """
    sampled = estimate.interval is not None or estimate.p_value is not None
    redrawn = any(control.draws is not None for control in claim.controls)
    if claim.evidence_kind == "identity" or rests_on_others or not (sampled or redrawn):
        return None
    if support is None or support is Support.NO_CONTROL:
        return 0.0
    region = math.inf if estimate.e_value is None else estimate.e_value
    return min(region, *(control.e_value for control in controls if control.clear is not None))


def in_region(expect: Expectation, estimate: Estimate) -> bool | None:
    """Whether an estimate lies wholly in the region, wholly outside it, or neither (``None``)."""
    if estimate.p_value is not None:
        return expect.contains(estimate.p_value)
    return expect.holds(estimate.low, estimate.high)
