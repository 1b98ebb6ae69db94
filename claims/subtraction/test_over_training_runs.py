"""Over training runs: do the findings hold on most seeds of a recipe, and from which step on?"""

import pytest

from claims.subtraction import (
    test_algorithm,
    test_default_plus,
    test_linear_neurons,
    test_mirrored_logits,
    test_operand_readers,
    test_task,
)
from claims.subtraction.source import POST
from mechtests import Monotone, Rate, Verdict, claim, findings

FINDINGS = findings(
    test_task, test_default_plus, test_mirrored_logits, test_linear_neurons, test_operand_readers, test_algorithm
)


@claim(
    "subtraction/algorithm/universal",
    "The finding is supported on eight in ten or more of a recipe's independent seeds that learned the task.",
    source=POST,
    # A unit is a training run, far dearer than an input: the error rate is the customary one.
    expect=Rate(at_least=0.8, alpha=0.05),
)
@pytest.mark.parametrize("recipe", ["light-decay", "heavy-decay"])
@pytest.mark.parametrize("finding", FINDINGS, ids=str)
def test_universal(finding, recipe, subtraction_seeds, judge, evidence):
    if recipe not in subtraction_seeds:
        pytest.skip(f"no checkpoint of the recipe {recipe} is judged in this run")
    evidence.observe([finding.judge(judge, seed).verdict is Verdict.SUPPORTED for seed in subtraction_seeds[recipe]])


@claim(
    "subtraction/algorithm/emergence",
    "The finding emerges along training and then stays: once supported, it is supported at every later checkpoint.",
    source=POST,
    expect=Monotone("increasing", at_least=1),
)
@pytest.mark.parametrize("finding", FINDINGS, ids=str)
def test_emergence(finding, subtraction_steps, judge, evidence):
    steps = [system.checkpoint.provenance.step for system in subtraction_steps]
    judged = [finding.judge(judge, system) for system in subtraction_steps]
    supported = [judgement.verdict is Verdict.SUPPORTED for judgement in judged]
    if len(set(supported)) == 1:
        return evidence.undefined(f"supported at {'every' if supported[0] else 'no'} checkpoint of this run")
    evidence.response(f"{finding} supported, by training step", steps, supported)
