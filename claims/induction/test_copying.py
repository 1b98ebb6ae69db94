"""Copying: do the induction heads raise the logit of the token that they attend to?"""

import pytest

from claims.induction.circuits import attention_only, copying_circuit
from claims.induction.heads import (
    induction_head,
    induction_heads,
    other_heads,
    previous_token_head,
    previous_token_heads,
    strongest_induction_head,
)
from claims.induction.inputs import sequences
from claims.induction.losses import mean_over
from claims.induction.source import IN_CONTEXT, LECTURE
from mechtests import Mean, Rate, Value, claim, instead, shuffled_weights, untrained
from mechtests.instruments import attributions, copying_score, eigenvalue_positivity

COPYING = LECTURE.section("Induction head – copying")
alone_and_together = pytest.mark.parametrize("heads", [strongest_induction_head, induction_heads])


@claim(
    "induction/copying/raises-the-attended-token",
    "Attending to a token raises its own logit above all others, for nine tokens in ten: the diagonal of "
    "W_E·W_V·W_O·W_U is the greatest entry of its row.",
    source=COPYING,
    expect=Rate(at_least=0.9),
    kind="structural",
    controls=[untrained.drawn(99), shuffled_weights.drawn(99), instead(heads=previous_token_heads)],
)
@alone_and_together
def test_raises_the_attended_token(induction, heads, evidence):
    evidence.census(copying_circuit(induction, heads(induction)).diagonal_is_row_maximum())


@claim(
    "induction/copying/positive-eigenvalues",
    "The eigenvalues of W_E·W_V·W_O·W_U are mostly positive: their sum is at least four fifths of the sum of their "
    "sizes.",
    source=COPYING,
    # Four fifths is what nine positive eigenvalues in ten come to when all are of one size: 0.9 - 0.1.
    expect=Value(at_least=0.8),
    kind="structural",
    controls=[untrained.drawn(99), shuffled_weights.drawn(99), instead(heads=previous_token_heads)],
)
@alone_and_together
def test_positive_eigenvalues(induction, heads, evidence):
    eigenvalues = copying_circuit(induction, heads(induction)).eigenvalues()
    if not eigenvalues.any():
        return evidence.undefined("the heads write nothing")
    evidence.value(eigenvalue_positivity(eigenvalues), len(eigenvalues))


@claim(
    "induction/copying/in-activations",
    "Where induction is relevant, half or more of all that the strongest induction head raises the logits of the "
    "sequence's tokens goes to those that it attends to.",
    source=IN_CONTEXT.section("Head activation evaluators"),
    expect=Mean(at_least=0.5, bounds=(0, 1)),
    controls=[untrained.drawn(99), shuffled_weights.drawn(99), instead(find=previous_token_head)],
)
def test_in_activations(induction, evidence, find=induction_head):
    head = find(induction)
    W_O = induction.weights(head.layer).W_O[[head.index]]
    for drawn in evidence.batches(sequences(induction), size=32):
        tokens, place = drawn.tokens.to(induction.device), induction.head(head)
        pattern = induction.attention(tokens, head).unsqueeze(1)
        z = induction.activations(tokens, [place])[place].unsqueeze(1)
        relevant = drawn.second[:, None, :, None].to(z)  # what is raised elsewhere counts for nothing
        evidence.observe(copying_score(pattern * relevant, z * relevant, W_O, induction.W_U, tokens)[:, 0])


@claim(
    "induction/copying/single-heads-dominate-the-logits",
    "Where induction predicts the next token, the induction heads by themselves bring more to its logit than all "
    "other paths through the model together, on nine sequences in ten.",
    source=COPYING,
    expect=Rate(at_least=0.9),
    kind="structural",
    controls=[untrained.drawn(99), instead(heads=[previous_token_heads, other_heads])],
)
def test_single_heads_dominate_the_logits(induction, evidence, heads=induction_heads):
    model, single = attention_only(induction, evidence), {((head.layer, head.index),) for head in heads(induction)}
    layers = [model.weights(layer) for layer in range(model.n_layers)]
    centred = (model.W_U - model.W_U.mean(1, keepdim=True)).T
    for drawn in evidence.batches(sequences(model), size=32):
        tokens = drawn.tokens.to(model.device)
        right = centred[tokens.roll(-1, 1)]  # at each position, the token after it
        paths = attributions(model.embedded(tokens), layers, model.patterns(tokens), right)
        signed = sum(term if path in single else -term for path, term in paths.items())
        lead = mean_over(signed[:, :-1], drawn.predicted)
        evidence.observe(lead > 0, margin=lead)
