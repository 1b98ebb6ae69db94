"""Phase change: over training, do prefix matching and in-context learning appear together, and suddenly?"""

import numpy as np

from claims.induction.heads import scores
from claims.induction.inputs import sequences
from claims.induction.losses import gain
from claims.induction.source import IN_CONTEXT
from mechtests import Value, claim

PHASE_CHANGE = IN_CONTEXT.section("Phase change")


def steps_of(run):
    """The training step of each checkpoint."""
    return [model.checkpoint.provenance.step for model in run]


def strongest(run, score):
    """The strongest head's prefix-matching (``prefix``) or previous-token (``previous``) score at each checkpoint."""
    return np.array([getattr(scores(model), score).max().item() for model in run])


def rises(curve):
    """Whether there is a rise to speak of: a hundredth of attention or more, from first to last checkpoint."""
    return curve[-1] - curve[0] >= 0.01


def passed(steps, curve, share):
    """The step at which a curve has come ``share`` of its way from first to last, and the steps on either side.

    Between two checkpoints it is taken to be a straight line.
    """
    way = (curve - curve[0]) / (curve[-1] - curve[0])
    after = int(np.argmax(way >= share))
    (before_step, before), (after_step, at) = ((steps[i], way[i]) for i in (max(after - 1, 0), after))
    along = (share - before) / (at - before) if at > before else 0.0
    return before_step + along * (after_step - before_step), (before_step, after_step)


def label(name, steps, curve):
    """A curve's label, with the step by which it is half-way."""
    (_, (low, high)) = passed(steps, curve, 0.5)
    return f"{name}, by training step; half-way between steps {low:,} and {high:,}"


@claim(
    "induction/phase-change/rise-together",
    "From checkpoint to checkpoint, prefix matching and in-context learning rise together: their steps' correlation is "
    "0.9 or more.",
    source=PHASE_CHANGE,
    expect=Value(at_least=0.9),
)
def test_rise_together(induction_steps, evidence):
    steps, prefix = steps_of(induction_steps), strongest(induction_steps, "prefix")
    if not rises(prefix):
        return evidence.undefined("prefix matching does not rise over this run")
    drawn = sequences(induction_steps[0]).sample(128, evidence.generator)  # the same for all checkpoints
    learning = np.array([gain(model, drawn).mean().item() for model in induction_steps])
    evidence.figure(label("prefix matching", steps, prefix), steps, prefix)
    evidence.figure(label("in-context learning, in nats per token", steps, learning), steps, learning)
    evidence.value(np.corrcoef(np.diff(prefix), np.diff(learning))[0, 1], len(steps))


@claim(
    "induction/phase-change/sudden",
    "The strongest head's prefix matching goes from a tenth to nine tenths of its way within a tenth of training.",
    source=PHASE_CHANGE,
    expect=Value(at_most=0.1),
)
def test_sudden(induction_steps, evidence):
    steps, prefix = steps_of(induction_steps), strongest(induction_steps, "prefix")
    if not rises(prefix):
        return evidence.undefined("prefix matching does not rise over this run")
    evidence.figure(label("prefix matching", steps, prefix), steps, prefix)
    (begin, _), (end, _) = (passed(steps, prefix, share) for share in (0.1, 0.9))
    evidence.value((end - begin) / steps[-1], len(steps))


@claim(
    "induction/phase-change/previous-token-heads-first",
    "Previous-token attention has come half of its way before prefix matching has: the steps from the first checkpoint "
    "past it to the last checkpoint before it.",
    source=PHASE_CHANGE,
    # Between the checkpoints on either side nobody knows: the first must have happened before the second can have.
    expect=Value(at_least=0),
)
def test_previous_token_heads_first(induction_steps, evidence):
    steps, prefix = steps_of(induction_steps), strongest(induction_steps, "prefix")
    if not rises(prefix):
        return evidence.undefined("prefix matching does not rise over this run")
    previous = strongest(induction_steps, "previous")
    if not rises(previous):
        return evidence.undefined("previous-token attention does not rise over this run")
    for name, curve in (("prefix matching", prefix), ("previous-token attention", previous)):
        evidence.figure(label(name, steps, curve), steps, curve)
    (_, (_, previous_by)), (_, (prefix_from, _)) = (passed(steps, curve, 0.5) for curve in (previous, prefix))
    evidence.value(prefix_from - previous_by, len(steps))
