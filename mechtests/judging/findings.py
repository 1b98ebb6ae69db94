"""Findings: claims as things that other claims speak of, for "it holds on most seeds" and "it emerges at step n"."""

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from mechtests.claiming.claim import Claim, claim_of, default_parameters, parameter_text
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
    return {name for case in itertools.chain(*map(parameter_sets, _marks(function))) for name in case} | set(
        default_parameters(function)
    )


def _marks(function: Callable[..., None]) -> list[Any]:
    return [mark for mark in getattr(function, "pytestmark", ()) if mark.name == "parametrize"]


def _of(function: Callable[..., None]) -> Iterator[Finding]:
    claim = claim_of(function)
    if claim is None:
        return
    defaults = default_parameters(function)
    for sets in itertools.product(*map(parameter_sets, _marks(function))):
        yield Finding(claim, function, {**defaults, **{name: value for one in sets for name, value in one.items()}})


def parameter_sets(mark: Any) -> list[dict[str, Any]]:
    """What ``pytest.mark.parametrize`` sets, for each of its cases."""
    given = {**dict(zip(("argnames", "argvalues"), mark.args, strict=False)), **mark.kwargs}
    argnames, argvalues = given["argnames"], given["argvalues"]
    names = [name.strip() for name in argnames.split(",")] if isinstance(argnames, str) else list(argnames)
    # pytest.param has its values in a tuple; one name alone takes the value as it is.
    cases = [case.values if hasattr(case, "marks") else (case,) if len(names) == 1 else case for case in argvalues]
    return [dict(zip(names, case, strict=True)) for case in cases]
