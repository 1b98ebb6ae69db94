"""Over training runs: do the findings hold on most seeds of a recipe, and from which step on?"""

from claims.subtraction import (
    test_algorithm,
    test_default_plus,
    test_linear_neurons,
    test_mirrored_logits,
    test_operand_readers,
    test_task,
)
from claims.subtraction.source import POST
from mechtests import emergence, findings, universality

FINDINGS = findings(
    test_task, test_default_plus, test_mirrored_logits, test_linear_neurons, test_operand_readers, test_algorithm
)

test_universal = universality(
    "subtraction/algorithm/universal",
    FINDINGS,
    statement="The finding is supported on seven in ten or more of a recipe's independent seeds that learned the task.",
    source=POST,
    over="subtraction_seeds",
    recipes=["light-decay", "heavy-decay"],
    at_least=0.7,
)

test_emergence = emergence("subtraction/algorithm/emergence", FINDINGS, source=POST, over="subtraction_steps")
