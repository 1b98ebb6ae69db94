"""What the source makes, and that no predictor can beat its ideal one."""

import itertools

import pytest
import torch
from copying_source import CopyingSource

TINY = CopyingSource(d_vocab=2, n_ctx=7, leave=0.3, begin=0.4, nearest=2)
SOURCE = CopyingSource()


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def sampled():
    return SOURCE.sample(2_000, generator())


class TestSequences:
    def test_copies_hold_the_tokens_that_they_were_copied_from(self, sampled):
        copied = sampled.copied_from >= 0
        originals = sampled.tokens.gather(1, sampled.copied_from.clamp(min=0))
        assert sampled.tokens[copied].equal(originals[copied])

    def test_a_copy_goes_on_token_by_token_for_sixteen_on_average(self, sampled):
        goes_on, copied = sampled.going_on, sampled.copied_from >= 0
        place = torch.arange(64)
        assert (place - sampled.copied_from)[copied].min() == 8
        assert (sampled.copied_from[:, 1:] - sampled.copied_from[:, :-1])[goes_on[:, 1:]].unique().tolist() == [1]
        # After a copied token a copy goes on with probability 15/16. Now and then a new one begins where it would.
        after = goes_on[:, 1:][copied[:, :-1]].double()
        assert after.mean().item() == pytest.approx(15 / 16, abs=0.005)
        assert not goes_on[:, 0].any()

    def test_copies_begin_at_the_stated_rate_anywhere_from_any_distance(self, sampled):
        before, here = sampled.copied_from[:, 7:-1], sampled.copied_from[:, 8:]
        begun = (here >= 0)[before < 0].double()
        assert begun.mean().item() == pytest.approx(1 / 8, abs=0.01)
        begins_at_40 = sampled.copied_from[(sampled.copied_from[:, 39] < 0) & (sampled.copied_from[:, 40] >= 0), 40]
        # Positions 0 to 32 alike: the mean is 16, with a standard error of 9.5 over the root of the number.
        assert begins_at_40.double().mean().item() == pytest.approx(16, abs=3 * 9.5 / len(begins_at_40) ** 0.5)
        assert not (sampled.copied_from[:, :8] >= 0).any()

    def test_fresh_tokens_are_uniform_or_follow_the_table(self, sampled):
        fresh = sampled.copied_from[:, 1:] < 0
        probability = SOURCE.bigrams[sampled.tokens[:, :-1], sampled.tokens[:, 1:]]
        uniform, markov = (probability[fresh & (sampled.markov == kind).unsqueeze(1)] for kind in (False, True))
        assert uniform.mean().item() == pytest.approx(1 / 256, rel=0.1)
        # A draw from row p has probability Σp² on average.
        before = sampled.tokens[:, :-1][fresh & sampled.markov.unsqueeze(1)]
        assert markov.mean().item() == pytest.approx(SOURCE.bigrams.square().sum(1)[before].mean().item(), rel=0.02)
        assert sampled.markov.double().mean().item() == pytest.approx(0.5, abs=0.04)

    def test_the_generator_decides(self):
        first, again, other = (SOURCE.sample(4, generator(seed)).tokens for seed in (1, 1, 2))
        assert first.equal(again)
        assert not first.equal(other)

    def test_the_table_is_the_same_for_all_and_its_rows_sum_to_one(self):
        assert SOURCE.bigrams.equal(CopyingSource().bigrams)
        torch.testing.assert_close(SOURCE.bigrams.sum(1), torch.ones(256, dtype=torch.float64))


class TestIdealPredictor:
    def test_gives_every_sequence_the_probability_that_it_has(self):
        every = torch.tensor(list(itertools.product(range(2), repeat=7)))
        probability = torch.exp(-TINY.ideal_losses(every).sum(1))
        assert probability.sum().item() == pytest.approx(1)
        codes = (TINY.sample(200_000, generator()).tokens * 2 ** torch.arange(6, -1, -1)).sum(1)
        expected = 200_000 * probability
        # The chi-square of 128 cells exceeds 182 once in a thousand times.
        assert ((torch.bincount(codes, minlength=128) - expected).square() / expected).sum() < 182

    def test_foresees_no_fresh_token_and_every_token_of_a_long_copy(self):
        segment = torch.randperm(256, generator=generator())[:32]
        losses = SOURCE.ideal_losses(torch.cat([segment, segment]).unsqueeze(0))[0]
        assert losses[:32].min() > 4
        assert losses[32] > 4
        assert losses[36:].max() < 0.1

    def test_is_no_worse_than_guessing(self, sampled):
        assert SOURCE.ideal_losses(sampled.tokens[:200]).mean() < 2.6
