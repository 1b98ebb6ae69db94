"""Default plus: is "+" what the model says unless the operands argue against it?"""

from claims.subtraction.inputs import ANY_PROBLEM, PROBLEMS
from claims.subtraction.source import POST
from mechtests import Rate, Value, claim, shuffled_weights, untrained, zero
from mechtests.systems.subtraction import PLUS, embedding_of, sign_correct, sign_difference, sign_loss

OPERANDS_ERASED = zero(embedding_of("a", "b"))
BIASES = POST.section("What about biases?")
PLUS_SHARE = PROBLEMS.is_plus.float().mean().item()


def erased_logits(subtraction):
    """Logits with both operands erased. Every problem is then the same input, so one stands for all 10,000."""
    return subtraction.logits(ANY_PROBLEM, OPERANDS_ERASED)


@claim(
    "subtraction/default-plus/plus-when-operands-erased",
    "With the embeddings of both operands erased, the model still prefers '+'.",
    source=BIASES,
    expect=Value(above=0),
    kind="causal",
    controls=[untrained.drawn(99), shuffled_weights],
    published=18.6 - 6.21,
)
def test_plus_when_operands_erased(subtraction, evidence):
    evidence.value(sign_difference(erased_logits(subtraction)))


@claim(
    "subtraction/default-plus/erased-accuracy-is-the-plus-share",
    "With the operands erased, the sign is right exactly as often as '+' is the right sign, to within half a point.",
    source=BIASES,
    # Half a point, because a model that always says '-' is right a whole point less often.
    expect=Rate(at_least=PLUS_SHARE - 0.005, at_most=PLUS_SHARE + 0.005),
    kind="causal",
    controls=[untrained],
    published=0.505,
)
def test_erased_accuracy_is_the_plus_share(subtraction, evidence):
    evidence.census(sign_correct(erased_logits(subtraction).expand(len(PROBLEMS), -1), PROBLEMS))


@claim(
    "subtraction/default-plus/erased-loss",
    "Erasing the operands multiplies the loss on the sign by ten or more.",
    source=BIASES,
    expect=Value(at_least=10),
    kind="causal",
    controls=[untrained.drawn(99)],
    published="about 100",
)
def test_erased_loss(subtraction, evidence):
    intact = sign_loss(subtraction.logits(PROBLEMS), PROBLEMS).mean()
    erased = sign_loss(erased_logits(subtraction).expand(len(PROBLEMS), -1), PROBLEMS).mean()
    evidence.value(erased / intact, len(PROBLEMS))


@claim(
    "subtraction/default-plus/default-is-causal",
    "Taking the default away, by shifting the logit of '+', costs accuracy on a ≥ b more than on a < b.",
    source=BIASES,
    expect=Value(at_least=0.05),
    kind="causal",
    controls=[untrained],
)
def test_default_is_causal(subtraction, evidence):
    logits = subtraction.logits(PROBLEMS)
    shifted = logits.clone()
    shifted[:, PLUS] -= sign_difference(erased_logits(subtraction))
    lost = sign_correct(logits, PROBLEMS).float() - sign_correct(shifted, PROBLEMS).float()
    plus = PROBLEMS.is_plus.to(lost.device)
    evidence.value(lost[plus].mean() - lost[~plus].mean(), len(PROBLEMS))
