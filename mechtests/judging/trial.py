"""One claim's test with its arguments: what runs on the model, and with arguments replaced on each control."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mechtests.cache import value_fingerprint
from mechtests.claiming.claim import Claim, default_parameters, parameter_text
from mechtests.claiming.controls import system_argument
from mechtests.claiming.estimate import Estimate
from mechtests.claiming.expectations import ClaimError
from mechtests.judging.evidence import Evidence
from mechtests.judging.judgement import Judgement, Outcome, fields_of
from mechtests.judging.sampling import SampledUnits
from mechtests.systems.base import System

Body = Callable[..., None]
"""A claim's test function."""

NONE: Mapping[str, Any] = {}


@dataclass(frozen=True)
class Trial:
    """One claim's test with its arguments.

    Attributes:
        claim: what is judged.
        body: the test function.
        arguments: its arguments, all but ``evidence``.
        params: the claim's parameters, as text.
        values: tells the parameters' values from others, whose texts may be the same.
    """

    claim: Claim
    body: Body
    arguments: Mapping[str, Any]
    params: Mapping[str, str]
    values: str

    @classmethod
    def of(
        cls, claim: Claim, body: Body, arguments: Mapping[str, Any], parameters: Mapping[str, Any] = NONE
    ) -> "Trial":
        """The trial whose arguments with a default are parameters too, of the default's value unless given."""
        defaults = default_parameters(body)
        given = {**defaults, **arguments}
        named = {**{name: given[name] for name in defaults}, **parameters}
        values = value_fingerprint(sorted(named.items(), key=lambda parameter: parameter[0]))
        return cls(claim, body, given, _as_text(named), values)

    @property
    def system(self) -> System | None:
        """The system under test; ``None`` for a claim about several checkpoints."""
        found = system_argument(self.arguments)
        return found and found[1]

    def key(self, model: str | None) -> tuple[object, ...]:
        """Tells this trial from others, on the model or architecture of that identity."""
        return self.claim.id, tuple(self.params.items()), self.values, model

    def observe(self, evidence: Evidence, changed: Mapping[str, Any] | None = None) -> Estimate | None:
        """What the body observes, with some of its arguments ``changed``."""
        self.body(**{**self.arguments, **(changed or {})}, evidence=evidence)
        return evidence.estimate()

    def judgement(
        self, outcome: Outcome, drawn: SampledUnits | None = None, rests_on: tuple[Judgement, ...] = ()
    ) -> Judgement:
        """The judgement of this trial that came to ``outcome``; the other arguments are those of a judgement."""
        return Judgement(
            **fields_of(outcome),
            claim=self.claim,
            params=self.params,
            system=self.system,
            values=self.values,
            drawn=drawn,
            rests_on=rests_on,
        )


def _as_text(parameters: Mapping[str, Any]) -> dict[str, str]:
    params = {name: parameter_text(parameters[name]) for name in sorted(parameters)}
    for name, text in params.items():
        if text == "<lambda>" or " at 0x" in text:
            raise ClaimError(
                f"the parameter {name}={text} has no name by which the report, the seed and the record of verdicts "
                "could tell it from others. Give a named function, or an object with a __str__ of its own."
            )
    return params
