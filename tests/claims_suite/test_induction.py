"""The claim files of the induction system, on planted models of which the right verdicts are known."""

import copy

import pytest
import torch

from claims.induction import test_path_expansion, test_tensor_network
from claims.induction.selectors import (
    induction_head,
    induction_heads,
    other_heads,
    previous_token_head,
    previous_token_heads,
    scores,
)
from claims.induction.source import long_segments, sequences, short_sequences
from claims.induction.test_over_training_runs import AT_WORK
from claims.induction.test_over_training_runs import FINDINGS as IN_WEIGHTS_AND_PATTERNS
from fixtures.induction import CHECKPOINTS
from mechtests import Head, Verdict, findings
from mechtests.cache import Cache
from mechtests.judging.judge import Judge, Settings
from mechtests.systems import Induction
from mechtests.systems.induction.transformer import AttentionOnlyConfig, AttentionOnlyTransformer

FINDINGS = {
    str(finding): finding
    for finding in (*IN_WEIGHTS_AND_PATTERNS, *AT_WORK, *findings(test_path_expansion, test_tensor_network))
}
SUPPORTED = Verdict.SUPPORTED
CHEAP = [name for name in FINDINGS if not name.startswith("induction-heads/")]
ABLATIONS = (
    "induction-heads/necessary[previous_token_heads-zeroed]",
    "induction-heads/necessary[induction_heads-zeroed]",
    "induction-heads/specific-to-repeats[induction_heads]",
    "induction-heads/sufficient[both_kinds-zeroed]",
    "induction-heads/graded[previous_token_heads]",
)
"""Those of the dearer claims that are tried here; the others differ in the heads, the ablation or the sequences."""

# ---------------------------------------------------------------------------------------------------------------------
# The lecture's algorithm, written into the weights by hand

TOKENS, PLACES = 66, 64
TOKEN, BEFORE, FORETOLD, PLACE = (slice(begin, begin + TOKENS) for begin in range(0, 4 * TOKENS, TOKENS))
"""Parts of the residual stream: the token, the one before it, the one that induction foretells, and the position."""
READER, WRITER = Head(0, 1), Head(1, 2)
"""The previous-token head and the induction head."""
SHARP = 100.0
"""The score of the key that a head looks for, before it is divided by the root of d_head."""
OWN = 0.6
"""The share of it that the induction head's own position scores: without a match that is where it attends."""


def by_hand(matches=SHARP, copies=12.0, looks_back=10 * SHARP):
    """A model in which one head finds the previous token, one what followed it before, and the others write noise.

    Args:
        matches: how sharply the induction head looks for its token among the previous tokens.
        copies: what it adds to the logit of the token that it attends to.
        looks_back: how sharply the first head looks for the position before.
    """
    sizes = AttentionOnlyConfig(d_vocab=TOKENS, n_ctx=PLACES, d_model=4 * TOKENS, n_heads=3, d_head=TOKENS)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = AttentionOnlyTransformer(sizes).requires_grad_(False)
    for weight in module.parameters():
        weight.mul_(0.01)  # a little of everything, as trained weights have it
    one = torch.eye(TOKENS)
    module.W_E.zero_()[:, TOKEN] = one
    module.W_pos.zero_()[:, PLACE] = one[:PLACES]
    module.W_U.zero_()[FORETOLD] = one

    back = module.blocks[READER.layer].attn
    _clear(back, READER.index)
    back.W_Q[READER.index, PLACE] = looks_back * one.roll(-1, 1)  # of each position, the one before it
    back.W_K[READER.index, PLACE] = one
    back.W_V[READER.index, TOKEN] = one
    back.W_O[READER.index, :, BEFORE] = one

    match = module.blocks[WRITER.layer].attn
    _clear(match, WRITER.index)
    match.W_Q[WRITER.index, TOKEN] = matches * one
    match.W_K[WRITER.index, BEFORE] = one
    match.W_K[WRITER.index, TOKEN] = OWN * one
    match.W_V[WRITER.index, TOKEN] = one
    match.W_O[WRITER.index, :, FORETOLD] = copies * one
    return Induction(module, "induction", cache=Cache())


def _clear(attn, head):
    for weight in (attn.W_Q, attn.W_K, attn.W_V, attn.W_O):
        weight[head] = 0


@pytest.fixture(scope="module")
def judged():
    judge = Judge(Settings(budget=256))
    return lambda name, system: FINDINGS[name].judge(judge, system)


@pytest.fixture(scope="module")
def hand():
    return by_hand()


@pytest.fixture(scope="module")
def shipped():
    return Induction.load(CHECKPOINTS / "two-layer-seed00.safetensors", torch.device("cpu"), Cache())


