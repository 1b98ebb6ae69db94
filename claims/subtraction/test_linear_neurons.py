"""Linear neurons: is the sign decided by neurons whose input is linear in the two operands?"""

import numpy as np
import torch

from claims.subtraction.inputs import PROBLEMS
from claims.subtraction.neurons import as_many_others, operand_fit, periodic, sign_relevant
from claims.subtraction.source import POST
from mechtests import (
    Difference,
    Monotone,
    Rate,
    Value,
    claim,
    instead,
    keep_only,
    random_sets,
    replace,
    untrained,
    zero,
)
from mechtests.instruments import correlation, periodicity_p_values
from mechtests.systems.subtraction import NEURONS, PREACTIVATIONS, sign_correct

ACTIVATIONS = POST.section("Working Backwards: Neuron Activations")


def accuracy_lost(subtraction, edit):
    """For each problem, 1 where the sign was right and is wrong with the edit made, -1 the other way round."""
    before = sign_correct(subtraction.logits(PROBLEMS), PROBLEMS)
    after = sign_correct(subtraction.logits(PROBLEMS, edit), PROBLEMS)
    return before.float() - after.float()


@claim(
    "subtraction/linear-neurons/linear-fits",
    "The input of nine in ten sign-relevant neurons is linear in a and b, with R² of at least 0.9.",
    source=ACTIVATIONS,
    expect=Rate(at_least=0.9),
    controls=[untrained.drawn(99)],
    published="270 of 512 neurons, “largely”",
)
def test_linear_fits(subtraction, evidence):
    relevant = sign_relevant(subtraction)
    if not relevant.any():
        return evidence.undefined("no neuron is sign-relevant")
    show_steepest(subtraction, relevant, evidence)
    evidence.census(operand_fit(subtraction).r2[relevant] >= 0.9)


def show_steepest(subtraction, relevant, evidence):
    """A figure of the steepest of the sign-relevant neurons: its pre-activation, and its linear fit, against b - a."""
    fit = operand_fit(subtraction)
    neuron = int((fit.r2.sqrt() * fit.spread).masked_fill(~relevant, -1).argmax())
    gaps = torch.arange(-99, 100)
    of_gap = torch.nn.functional.one_hot((PROBLEMS.gap + 99).long(), len(gaps)).double()
    for name, values in (("pre-activation", subtraction.preactivations(PROBLEMS)), ("linear fit", plane(subtraction))):
        mean = of_gap.T @ values[:, neuron].double().cpu() / of_gap.sum(0)
        evidence.figure(f"{name} of neuron {neuron}, the steepest, against b - a", gaps, mean)


@claim(
    "subtraction/linear-neurons/opposite-slopes",
    "Over the sign-relevant neurons the slopes in a and in b are opposite: their correlation is -0.9 or below.",
    source=ACTIVATIONS,
    expect=Value(at_most=-0.9),
    controls=[untrained.drawn(99)],
    published="k_a = -k_b",
)
def test_opposite_slopes(subtraction, evidence):
    relevant = sign_relevant(subtraction)
    if relevant.sum() < 3:
        return evidence.undefined("fewer than three neurons are sign-relevant")
    in_a, in_b = operand_fit(subtraction).slopes[:, relevant]
    evidence.value(correlation(in_a, in_b), int(relevant.sum()))


@claim(
    "subtraction/linear-neurons/necessary",
    "Zeroing the sign-relevant neurons costs at least 40 points of sign accuracy.",
    source=ACTIVATIONS,
    expect=Difference(at_least=0.4),
    kind="causal",
    criterion="necessity",
    controls=[untrained.drawn(99), random_sets("neurons").drawn(99)],
    published=0.985 - 0.127,
)
def test_necessary(subtraction, evidence, neurons=sign_relevant):
    evidence.census(accuracy_lost(subtraction, zero(NEURONS, neuron=neurons(subtraction))))


@claim(
    "subtraction/linear-neurons/sufficient",
    "Zeroing all neurons but the sign-relevant ones costs at most a point of sign accuracy.",
    source=ACTIVATIONS,
    expect=Difference(at_most=0.01),
    kind="causal",
    criterion="sufficiency",
    controls=[random_sets("neurons").drawn(99)],
    published=0.9855 - 0.9853,
)
def test_sufficient(subtraction, evidence, neurons=sign_relevant):
    evidence.census(accuracy_lost(subtraction, keep_only(NEURONS, neuron=neurons(subtraction))))


def plane(subtraction):
    """Every pre-activation replaced by its linear fit."""
    return operand_fit(subtraction).predict(PROBLEMS.grid)


def average(subtraction):
    """Every pre-activation replaced by its mean."""
    pre = subtraction.preactivations(PROBLEMS)
    return pre.mean(0).expand_as(pre)


@claim(
    "subtraction/linear-neurons/linear-surrogate",
    "Replacing every pre-activation by its linear fit costs at most two points of sign accuracy.",
    source=ACTIVATIONS,
    expect=Difference(at_most=0.02),
    kind="causal",
    controls=[instead(surrogate=average)],
    published=0.985 - 0.9793,
)
def test_linear_surrogate(subtraction, evidence, surrogate=plane):
    evidence.census(accuracy_lost(subtraction, replace(PREACTIVATIONS, surrogate(subtraction), surrogate.__name__)))


