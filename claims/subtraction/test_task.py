"""The task: does the model know the sign?"""

from claims.subtraction.source import POST
from mechtests import Rate, claim, untrained
from mechtests.families import SubtractionProblems
from mechtests.systems.subtraction import sign_correct, sign_margin


@claim(
    "subtraction/task/right-sign",
    "The likeliest token after '=' is the right sign on at least 98.5 % of all problems.",
    source=POST.section("Working Backwards: Neuron Activations"),
    # The post's own figure. It can be decided: at a true rate of 0.995 some 2,400 of the 4,096 units are enough.
    expect=Rate(at_least=0.985),
    kind="behavioural",
    controls=[untrained],
    published=0.985,
)
def test_right_sign(subtraction, evidence):
    for problems in evidence.batches(SubtractionProblems()):
        logits = subtraction.logits(problems)
        evidence.observe(sign_correct(logits, problems), margin=sign_margin(logits, problems))