@pytest.fixture(scope="module")
def damaged(shipped):
    """The shipped model without its previous-token heads: none of their weights is left."""
    module = copy.deepcopy(shipped.module)
    for head in previous_token_heads(shipped):
        _clear(module.blocks[head.layer].attn, head.index)
    return Induction(module, "induction", cache=Cache())


class TestTheLecturesAlgorithm:
    @pytest.mark.parametrize("family", [sequences, short_sequences, long_segments])
    def test_is_what_the_model_written_by_hand_computes(self, hand, family):
        drawn = family(hand).sample(32, torch.Generator().manual_seed(0))
        told = hand.logits(drawn.tokens)[:, :-1].argmax(-1)
        assert (told == drawn.tokens[:, 1:])[drawn.foretold[:, 1:]].all()

    def test_its_heads_are_found(self, hand):
        assert previous_token_head(hand) == READER
        assert previous_token_heads(hand) == [READER]
        assert induction_head(hand) == WRITER
        assert induction_heads(hand) == [WRITER]
        assert other_heads(hand) == [Head(0, 0), Head(0, 2), Head(1, 0), Head(1, 1)]

    @pytest.mark.parametrize("name", [*CHEAP, *ABLATIONS])
    def test_supports_every_claim_of_the_lecture(self, name, hand, judged):
        judgement = judged(name, hand)
        assert judgement.verdict is SUPPORTED, (judgement.estimate, judgement.reason)


VARIANTS = {
    "in-context-learning/repeats-are-easier[repeated]": {"copies": -12.0},
    "previous-token-head/exists[previous_token_head]": {"looks_back": 0.0},
    "prefix-matching/exists[induction_head]": {"matches": -SHARP},
    "prefix-matching/on-other-sequences[short_sequences]": {"matches": 0.0},
    "copying/raises-the-attended-token[strongest_induction_head]": {"copies": -12.0},
    "copying/positive-eigenvalues[strongest_induction_head]": {"copies": -12.0},
    "copying/in-activations[induction_head]": {"copies": -12.0},
    "token-match/matches-its-own-token[previous_token_heads]": {"matches": -SHARP},
    "induction-heads/necessary[induction_heads-zeroed]": {"copies": 0.0},
    "induction-heads/sufficient[both_kinds-zeroed]": {"copies": -12.0},
}
"""A change to the algorithm that makes the claim of that name false."""


@pytest.mark.parametrize("name", VARIANTS)
def test_a_claim_is_not_supported_on_a_model_that_does_otherwise(name, judged):
    assert judged(name, by_hand(**VARIANTS[name])).verdict is not SUPPORTED


class TestWithoutThePreviousTokenHeads:
    """What rests on those heads is lost, and what does not is not."""

    LOST = (
        "previous-token-head/exists[previous_token_head]",
        "prefix-matching/exists[induction_head]",
        "token-match/matches-its-own-token[previous_token_heads]",
        "composition/k-term-dominates[k_composition]",
        "composition/k-above-random",
        "induction-heads/necessary[previous_token_heads-zeroed]",
        "induction-heads/sufficient[both_kinds-zeroed]",
    )
    """Not among them: that the heads found are necessary. A little learning in context is left, and rests on some."""

    KEPT = (
        "copying/raises-the-attended-token[induction_heads]",
        "path-expansion/logits[every_path]",
        "path-expansion/scores[four_terms]",
        "tensor-network/attention-pattern[queries_by_keys]",
    )

    @pytest.mark.parametrize("name", LOST)
    def test_is_lost(self, name, shipped, damaged, judged):
        assert judged(name, shipped).verdict is SUPPORTED
        assert judged(name, damaged).verdict is not SUPPORTED

    @pytest.mark.parametrize("name", KEPT)
    def test_is_kept(self, name, shipped, damaged, judged):
        assert judged(name, shipped).verdict is SUPPORTED
        assert judged(name, damaged).verdict is SUPPORTED


class TestModelsThatLearnedNothing:
    def test_have_heads_of_both_kinds_that_are_as_weak_as_chance(self, shipped):
        found = scores(shipped.untrained(10_000))
        assert found.prefix.max() < 0.05
        assert found.previous.max() < 0.2

    @pytest.mark.parametrize("name", [name for name in CHEAP if not name.startswith(("path-exp", "tensor-"))])
    def test_an_untrained_model_supports_no_claim(self, name, shipped, judged):
        if "q-not-above-random" in name:
            pytest.skip("what is claimed is that nothing is there")
        assert judged(name, shipped.untrained(10_000)).verdict is not SUPPORTED
