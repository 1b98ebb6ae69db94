"""Claims about findings over training runs: on how many seeds they hold, and from which step on.

Each is the test of a claim that pytest collects, made of findings and of a fixture with the checkpoints to look at.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from mechtests.claiming.claim import Source, claim
from mechtests.claiming.expectations import Monotone, Rate
from mechtests.inference import Region, rate_posterior, seeds_needed
from mechtests.inference.replication import ALWAYS
from mechtests.judging.evidence import Evidence
from mechtests.judging.findings import Finding
from mechtests.judging.judge import Judge
from mechtests.judging.verdict import Verdict
from mechtests.systems.base import System

ClaimTest = Callable[..., None]


def universality(
    id: str,  # noqa: A002 - as in mechtests.claim
    findings: Sequence[Finding],
    *,
    source: Source,
    over: str,
    at_least: float,
    statement: str | None = None,
    recipes: Sequence[str] = (),
    alpha: float = 0.05,
) -> ClaimTest:
    """The test of the claim that a finding is supported on most independent training seeds.

    Assign it to a name that pytest collects: ``test_universal = universality(…)``. A unit is a training run, which is
    far more expensive than an input: hence the error rate of its own, and a process that looks for most of the evidence
    in seeds that all hold: at an error rate of 0.05, 10 of 10 support a rate of 0.7, 15 of 15 one of 0.8. A seed on
    which the finding is inconclusive is no unit.

    Args:
        id: the claim's id.
        findings: what may hold on a seed; each is judged on all of them, and is the claim's parameter ``finding``.
        source: where the claim comes from.
        over: the fixture with the checkpoints, one per seed: a list of systems, or with ``recipes`` such a list by
            recipe.
        at_least: the share of seeds on which a finding must be supported.
        statement: the claim in one sentence; by default made of ``at_least``.
        recipes: training recipes, each judged by itself; they are the claim's parameter ``recipe``.
        alpha: the claim's error rate.
    """
    stated = statement or f"The finding is supported on {at_least:.0%} or more of a recipe's independent seeds."

    @claim(id, stated, source=source, expect=Rate(at_least=at_least, alpha=alpha, always=ALWAYS))
    @pytest.mark.parametrize("finding", findings)
    def test_universal(finding: Finding, judge: Judge, evidence: Evidence, **given: Any) -> None:
        seeds: Sequence[System] | Mapping[str, Sequence[System]] = given[over]
        if isinstance(seeds, Mapping):
            seeds = seeds.get(given["recipe"], ())
        if not seeds:
            of = f"the recipe {given['recipe']}" if recipes else "a finished training run"
            evidence.untested(f"no checkpoint of {of} is judged in this run")
        verdicts = [_verdict(finding, judge, seed, evidence) for seed in seeds]
        decided = [verdict is Verdict.SUPPORTED for verdict in verdicts if verdict is not Verdict.INCONCLUSIVE]
        if not decided:
            return evidence.undefined("the finding is inconclusive on every seed")
        evidence.remark(_in_words(sum(decided), len(decided), len(seeds), evidence))
        return evidence.observe(decided)

    if recipes:
        test_universal = pytest.mark.parametrize("recipe", recipes)(test_universal)
    return _taking(test_universal, "finding", *(["recipe"] if recipes else []), over, "judge", "evidence")


def emergence(
    id: str,  # noqa: A002 - as in mechtests.claim
    findings: Sequence[Finding],
    *,
    source: Source,
    over: str,
    statement: str = "The finding emerges along training and then stays: once supported, it is supported at every "
    "later checkpoint.",
) -> ClaimTest:
    """The test of the claim that a finding, once it is supported in the course of training, stays so.

    Assign it to a name that pytest collects: ``test_emergence = emergence(…)``. Where the finding is supported at every
    checkpoint or at none, there is no emergence to speak of and the claim is vacuous.

    Args:
        id: the claim's id.
        findings: what may emerge; each is the claim's parameter ``finding``.
        source: where the claim comes from.
        over: the fixture with the checkpoints of one training run, in the order of their steps.
        statement: the claim in one sentence.
    """

    @claim(id, statement, source=source, expect=Monotone("increasing", at_least=1))
    @pytest.mark.parametrize("finding", findings)
    def test_emergence(finding: Finding, judge: Judge, evidence: Evidence, **given: Any) -> None:
        systems: Sequence[System] = given[over]
        steps = [system.checkpoint.provenance.step for system in systems if system.checkpoint]
        supported = [_verdict(finding, judge, system, evidence) is Verdict.SUPPORTED for system in systems]
        if len(set(supported)) == 1:
            return evidence.undefined(f"supported at {'every' if supported[0] else 'no'} checkpoint of this run")
        return evidence.response(f"{finding} supported, by training step", steps, supported)

    return _taking(test_emergence, "finding", over, "judge", "evidence")


def _verdict(finding: Finding, judge: Judge, system: System, evidence: Evidence) -> Verdict:
    judgement = finding.judge(judge, system)
    if judgement.verdict is Verdict.UNTESTED:
        evidence.untested(f"{finding} is untested on {system.name}: {judgement.reason}")
    return judgement.verdict


def _in_words(held: int, decided: int, seeds: int, evidence: Evidence) -> str:
    """What few seeds say of a rate among them, where a verdict on it may be out of reach."""
    expect = evidence.expect
    region = Region(expect.lower, expect.upper)
    needed = seeds_needed(region, evidence.alpha)
    parts = [f"supported on {held} of {decided} seeds on which it is decided, of {seeds} in all"]
    if needed is not None and decided < needed:
        chance = rate_posterior(held, decided, region).chance
        parts.append(
            f"a verdict that it holds on a rate {expect} of seeds needs {needed} of them or more; the posterior chance "
            f"of that is {chance:.2g} (Jeffreys' prior)"
        )
    return "; ".join(parts)


def _taking(test: ClaimTest, *arguments: str) -> ClaimTest:
    """``test`` with the arguments by which pytest knows what to give it; one of them is the name of a fixture."""
    keyword = inspect.Parameter.KEYWORD_ONLY
    test.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(name, keyword) for name in arguments]
    )
    return test
