"""What judging a claim on a model comes to."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from mechtests.claiming.claim import Claim
from mechtests.claiming.estimate import Estimate
from mechtests.families.curve import Curve
from mechtests.judging.control_result import ControlResult
from mechtests.judging.counterexamples import Search
from mechtests.judging.sampling import SampledUnits
from mechtests.judging.verdict import Support, Verdict
from mechtests.systems.base import System


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A verdict and what was observed: all of a judgement that is the same in every run.

    Attributes:
        verdict: what the claim came to.
        estimate: what was observed; ``None`` where there was nothing to observe.
        controls: what was observed where the claim should not hold; empty where the region alone decided.
        curves: responses recorded on the way.
        interventions: the edits made on the model, in words, each once.
        reason: why, where the region alone does not say it.
        seconds: time taken.
        trail: the estimate as units came in, where they were sampled.
        search: what the search for a counterexample came to; ``None`` where there was no search.
        support: what stands behind a supported claim; ``None`` for other verdicts.
        combined_e_value: e-value for the region and the controls together; ``None`` where no chance is involved.
    """

    verdict: Verdict
    estimate: Estimate | None = None
    controls: tuple[ControlResult, ...] = ()
    curves: tuple[Curve, ...] = ()
    interventions: tuple[str, ...] = ()
    reason: str | None = None
    seconds: float = 0.0
    trail: tuple[Estimate, ...] = ()
    search: Search | None = None
    support: Support | None = None
    combined_e_value: float | None = None


@dataclass(frozen=True, kw_only=True)
class Judgement(Outcome):
    """An outcome, and what it is the outcome of.

    Attributes:
        claim: what was judged.
        params: the test's parameters, as text.
        values: tells the parameters' values from others, whose texts may be the same.
        system: the system judged; ``None`` for a claim about several checkpoints.
        drawn: the units that a counterexample can be searched from; ``None`` where the claim has none.
        rests_on: the judgements of other claims that the body asked for.
    """

    claim: Claim
    params: Mapping[str, str]
    system: System | None
    values: str = ""
    drawn: SampledUnits | None = None
    rests_on: tuple["Judgement", ...] = ()

    @property
    def outcome(self) -> Outcome:
        """The outcome alone."""
        return Outcome(**fields_of(self))


def fields_of(outcome: Outcome) -> dict[str, Any]:
    """The fields of an outcome alone, by name."""
    return {field.name: getattr(outcome, field.name) for field in fields(Outcome)}