@claim(
    "subtraction/linear-neurons/specific-to-relevant",
    "Zeroing as many of the other neurons, those that vary most, costs at most five points of sign accuracy.",
    source=ACTIVATIONS,
    expect=Difference(at_most=0.05),
    kind="causal",
    criterion="specificity",
    controls=[instead(neurons=sign_relevant)],
)
def test_specific_to_relevant(subtraction, evidence, neurons=as_many_others):
    evidence.census(accuracy_lost(subtraction, zero(NEURONS, neuron=neurons(subtraction))))


class Ablations:
    """A problem and a set of neurons to zero on it; one unit is one such pair.

    The neurons are as many as ``mask`` has, ``at_random``, or those of ``mask`` themselves, ``as_it_is``.
    """

    def __init__(self, mask, choice):
        self.mask, self.choice = mask, choice

    def sample(self, n, generator):
        sets = self.mask.expand(n, -1)
        if self.choice == "at_random":
            orders = [torch.randperm(len(self.mask), generator=generator) for _ in range(n)]
            sets = self.mask[torch.stack(orders).to(self.mask.device)]
        return torch.randint(len(PROBLEMS), (n,), generator=generator), sets


@claim(
    "subtraction/linear-neurons/specific-to-random",
    "Zeroing as many neurons at random costs at most five points of sign accuracy on average.",
    source=ACTIVATIONS,
    expect=Difference(at_most=0.05, bounds=(-1, 1)),
    kind="causal",
    criterion="specificity",
    controls=[instead(choice="as_it_is")],
)
def test_specific_to_random(subtraction, evidence, choice="at_random"):
    neurons = subtraction.neurons(PROBLEMS)
    for index, zeroed_set in evidence.batches(Ablations(sign_relevant(subtraction), choice), size=128):
        some = PROBLEMS[index]
        before = sign_correct(subtraction.logits(PROBLEMS)[index], some)
        kept = neurons[index] * ~zeroed_set
        after = sign_correct(subtraction.direct_logits(PROBLEMS)[index] + kept @ subtraction.neuron_readout, some)
        evidence.observe(before.float() - after.float())


@claim(
    "subtraction/linear-neurons/graded",
    "Sign accuracy falls steadily as the sign-relevant neurons are scaled from 1 to 0.",
    source=ACTIVATIONS,
    expect=Monotone("decreasing", at_least=0.95),
    kind="causal",
    criterion="graded response",
    controls=[untrained.drawn(99)],
)
def test_graded(subtraction, evidence):
    intact = subtraction.logits(PROBLEMS)
    ablated = subtraction.logits(PROBLEMS, zero(NEURONS, neuron=sign_relevant(subtraction)))
    doses = np.linspace(0, 1, 6)
    # The logits are linear in the neurons, so between all and nothing they lie on a line.
    left = [sign_correct(torch.lerp(intact, ablated, float(dose)), PROBLEMS).float().mean() for dose in doses]
    evidence.response("sign accuracy against the ablated share of each neuron", doses, left)


@claim(
    "subtraction/linear-neurons/periodic-neurons",
    "Some neurons are periodic in the operands and not linear.",
    source=ACTIVATIONS,
    expect=Value(at_least=1),
    controls=[untrained.drawn(99)],
    published="two predominant classes",
)
def test_periodic_neurons(subtraction, evidence):
    found = periodic(subtraction)
    evidence.value(found.sum(), len(found))


@claim(
    "subtraction/linear-neurons/periodic-neurons-unimportant",
    "Zeroing the periodic neurons costs at most a point of sign accuracy.",
    source=ACTIVATIONS,
    expect=Difference(at_most=0.01),
    kind="causal",
    controls=[instead(neurons=sign_relevant)],
    published="not important for the sign",
)
def test_periodic_neurons_unimportant(subtraction, evidence, neurons=periodic):
    mask = neurons(subtraction)
    if not mask.any():
        return evidence.undefined("no neuron is periodic")
    evidence.census(accuracy_lost(subtraction, zero(NEURONS, neuron=mask)))


@claim(
    "subtraction/linear-neurons/polysemantic",
    "More than half of the sign-relevant neurons carry a periodic part besides the linear one.",
    source=ACTIVATIONS,
    expect=Rate(above=0.5),
    controls=[untrained.drawn(99)],
    published="many",
)
def test_polysemantic(subtraction, evidence):
    relevant = sign_relevant(subtraction)
    if not relevant.any():
        return evidence.undefined("no neuron is sign-relevant")
    rest = subtraction.preactivations(PROBLEMS) - plane(subtraction)
    grid = rest[:, relevant].T.unflatten(1, (100, 100))
    # Each operand's part of the residual by itself: the mean over the other operand.
    p_values = [periodicity_p_values(part, 199, evidence.generator) for part in (grid.mean(2), grid.mean(1))]
    # What is left of an exactly linear neuron is rounding, which has a pattern of its own.
    left = rest[:, relevant].std(0) > 1e-3 * operand_fit(subtraction).spread[relevant]
    evidence.census(left & (2 * torch.minimum(*p_values) <= 0.02))
