"""Over training runs: do the findings hold on most seeds, and from which step on?"""

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
from mechtests import emergence, findings, universality

AT_WORK = findings(test_induction_heads)
FINDINGS = findings(
    test_in_context_learning,
    test_previous_token_head,
    test_prefix_matching,
    test_copying,
    test_token_match,
    test_composition,
)

test_universal = universality(
    "induction/induction-heads/universal",
    [*FINDINGS, *AT_WORK],
    statement="The finding is supported on eight in ten or more of the recipe's independent seeds.",
    source=LECTURE.section("Induction head"),
    over="induction_seeds",
    at_least=0.8,
)

test_emergence = emergence(
    "induction/induction-heads/emergence", FINDINGS, source=LECTURE.section("Induction head"), over="induction_steps"
)
