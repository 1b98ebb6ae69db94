"""Findings: claims as things that other claims speak of, for "it holds on most seeds" and "it emerges at step n"."""

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from mechtests.claiming.claim import Claim, claim_of, default_parameters, parameter_text
from mechtests.claiming.parameters import parameter_cases, parameter_values
from mechtests.judging.judge import Judge
from mechtests.judging.judgement import Judgement
from mechtests.judging.trial import Body
from mechtests.systems.base import System


@dataclass(frozen=True)
class Finding:
    """A claim test with its parameters set, that can be judged on any checkpoint of its system.

    Attributes:
        claim: the claim.
        body: its test function, whose first argument has the name of the claim's system.
        params: the test's parameters: those that have a default, then those that ``pytest.mark.parametrize`` sets.
    """

    claim: Claim
    body: Body
    params: Mapping[str, Any]

    def judge(self, judge: Judge, system: System) -> Judgement:
        """The judgement of this claim on ``system``."""
        return judge.judge(self.claim, self.body, {self.claim.system: system, **self.params}, self.params)

    def __str__(self) -> str:
        values = map(parameter_text, self.params.values())
        return "/".join(self.claim.id.split("/")[1:]) + (f"[{'-'.join(values)}]" if self.params else "")


def findings(*modules: ModuleType) -> list[Finding]:
    """Every claim test in ``modules``, one for each of its parameters' values, in the order of the files.

    The values are those of ``pytest.mark.parametrize``, which leaves them on the function; nothing of pytest is needed.
    """
    return [finding for module in modules for function in vars(module).values() for finding in _of(function)]


def parametrized(function: Callable[..., None]) -> set[str]:
    """The names of a claim test's parameters: those that have a default, and those that ``parametrize`` sets."""
    return {*parameter_values(function), *default_parameters(function)}


def _of(function: Callable[..., None]) -> Iterator[Finding]:
    claim = claim_of(function)
    if claim is None:
        return
    defaults = default_parameters(function)
    for sets in itertools.product(*parameter_cases(function)):
        yield Finding(claim, function, {**defaults, **{name: value for one in sets for name, value in one.items()}})
