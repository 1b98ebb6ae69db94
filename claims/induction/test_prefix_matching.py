"""Prefix matching: does some head attend to the token after the last occurrence of the current one?"""

import pytest

from claims.induction.heads import induction_head, previous_token_head
from claims.induction.inputs import long_segments, repeated, sequences, short_sequences, unrepeated
from claims.induction.source import LECTURE
from mechtests import Difference, Mean, claim, instead, shuffled_weights, untrained
from mechtests.instruments import attention_to, uniform_attention_to

INDUCTION_HEADS = LECTURE.section("Induction heads")


@claim(
    "induction/prefix-matching/exists",
    "Some head gives the token after the current token's last occurrence 0.4 of its attention or more, on average.",
    source=INDUCTION_HEADS,
    expect=Mean(at_least=0.4, bounds=(0, 1)),
    controls=[untrained.drawn(99), shuffled_weights.drawn(99), instead(find=previous_token_head)],
)
def test_exists(induction, evidence, find=induction_head):
    head = find(induction)
    for drawn in evidence.batches(sequences(induction), size=32):
        evidence.observe(attention_to(induction.attention(drawn.tokens, head), drawn.targets.to(induction.device)))


@claim(
    "induction/prefix-matching/chance-without-repeats",
    "Where nothing repeats, the same head gives those places no more attention than chance does, to within 0.05.",
    source=INDUCTION_HEADS,
    expect=Difference(at_least=-0.05, at_most=0.05, bounds=(-1, 1)),
    controls=[instead(tokens=repeated)],
)
def test_chance_without_repeats(induction, evidence, tokens=unrepeated):
    head = induction_head(induction)
    for drawn in evidence.batches(sequences(induction), size=32):
        targets = drawn.targets.to(induction.device)
        paid = attention_to(induction.attention(tokens(drawn), head), targets)
        evidence.observe(paid - uniform_attention_to(targets).to(paid))


@claim(
    "induction/prefix-matching/on-other-sequences",
    "On sequences of another kind than it was found on the same head does so too.",
    source=INDUCTION_HEADS,
    expect=Mean(at_least=0.4, bounds=(0, 1)),
    criterion="robustness",
    controls=[untrained, shuffled_weights],
)
@pytest.mark.parametrize("family", [short_sequences, long_segments])
def test_on_other_sequences(induction, family, evidence):
    head = induction_head(induction)
    for drawn in evidence.batches(family(induction), size=32):
        evidence.observe(attention_to(induction.attention(drawn.tokens, head), drawn.targets.to(induction.device)))
