"""In-context learning: are tokens easier to predict where the context has shown them before?"""

from claims.induction.inputs import repeated, sequences, unrepeated
from claims.induction.losses import mean_over
from claims.induction.source import IN_CONTEXT, LECTURE
from mechtests import Rate, claim, instead, untrained

IN_CONTEXT_LEARNING = LECTURE.section("In-context learning")
CLEARLY = 0.95
"""Of the loss: what a position adds or takes by itself is smaller."""


@claim(
    "induction/in-context-learning/repeats-are-easier",
    "On nine sequences in ten a segment's second occurrence has a loss that is a twentieth or more below its first's.",
    source=IN_CONTEXT_LEARNING,
    expect=Rate(at_least=0.9),
    kind="behavioural",
    controls=[untrained.drawn(99), instead(tokens=unrepeated)],
)
def test_repeats_are_easier(induction, evidence, tokens=repeated):
    for drawn in evidence.batches(sequences(induction), size=32):
        losses = induction.losses(tokens(drawn))
        easier = CLEARLY * mean_over(losses, drawn.shown_before) - mean_over(losses, drawn.predicted)
        evidence.observe(easier > 0, margin=easier)


@claim(
    "induction/in-context-learning/later-tokens-are-easier",
    "On nine sequences in ten the later half of the tokens has a loss that is a twentieth or more below the earlier's.",
    source=IN_CONTEXT.section("In-context learning"),
    expect=Rate(at_least=0.9),
    kind="behavioural",
    controls=[untrained.drawn(99), instead(tokens=unrepeated)],
)
def test_later_tokens_are_easier(induction, evidence, tokens=repeated):
    for drawn in evidence.batches(sequences(induction), size=32):
        losses = induction.losses(tokens(drawn))
        half = losses.shape[1] // 2
        easier = CLEARLY * losses[:, :half].mean(1) - losses[:, half:].mean(1)
        evidence.observe(easier > 0, margin=easier)
