import pytest
import torch
from hypothesis import find as hypothesis_find
from hypothesis import given, settings

from mechtests.families import Integer, RepeatedSequences, RepeatedTokens
from mechtests.instruments import induction_targets

steady = settings(deadline=None, derandomize=True, max_examples=60)
FAMILY = RepeatedTokens()
SMALL = RepeatedTokens(d_vocab=12, n_ctx=10, length=Integer(2, 3), distance=Integer(3, 6))


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def find(strategy, condition):
    return hypothesis_find(strategy, condition, settings=settings(derandomize=True, database=None, max_examples=1000))


def test_a_sequence_written_out():
    sequences = SMALL.build(length=torch.tensor([3]), distance=torch.tensor([5]), seed=torch.tensor([4]))
    tokens, unrepeated = sequences.tokens[0].tolist(), sequences.unrepeated[0].tolist()
    assert tokens[2:5] == tokens[7:10]
    assert tokens[:2] + tokens[5:] == unrepeated[:2] + unrepeated[5:]
    assert sequences.first[0].nonzero().flatten().tolist() == [2, 3, 4]
    assert sequences.second[0].nonzero().flatten().tolist() == [7, 8, 9]
    assert sequences.predicted[0].nonzero().flatten().tolist() == [8, 9]
    assert sequences.targets[0].tolist() == [-1] * 7 + [3, 4, 5]


@steady
@given(SMALL.strategy())
def test_the_second_occurrence_repeats_the_first_and_nothing_else_is_repeated(sequences):
    tokens, unrepeated = sequences.tokens[0], sequences.unrepeated[0]
    length = sequences.length.item()
    assert tokens[sequences.first[0]].equal(tokens[sequences.second[0]])
    assert len(tokens.unique()) == len(tokens) - length
    assert len(unrepeated.unique()) == len(unrepeated)
    assert (tokens != unrepeated).equal(sequences.first[0])
    assert 0 <= tokens.min() <= tokens.max() < 12


@steady
@given(SMALL.strategy())
def test_the_targets_are_those_of_induction(sequences):
    assert sequences.targets.equal(induction_targets(sequences.tokens))
    predicted = sequences.predicted[0].nonzero().flatten()
    attended = sequences.tokens[0, sequences.targets[0, predicted - 1]]
    assert attended.equal(sequences.tokens[0, predicted])


def test_lengths_distances_and_tokens_are_uniform():
    sampled = FAMILY.sample(9_000, generator())
    assert sampled.tokens.shape == (9_000, 64)
    # A chi-square of k cells has a mean of k - 1 and a standard deviation of about sqrt(2 k).
    for values, low, high in ((sampled.length, 8, 16), (sampled.distance, 16, 48), (sampled.tokens[:, 63], 0, 255)):
        counts = torch.bincount(values, minlength=high + 1)[low:].double()
        expected = 9_000 / (high - low + 1)
        assert len(counts) == high - low + 1
        assert ((counts - expected) ** 2 / expected).sum() < len(counts) + 4 * (2 * len(counts)) ** 0.5
    assert torch.corrcoef(torch.stack([sampled.length, sampled.distance]).double())[0, 1].abs() < 0.04


def test_the_generator_decides_a_sample():
    first, again, other = (FAMILY.sample(50, generator(seed)) for seed in (1, 1, 2))
    assert first.tokens.equal(again.tokens)
    assert not first.tokens.equal(other.tokens)


def test_indexing_keeps_the_sequences_chosen_in_the_order_asked_for():
    sampled = FAMILY.sample(5, generator())
    chosen = sampled[torch.tensor([4, 0])]
    assert len(chosen) == 2
    assert chosen.tokens.equal(sampled.tokens[[4, 0]])
    assert chosen.unrepeated.equal(sampled.unrepeated[[4, 0]])
    assert chosen.targets.equal(sampled.targets[[4, 0]])


def test_the_strategy_shrinks_to_the_shortest_segment_nearby():
    simplest = find(SMALL.strategy(), lambda _: True)
    assert isinstance(simplest, RepeatedSequences)
    assert (simplest.length.item(), simplest.distance.item()) == (2, 3)
    assert simplest.tokens.equal(
        SMALL.build(length=torch.tensor([2]), distance=torch.tensor([3]), seed=torch.tensor([0])).tokens
    )
    assert find(SMALL.strategy(), lambda sequences: sequences.distance.item() > 4).distance.item() == 5


@pytest.mark.parametrize(
    ("length", "distance", "n_ctx"),
    [((2, 9), (8, 20), 40), ((2, 9), (9, 32), 40), ((1, 9), (9, 20), 40)],
    ids=["overlapping", "too long", "one token"],
)
def test_occurrences_that_do_not_fit_are_refused(length, distance, n_ctx):
    with pytest.raises(ValueError, match="Expected a length of 2 or more"):
        RepeatedTokens(256, n_ctx, Integer(*length), Integer(*distance))


def test_too_small_a_vocabulary_is_refused():
    with pytest.raises(ValueError, match="64 different tokens cannot be drawn from 63"):
        RepeatedTokens(d_vocab=63)
