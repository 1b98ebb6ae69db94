"""Token match: does an induction head's query match keys that come after its own token?"""

import pytest

from claims.induction.circuits import matching_circuit
from claims.induction.heads import induction_head, other_heads, previous_token_heads, strongest_previous_token_head
from claims.induction.source import LECTURE
from mechtests import Rate, claim, instead, shuffled_weights, untrained


@claim(
    "induction/token-match/matches-its-own-token",
    "Through the previous-token heads, the strongest induction head's query scores its own token above all others, for "
    "nine tokens in ten: the diagonal of W_E·W_Q·(W_E·W_V·W_O·W_K)ᵀ is the greatest entry of its row.",
    source=LECTURE.section("Induction head – prefix matching"),
    expect=Rate(at_least=0.9),
    kind="structural",
    controls=[untrained.drawn(99), shuffled_weights.drawn(99), instead(writers=other_heads)],
)
@pytest.mark.parametrize("writers", [strongest_previous_token_head, previous_token_heads])
def test_matches_its_own_token(induction, writers, evidence):
    if induction.rotary:
        evidence.untested("with rotary positions the score of two tokens depends on how far apart they are")
    reader = induction_head(induction)
    below = [head for head in writers(induction) if head.layer < reader.layer]
    if not below:
        return evidence.undefined(f"{reader} reads from no such head")
    evidence.census(matching_circuit(induction, reader, below).diagonal_is_row_maximum())
