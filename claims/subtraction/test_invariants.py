"""Invariants: what holds for every checkpoint, whatever it has learned. These are no claims, and none may fail."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mechtests import patch, scale, zero
from mechtests.families import SubtractionProblems
from mechtests.instruments import relative_error
from mechtests.systems.subtraction import (
    EMBEDDINGS,
    HEAD_OUTPUTS,
    NEURONS,
    PATTERN,
    POSITIONS,
    PREACTIVATIONS,
    RESIDUAL_MID,
    embedding_of,
    tokens_of,
)

ROUNDING = 1e-4
"""What float32 may lose, as a share of the greatest logit."""
few = settings(deadline=None, derandomize=True, max_examples=20)
problems = SubtractionProblems().strategy()
batches = st.lists(problems, min_size=2, max_size=8)


def plain_logits(subtraction, tokens):
    at = torch.tensor([POSITIONS["="]], device=subtraction.device)
    return subtraction.output(tokens, positions=at)[:, 0]


def edited_logits(subtraction, tokens, *edits):
    """Logits at '=' of a forward pass with ``edits`` made, and no shortcut."""
    return subtraction.activations(tokens, ["logits"], *edits)["logits"][:, POSITIONS["="]]


@few
@given(problems)
def test_attention_sums_to_one_and_ignores_what_comes_later(subtraction, problem):
    pattern = subtraction.activations(tokens_of(problem), [PATTERN])[PATTERN]
    torch.testing.assert_close(pattern.sum(-1), torch.ones_like(pattern.sum(-1)))
    assert (pattern >= 0).all()
    assert not pattern.triu(1).any()


@few
@given(problems)
def test_captured_logits_are_the_plain_ones_bit_for_bit(subtraction, problem):
    assert subtraction.logits(problem).equal(plain_logits(subtraction, tokens_of(problem)))


@few
@given(problems, st.sampled_from([EMBEDDINGS, RESIDUAL_MID, NEURONS]))
def test_scaling_by_one_changes_nothing(subtraction, problem, site):
    tokens = tokens_of(problem)
    assert edited_logits(subtraction, tokens, scale(site, 1)).equal(edited_logits(subtraction, tokens))


@few
@given(problems)
def test_zeroing_no_neuron_changes_nothing(subtraction, problem):
    none = torch.zeros(subtraction.d_mlp, dtype=torch.bool)
    tokens = tokens_of(problem)
    assert edited_logits(subtraction, tokens, zero(NEURONS, neuron=none)).equal(edited_logits(subtraction, tokens))


@few
@given(problems, st.sampled_from([EMBEDDINGS, HEAD_OUTPUTS, PREACTIVATIONS]))
def test_patching_a_run_with_itself_changes_nothing(subtraction, problem, site):
    tokens = tokens_of(problem)
    own = subtraction.activations(tokens, [site])[site]
    assert edited_logits(subtraction, tokens, patch(site, own)).equal(edited_logits(subtraction, tokens))


@few
@given(problems)
def test_without_any_head_the_direct_path_is_left(subtraction, problem):
    tokens, mid = tokens_of(problem), RESIDUAL_MID
    heads = [zero(subtraction.head(head)) for head in subtraction.heads]
    found = subtraction.activations(tokens, [EMBEDDINGS, "pos_embed", mid], *heads)
    assert relative_error(found[mid], found[EMBEDDINGS] + found["pos_embed"] + subtraction.attn.b_O) <= ROUNDING


@few
@given(problems)
def test_the_direct_part_and_the_neurons_part_make_the_logits(subtraction, problem):
    parts = subtraction.logits_from_neurons(problem, subtraction.neurons(problem))
    assert relative_error(parts, subtraction.logits(problem)) <= ROUNDING


@few
@given(batches)
def test_the_other_problems_of_a_batch_do_not_matter(subtraction, batch):
    together = plain_logits(subtraction, torch.cat([tokens_of(problem) for problem in batch]))
    alone = torch.cat([subtraction.logits(problem) for problem in batch])
    assert relative_error(together, alone) <= ROUNDING


@few
@given(problems, problems)
def test_with_its_operands_erased_every_problem_is_the_same(subtraction, first, second):
    erased = zero(embedding_of("a", "b"))
    assert subtraction.logits(first, erased).equal(subtraction.logits(second, erased))
