"""Claims: falsifiable statements with a source, a region and controls, written down before the data is seen."""

import inspect
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

from mechtests.claiming.expectations import Average, ClaimError, Expectation, plain_number

EvidenceKind = Literal["correlational", "causal", "structural", "behavioural", "representational", "identity"]
"""What kind of evidence a verdict gives. An ``identity`` is true of the architecture, whatever the weights: it
checks the system's adapter and the instruments, and is no finding."""

Criterion = Literal["necessity", "sufficiency", "specificity", "graded response", "robustness"]

_CRITERIA = ("necessity", "sufficiency", "specificity", "graded response", "robustness")
_EVIDENCE_KINDS = ("correlational", "causal", "structural", "behavioural", "representational", "identity")
_ID = re.compile(r"[a-z0-9-]+/[a-z0-9-]+/[a-z0-9-]+")
_ATTRIBUTE = "__mechtests_claim__"

F = TypeVar("F", bound=Callable[..., None])

Requirement = Callable[[Any], bool | str]
"""A presupposition of a claim: given the system, ``True`` where it holds, else the reason why it does not, as text.

``return accuracy >= 0.9 or f"it answers {accuracy:.0%} of the problems"`` is one. It is measured once per model, before
the claim's body runs. Where it fails on the model, the claim is untested; where it fails on a control's twin, the
claim's quantity is undefined there. So a control all of whose twins fail shows nothing about the mechanism: beside a
presupposition that only trained models meet, state a control that meets it, such as ``instead`` or ``other``."""


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
        margin: by how much more than the control the model must do, in the units of the claim's region.
    """

    name: str
    replacement: Callable[[Mapping[str, Any], int], Mapping[str, Any] | None]
    draws: int | None
    parameter: str | None = None
    by_architecture: bool = False
    margin: float = 0.0

    def drawn(self, draws: int) -> "Control":
        """The same control, drawn ``draws`` times.

        Raises:
            ClaimError: fewer than one, or the control has all the draws there are already.
        """
        if self.draws is None or draws < 1:
            raise ClaimError(
                f"the control “{self.name}” drawn {draws} times: expected 1 or more, of a control that is a sample."
            )
        return replace(self, draws=draws)

    def beyond(self, margin: float) -> "Control":
        """The same control, which the model must exceed by ``margin``, in the units of the claim's region.

        ``untrained.beyond(0.1)`` of a rate: by ten points.

        Raises:
            ClaimError: the margin is not a number of 0 or more.
        """
        if not (isinstance(margin, int | float) and 0 <= margin < math.inf):
            raise ClaimError(f"the control “{self.name}” beyond {margin!r}: expected a number of 0 or more.")
        return replace(self, margin=float(margin))


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
        criterion: which criterion of a mechanism's report card the claim puts to the test, where it does
            (``docs/design/criteria.md``).
        requires: what the claim takes for granted of the system: see :data:`Requirement`.

    Raises:
        ClaimError: the id, the expectation, the kind of evidence, the criterion, a control or a requirement is not of
            the form above.
    """

    id: str
    statement: str
    source: Source
    expect: Expectation
    evidence_kind: EvidenceKind = "correlational"
    controls: tuple[Control, ...] = ()
    published: float | str | None = None
    criterion: Criterion | None = None
    requires: tuple[Requirement, ...] = ()

    def __post_init__(self) -> None:
        if not _ID.fullmatch(self.id):
            raise ClaimError(
                f"claim id {self.id!r}: expected system/mechanism/claim in lower case, digits and hyphens."
            )
        if not isinstance(self.source, Source):
            raise ClaimError(
                f"claim {self.id}: source={self.source!r}. Expected a Source, as in Source('A title', year=2024)."
            )
        if not isinstance(self.expect, Expectation):
            raise ClaimError(
                f"claim {self.id}: expect={self.expect!r} is no decision region, so nothing could refute the claim. "
                "Expected one of Rate, Mean, Difference, Value, Rank, Permutation, Monotone, as in Rate(at_least=0.9)."
            )
        if self.evidence_kind not in _EVIDENCE_KINDS:
            raise ClaimError(
                f"claim {self.id}: kind={self.evidence_kind!r}. Expected one of {', '.join(_EVIDENCE_KINDS)}."
            )
        if self.criterion is not None and self.criterion not in _CRITERIA:
            raise ClaimError(
                f"claim {self.id}: criterion={self.criterion!r}. Expected one of {', '.join(_CRITERIA)}, or none."
            )
        if not isinstance(self.published, str | None):
            try:
                object.__setattr__(self, "published", plain_number(self.published))
            except (TypeError, ValueError):
                raise ClaimError(f"claim {self.id}: published={self.published!r}: expected a number or text.") from None
        for control in self.controls:
            if not isinstance(control, Control):
                raise ClaimError(
                    f"claim {self.id}: unknown control {control!r}. Expected a Control, such as mechtests.untrained, "
                    "mechtests.shuffled_weights or mechtests.other('head')."
                )
            self._check_margin(control)
        for requirement in self.requires:
            if not callable(requirement):
                raise ClaimError(
                    f"claim {self.id}: requires={requirement!r}: expected a function of the system that returns True, "
                    "or the reason why the claim cannot be tested on it."
                )

    def _check_margin(self, control: Control) -> None:
        """Refuse a margin that no model could show."""
        if not control.margin:
            return
        if self.expect.direction == "within":
            raise ClaimError(
                f"claim {self.id}: the control “{control.name}” has a margin, and the region has two ends, so there is "
                "no direction in which to exceed it. Leave out .beyond(…), or state one end."
            )
        span = self.expect.span if isinstance(self.expect, Average) else math.inf
        if control.margin >= span:
            raise ClaimError(
                f"claim {self.id}: the control “{control.name}” has a margin of {control.margin:g}, and no two units "
                f"can differ by more than {span:g}. State a smaller one."
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
    criterion: Criterion | None = None,
    requires: Requirement | Sequence[Requirement] = (),
) -> Callable[[F], F]:
    """Make a test function a claim test: its body measures, the decorator says what would refute it.

    Arguments are those of :class:`Claim`; one requirement needs no list.
    """
    if isinstance(controls, Control):
        raise ClaimError(f"claim {id}: controls={controls.name}: expected a list, as in controls=[{controls.name}].")
    required = (requires,) if callable(requires) else tuple(requires)
    stated = Claim(id, statement, source, expect, kind, tuple(controls), published, criterion, required)

    def attach(function: F) -> F:
        setattr(function, _ATTRIBUTE, stated)
        return function

    return attach


def claim_of(function: Callable[..., object]) -> Claim | None:
    """The claim that ``function`` tests, or ``None`` where it is no claim test."""
    return getattr(function, _ATTRIBUTE, None)


def parameter_text(value: object) -> str:
    """A parameter as the report shows it: a function by its name, all else as it prints."""
    return str(getattr(value, "__name__", value))


def default_parameters(function: Callable[..., object]) -> dict[str, Any]:
    """The arguments of a claim test that have a default, by name: parameters of the claim with one value.

    A control such as ``instead(find=…)`` replaces them, and a report shows them, as it does those of ``parametrize``.
    """
    parameters = inspect.signature(function).parameters.values()
    return {one.name: one.default for one in parameters if one.default is not inspect.Parameter.empty}
