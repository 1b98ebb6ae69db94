"""The algorithm: is the sign a bias plus a rectified line in b - a, computed by the neurons alone?"""

import torch

from claims.subtraction.inputs import PROBLEMS
from claims.subtraction.source import POST
from mechtests import Value, claim, instead, untrained
from mechtests.instruments import linear_fit
from mechtests.systems.subtraction import sign_difference

ALGORITHM = POST.section("The algorithm")


@claim(
    "subtraction/algorithm/mlp-decides",
    "In logit(+) - logit(-) the direct path varies at most a twentieth as much as the neurons' part, in variance.",
    source=POST.section("Mathematical Framework"),
    expect=Value(at_most=0.05),
    controls=[untrained.drawn(99)],
    published="negligible",
)
def test_mlp_decides(subtraction, evidence):
    direct = sign_difference(subtraction.direct_logits(PROBLEMS))
    neurons = sign_difference(subtraction.logits(PROBLEMS)) - direct
    evidence.value(direct.var() / neurons.var(), len(PROBLEMS))


def rectified(gap, target):
    """Least-squares fit of bias + slope·ReLU(b - a - start): three constants, the start among whole numbers."""
    # For each start, the share of variance explained is a squared correlation; all of them are one product.
    starts = torch.arange(-99, 99, device=gap.device)
    lines = (gap.unsqueeze(1) - starts).relu()
    explained = torch.corrcoef(torch.cat([lines.T, target.unsqueeze(0)]))[-1, :-1].square()
    best = lines[:, explained.argmax()].unsqueeze(1)
    return linear_fit(best, target.unsqueeze(1)).predict(best)[:, 0]


def straight(gap, target):
    """Least-squares fit of bias + slope·(b - a): no rectification."""
    return linear_fit(gap.unsqueeze(1), target.unsqueeze(1)).predict(gap.unsqueeze(1))[:, 0]


@claim(
    "subtraction/algorithm/closed-form",
    "A bias plus a rectified line in b - a, fitted to the model's logit difference, gives either sign correctly "
    "97 times in 100.",
    source=ALGORITHM,
    # Either of them: the bias alone would agree with a model that always says the same.
    expect=Value(at_least=0.97),
    kind="behavioural",
    controls=[untrained.drawn(99), instead(form=straight)],
    published="roughly of the form",
)
def test_closed_form(subtraction, evidence, form=rectified):
    difference = sign_difference(subtraction.logits(PROBLEMS))
    fitted = form(PROBLEMS.gap.to(difference), difference)
    says_plus = difference > 0
    if says_plus.all() or not says_plus.any():
        return evidence.undefined("the model says the same sign to every problem")
    agrees = ((fitted > 0) == says_plus).float()
    evidence.value(min(agrees[says_plus].mean(), agrees[~says_plus].mean()), len(PROBLEMS))
