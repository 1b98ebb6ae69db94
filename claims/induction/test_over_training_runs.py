"""Over training runs: do the findings hold on most seeds, and from which step on?"""

import pytest

from claims.induction import (
    test_composition,
    test_copying,
    test_in_context_learning,
    test_induction_heads,
    test_prefix_matching,
    test_previous_token_head,
    test_token_match,
)
from claims.induction.source import LECTURE
from mechtests import Monotone, Rate, Verdict, claim, findings

AT_WORK = findings(test_induction_heads)
FINDINGS = findings(
    test_in_context_learning,
    test_previous_token_head,
    test_prefix_matching,
    test_copying,
    test_token_match,
    test_composition,
)


@claim(
    "induction/induction-heads/universal",
    "The finding is supported on eight in ten or more of the recipe's independent seeds.",
    source=LECTURE.section("Induction head"),
    # A unit is a training run, far dearer than an input: the error rate is the customary one.
    expect=Rate(at_least=0.8, alpha=0.05),
)
@pytest.mark.parametrize("finding", [*FINDINGS, *AT_WORK], ids=str)
def test_universal(finding, induction_seeds, judge, evidence):
    if not induction_seeds:
        pytest.skip("no checkpoint of the two-layer recipe is judged in this run")
    evidence.observe([finding.judge(judge, seed).verdict is Verdict.SUPPORTED for seed in induction_seeds])


@claim(
    "induction/induction-heads/emergence",
    "The finding emerges along training and then stays: once supported, it is supported at every later checkpoint.",
    source=LECTURE.section("Induction head"),
    expect=Monotone("increasing", at_least=1),
)
@pytest.mark.parametrize("finding", FINDINGS, ids=str)
def test_emergence(finding, induction_steps, judge, evidence):
    steps = [system.checkpoint.provenance.step for system in induction_steps]
    judged = [finding.judge(judge, system) for system in induction_steps]
    supported = [judgement.verdict is Verdict.SUPPORTED for judgement in judged]
    if len(set(supported)) == 1:
        return evidence.undefined(f"supported at {'every' if supported[0] else 'no'} checkpoint of this run")
    evidence.response(f"{finding} supported, by training step", steps, supported)
