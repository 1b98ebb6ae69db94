"""Claims: falsifiable statements with a source, a region and controls, written down before the data is seen."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, TypeVar

EvidenceKind = Literal["correlational", "causal", "structural", "behavioural", "representational"]
Direction = Literal["high", "low", "within"]

_EVIDENCE_KINDS = ("correlational", "causal", "structural", "behavioural", "representational")
_ID = re.compile(r"[a-z0-9-]+/[a-z0-9-]+/[a-z0-9-]+")
_ATTRIBUTE = "__mechtests_claim__"

F = TypeVar("F", bound=Callable[..., None])


class ClaimError(Exception):
    """A claim that is written wrongly: what was found, what was expected, what to write instead."""


@dataclass(frozen=True)
class Source:
    """Where a claim comes from.

    Attributes:
        title: the work's title.
        authors: who wrote it, or an empty string.
        year: when, or ``None``.
        section: the part of the work that makes the claim.
    """

    title: str
    authors: str = ""
    year: int | None = None
    at: str = ""

    def section(self, name: str) -> "Source":
        """The same work, at the section called ``name``."""
        return replace(self, at=name)

    def __str__(self) -> str:
        return f"{self.title}, “{self.at}”" if self.at else self.title


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """What is measured, and the region in which its value must lie for the claim to hold.

    Attributes:
        at_least, above: the region's lower end, closed or open.
        at_most, below: the region's upper end, closed or open.
        alpha: the claim's own error rate, for units too dear for the run's; ``None`` takes the run's.

    Raises:
        ClaimError: no end is given, both forms of one end are given, or the region is empty.
    """

    kind: ClassVar[str]
    sampled: ClassVar[bool] = False
    at_least: float | None = None
    at_most: float | None = None
    above: float | None = None
    below: float | None = None
    alpha: float | None = None

    def __post_init__(self) -> None:
        name = type(self).__name__
        if all(end is None for end in (self.at_least, self.at_most, self.above, self.below)):
            raise ClaimError(
                f"{name}() has no region, so nothing could refute it. Give an end, as in {name}(at_least=0.9)."
            )
        if None not in (self.at_least, self.above) or None not in (self.at_most, self.below):
            raise ClaimError(
                f"{name}{self.ends()} gives one end of the region twice. Keep the open or the closed form."
            )
        for end, value in self.ends().items():
            if not math.isfinite(value):
                raise ClaimError(f"{name}({end}={value}): expected a number. Leave out an end that limits nothing.")
            object.__setattr__(self, end, _plain(value))
        one_value = self.at_least is not None and self.at_least == self.at_most
        if not (self.lower < self.upper or one_value):
            raise ClaimError(f"{name}{self.ends()}: the region is empty, its lower end is not below its upper end.")
        if self.alpha is not None and not 0 < self.alpha < 1:
            raise ClaimError(f"{name}(alpha={self.alpha}): expected an error rate between 0 and 1, such as 0.05.")

    @property
    def lower(self) -> float:
        return next((end for end in (self.at_least, self.above) if end is not None), -math.inf)

    @property
    def upper(self) -> float:
        return next((end for end in (self.at_most, self.below) if end is not None), math.inf)

    @property
    def direction(self) -> Direction:
        """Which way an estimate must go to support the claim; ``within`` where the region has two ends."""
        if math.isinf(self.upper):
            return "high"
        return "low" if math.isinf(self.lower) else "within"

    def contains(self, value: float) -> bool:
        """Whether ``value`` lies in the region."""
        above = value > self.lower or value == self.at_least
        below = value < self.upper or value == self.at_most
        return above and below

    def holds(self, low: float, high: float) -> bool | None:
        """Whether the interval ``[low, high]`` lies in the region (true), outside it (false), or across its edge."""
        if self.contains(low) and self.contains(high):
            return True
        outside = high < self.lower or low > self.upper or (high == self.above) or (low == self.below)
        return False if outside else None

    def ends(self) -> dict[str, float]:
        """The ends of the region by the names they were given under."""
        given = {name: getattr(self, name) for name in ("at_least", "above", "at_most", "below")}
        return {name: end for name, end in given.items() if end is not None}

    def __str__(self) -> str:
        signs = {"at_least": "≥", "above": ">", "at_most": "≤", "below": "<"}
        return " and ".join(f"{signs[name]} {end:g}" for name, end in self.ends().items())


@dataclass(frozen=True, kw_only=True)
class Rate(Expectation):
    """The share of units for which something is so; one true or false a unit."""

    kind: ClassVar[str] = "rate"
    sampled: ClassVar[bool] = True


@dataclass(frozen=True, kw_only=True)
class Mean(Expectation):
    """The mean of one number a unit.

    Attributes:
        bounds: the least and greatest value a unit can have. Needed where units are sampled, not for a census.
    """

    kind: ClassVar[str] = "mean"
    sampled: ClassVar[bool] = True
    bounds: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.bounds is not None and not -math.inf < self.bounds[0] < self.bounds[1] < math.inf:
            raise ClaimError(
                f"{type(self).__name__}(bounds={self.bounds}): expected (low, high), two numbers with low below high."
            )


@dataclass(frozen=True, kw_only=True)
class Difference(Mean):
    """The mean of paired differences: one number a unit, the same unit measured in two ways."""

    kind: ClassVar[str] = "difference"


@dataclass(frozen=True, kw_only=True)
class Exact(Expectation):
    """One number that describes the checkpoint and is known without sampling error: an angle, an R² over a census."""

    kind: ClassVar[str] = "exact"


@dataclass(frozen=True, kw_only=True)
class Rank(Expectation):
    """The place of a named component among its rivals, 1 for the greatest score."""

    kind: ClassVar[str] = "rank"


@dataclass(frozen=True)
class Permutation(Expectation):
    """A statistic in the tail of its distribution under permutations of the columns.

    Attributes:
        p_at_most: the region: the greatest p-value for which the claim holds.
        tail: which tail is claimed.
    """

    kind: ClassVar[str] = "permutation"
    p_at_most: float = field(kw_only=True)
    tail: Literal["low", "high"] = field(kw_only=True)

    def __post_init__(self) -> None:
        if not 0 < self.p_at_most < 1:
            raise ClaimError(
                f"Permutation(p_at_most={self.p_at_most}): expected a p-value between 0 and 1, such as 0.001."
            )
        if self.tail not in ("low", "high"):
            raise ClaimError(f"Permutation(tail={self.tail!r}): expected 'low' or 'high'.")
        object.__setattr__(self, "at_most", self.p_at_most)
        super().__post_init__()

    @property
    def direction(self) -> Direction:
        return self.tail

    def __str__(self) -> str:
        return f"p ≤ {self.p_at_most:g}"


@dataclass(frozen=True)
class Monotone(Expectation):
    """A response that goes one way along a dose, a training step or a depth.

    The estimate is the net change in the claimed direction over the total variation: 1 where every step goes the
    claimed way, 0 where ups and downs cancel, -1 where every step goes the other way.

    Attributes:
        direction_claimed: ``increasing`` or ``decreasing``.
    """

    kind: ClassVar[str] = "monotone"
    direction_claimed: Literal["increasing", "decreasing"]

    def __post_init__(self) -> None:
        if self.direction_claimed not in ("increasing", "decreasing"):
            raise ClaimError(f"Monotone({self.direction_claimed!r}): expected 'increasing' or 'decreasing'.")
        super().__post_init__()

    def __str__(self) -> str:
        return f"{self.direction_claimed}, {super().__str__()}"


@dataclass(frozen=True)
class Control:
    """The same claim, measured where it should not hold.

    Attributes:
        name: as the report shows it.
        replacement: from the test's arguments and a draw's number, the arguments that the control changes; ``None``
            when there is no such draw.
        draws: how many to draw; ``None`` takes every alternative there is.
        parameter: the test's argument that is replaced, or ``None`` for the system under test.
        by_architecture: whether the control ignores the weights, so that checkpoints of one architecture share it.
    """

    name: str
    replacement: Callable[[Mapping[str, Any], int], Mapping[str, Any] | None]
    draws: int | None
    parameter: str | None = None
    by_architecture: bool = False

    def drawn(self, draws: int) -> "Control":
        """The same control, drawn ``draws`` times."""
        return replace(self, draws=draws)


@dataclass(frozen=True)
class Claim:
    """A falsifiable statement about a system.

    Attributes:
        id: ``system/mechanism/claim``, in lower case with hyphens.
        statement: one sentence a reader can disagree with.
        source: where it comes from.
        expect: what is measured and its decision region.
        evidence_kind: the kind of evidence that a verdict gives.
        controls: where the claim should not hold.
        published: what the source reports, shown beside the estimate.

    Raises:
        ClaimError: the id, the expectation, the kind of evidence or a control is not of the form above.
    """

    id: str
    statement: str
    source: Source
    expect: Expectation
    evidence_kind: EvidenceKind = "correlational"
    controls: tuple[Control, ...] = ()
    published: float | str | None = None

    def __post_init__(self) -> None:
        if not _ID.fullmatch(self.id):
            raise ClaimError(
                f"claim id {self.id!r}: expected system/mechanism/claim in lower case, digits and hyphens."
            )
        if not isinstance(self.expect, Expectation):
            raise ClaimError(
                f"claim {self.id}: expect={self.expect!r} is no decision region, so nothing could refute the claim. "
                "Expected one of Rate, Mean, Difference, Exact, Rank, Permutation, Monotone, as in Rate(at_least=0.9)."
            )
        if self.evidence_kind not in _EVIDENCE_KINDS:
            raise ClaimError(
                f"claim {self.id}: kind={self.evidence_kind!r}. Expected one of {', '.join(_EVIDENCE_KINDS)}."
            )
        if not isinstance(self.published, str | None):
            try:
                object.__setattr__(self, "published", _plain(self.published))
            except (TypeError, ValueError):
                raise ClaimError(f"claim {self.id}: published={self.published!r}: expected a number or text.") from None
        for control in self.controls:
            if not isinstance(control, Control):
                raise ClaimError(
                    f"claim {self.id}: unknown control {control!r}. Expected a Control, such as mechtests.untrained, "
                    "mechtests.shuffled_weights or mechtests.other('head')."
                )

    @property
    def system(self) -> str:
        return self.id.split("/")[0]

    @property
    def mechanism(self) -> str:
        return self.id.split("/")[1]


def claim(
    id: str,  # noqa: A002 - it is the claim's id, in the reader's words
    statement: str,
    *,
    source: Source,
    expect: Expectation,
    kind: EvidenceKind = "correlational",
    controls: Sequence[Control] = (),
    published: float | str | None = None,
) -> Callable[[F], F]:
    """Make a test function a claim test: its body measures, the decorator says what would refute it.

    Arguments are those of :class:`Claim`.
    """
    if isinstance(controls, Control):
        raise ClaimError(f"claim {id}: controls={controls.name}: expected a list, as in controls=[{controls.name}].")
    stated = Claim(id, statement, source, expect, kind, tuple(controls), published)

    def attach(function: F) -> F:
        setattr(function, _ATTRIBUTE, stated)
        return function

    return attach


def _plain(number: Any) -> float:
    """A Python number in the place of NumPy's or torch's, which JSON and xdist's workers do not take."""
    return number if type(number) in (int, float) else float(number)


def claim_of(function: Callable[..., object]) -> Claim | None:
    """The claim that ``function`` tests, or ``None`` where it is no claim test."""
    return getattr(function, _ATTRIBUTE, None)
