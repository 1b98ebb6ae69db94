"""Previous-token head: does some head, below the induction heads, attend to the token before?"""

from claims.induction.heads import induction_head, next_previous_token_head, previous_token_head
from claims.induction.inputs import sequences, short_sequences
from claims.induction.source import LECTURE
from mechtests import Difference, Mean, claim, instead, shuffled_weights, untrained
from mechtests.instruments import previous_token_score

SUMMARY = LECTURE.section("Induction head")


@claim(
    "induction/previous-token-head/exists",
    "Some head in a layer below the strongest induction head's gives the previous token 0.5 of its attention or more, "
    "on average.",
    source=SUMMARY,
    expect=Mean(at_least=0.5, bounds=(0, 1)),
    controls=[untrained.drawn(99), shuffled_weights.drawn(99), instead(find=induction_head)],
)
def test_exists(induction, evidence, find=previous_token_head):
    head = find(induction)
    for drawn in evidence.batches(sequences(induction), size=32):
        evidence.observe(previous_token_score(induction.attention(drawn.tokens, head), drawn.tokens))


@claim(
    "induction/previous-token-head/stands-out",
    "The head that attends most to the previous token leads the next head of its layer by 0.1 of attention or more.",
    source=SUMMARY,
    expect=Difference(at_least=0.1, bounds=(-1, 1)),
    controls=[untrained.drawn(99), shuffled_weights.drawn(99)],
)
def test_stands_out(induction, evidence):
    head, next_best = previous_token_head(induction), next_previous_token_head(induction)
    if next_best is None:
        return evidence.undefined("the head is the only one of its layer")
    for drawn in evidence.batches(sequences(induction), size=32):
        first, second = (
            previous_token_score(induction.attention(drawn.tokens, one), drawn.tokens) for one in (head, next_best)
        )
        evidence.observe(first - second)


@claim(
    "induction/previous-token-head/on-short-sequences",
    "On sequences of 24 tokens that head does so too.",
    source=SUMMARY,
    expect=Mean(at_least=0.5, bounds=(0, 1)),
    criterion="robustness",
    controls=[untrained.drawn(99), shuffled_weights.drawn(99)],
)
def test_on_short_sequences(induction, evidence):
    head = previous_token_head(induction)
    for drawn in evidence.batches(short_sequences(induction), size=32):
        evidence.observe(previous_token_score(induction.attention(drawn.tokens, head), drawn.tokens))
