"""What reading activations costs, beside a bare forward pass and beside other libraries on the same weights."""

import warnings

import pytest
import torch

from benchmarks.ratios import ratios
from claims.subtraction.source import PROBLEMS
from fixtures.subtraction import CHECKPOINTS
from mechtests import scale, zero
from mechtests.cache import Cache
from mechtests.systems import Subtraction
from mechtests.systems.subtraction import MINUS, PLUS, tokens_of

SITES = ("blocks.0.attn.pattern", "blocks.0.mlp.pre")
PASSES = 32
"""Forward passes timed for the ablation of single neurons; the time of all 512 is 16 times theirs."""


@pytest.fixture(scope="module")
def subtraction():
    """A shipped seed, with a cache that keeps nothing."""
    path = next(iter(sorted(CHECKPOINTS.glob("*.safetensors"))))
    return Subtraction.load(path, torch.device("cuda" if torch.cuda.is_available() else "cpu"), Cache(0))


@pytest.fixture(scope="module")
def tokens(subtraction):
    return tokens_of(PROBLEMS).to(subtraction.device)


def finished(found):
    """``found``, once the device has it."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return found


def bare(module, *inputs, **arguments):
    with torch.inference_mode():
        return finished(module(*inputs, **arguments))


def test_capturing_costs_at_most_a_tenth_more_than_a_bare_pass(benchmark, subtraction, tokens):
    at = torch.tensor([3], device=subtraction.device)
    batches = tokens.split(len(tokens) // 20)
    runs = {
        "bare": lambda: bare(subtraction.module, tokens, positions=at),
        "bare, in batches": lambda: torch.cat([bare(subtraction.module, some, positions=at) for some in batches]),
        "captured": lambda: finished(subtraction.activations(tokens, SITES, positions=at)),
        "captured with the logits": lambda: finished(subtraction.activations(tokens, (*SITES, "logits"), positions=at)),
    }
    found = ratios(runs, against="bare")
    benchmark.extra_info.update(found)
    benchmark.pedantic(runs["captured"], rounds=3)
    assert found["captured"] <= 1.1
    assert found["captured with the logits"] <= 1.1


def test_capturing_beside_transformer_lens(benchmark, subtraction, tokens):
    lens = pytest.importorskip("transformer_lens", reason="pip install 'mechtests[bench]' for this comparison")
    sizes = subtraction.module.config
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = lens.HookedTransformer(
            lens.HookedTransformerConfig(
                n_layers=1,
                d_model=sizes.d_model,
                n_ctx=sizes.n_ctx,
                d_head=sizes.d_head,
                n_heads=sizes.n_heads,
                d_mlp=sizes.d_mlp,
                d_vocab=sizes.d_vocab,
                act_fn="relu",
                normalization_type=None,
                device=str(subtraction.device),
            )
        )
    renamed = {"W_E": "embed.W_E", "W_pos": "pos_embed.W_pos", "W_U": "unembed.W_U", "b_U": "unembed.b_U"}
    weights = {renamed.get(name, name): weight for name, weight in subtraction.module.state_dict().items()}
    theirs.load_state_dict(weights, strict=False)
    names = ["blocks.0.attn.hook_pattern", "blocks.0.mlp.hook_pre"]

    def cached(**arguments):
        with torch.inference_mode():
            return finished(theirs.run_with_cache(tokens, **arguments))[1]

    ours = subtraction.activations(tokens, SITES)
    their_own = cached(names_filter=names)
    for site, name in zip(SITES, names, strict=True):
        torch.testing.assert_close(ours[site], their_own[name], rtol=1e-3, atol=1e-3)
    runs = {
        "their bare pass": lambda: bare(theirs, tokens),
        "their run_with_cache": lambda: cached(names_filter=names),
        "their run_with_cache, everything": cached,
        "our bare pass": lambda: bare(subtraction.module, tokens),
        "our capture": lambda: finished(subtraction.activations(tokens, SITES)),
    }
    found = ratios(runs, against="their bare pass", rounds=5)
    benchmark.extra_info.update(found)
    benchmark.pedantic(runs["our capture"], rounds=3)
    assert found["our capture"] <= found["their run_with_cache"]


def test_capturing_beside_nnsight(benchmark, subtraction, tokens):
    nnsight = pytest.importorskip("nnsight", reason="pip install 'mechtests[bench]' for this comparison")
    theirs = nnsight.NNsight(subtraction.module)

    def traced():
        with torch.inference_mode(), theirs.trace(tokens):
            pattern = theirs.blocks[0].attn.pattern.output.save()
            pre = theirs.blocks[0].mlp.pre.output.save()
        return finished((pattern, pre))

    for mine, other in zip(subtraction.activations(tokens, SITES).values(), traced(), strict=True):
        torch.testing.assert_close(mine, other)
    runs = {
        "bare": lambda: bare(subtraction.module, tokens),
        "their trace": traced,
        "our capture": lambda: finished(subtraction.activations(tokens, SITES)),
    }
    found = ratios(runs, against="bare", rounds=5)
    benchmark.extra_info.update(found)
    benchmark.pedantic(runs["our capture"], rounds=3)
    assert found["our capture"] <= found["their trace"]


def test_ablating_each_neuron_is_one_product(benchmark, subtraction, tokens):
    signs, neurons = [PLUS, MINUS], subtraction.module.config.d_mlp
    at = torch.tensor([3], device=subtraction.device)
    # What every ablation starts from; with a cache it is there already.
    subtraction.cache = Cache()
    subtraction.logits(PROBLEMS)

    def by_passes():
        return [
            subtraction.activations(tokens, ["logits"], zero("blocks.0.mlp.post", neuron=one), positions=at)["logits"]
            for one in range(0, neurons, neurons // PASSES)
        ]

    def fresh():
        subtraction.cache.budget = 0  # passes whose outcome is kept would cost nothing the second time
        try:
            return finished(by_passes())
        finally:
            subtraction.cache.budget = 2 << 30

    runs = {"passes": fresh, "product": lambda: finished(subtraction.without_each_neuron(PROBLEMS, signs))}
    expected, found = fresh(), runs["product"]()[:: neurons // PASSES]
    greatest = subtraction.logits(PROBLEMS).abs().max()
    error = max((one[:, 0, signs] - two).abs().max() / greatest for one, two in zip(expected, found, strict=True))
    ratio = ratios(runs, against="product", rounds=3)["passes"] * neurons / PASSES
    benchmark.extra_info.update(times_faster=ratio, relative_error=float(error))
    benchmark.pedantic(runs["product"], rounds=3)
    assert error <= 1e-4
    assert ratio >= 50


def test_a_sweep_shares_what_comes_before(benchmark, subtraction, tokens):
    edits = [scale("blocks.0.mlp.pre", 0.5, neuron=one) for one in range(16)]
    runs = {
        "passes": lambda: [finished(subtraction.activations(tokens, ["logits"], edit)) for edit in edits],
        "sweep": lambda: [finished(found) for found in subtraction.sweep(tokens, ["logits"], edits)],
    }
    subtraction.cache = Cache(0)
    found = ratios(runs, against="passes", rounds=3)
    benchmark.extra_info.update(found)
    benchmark.pedantic(runs["sweep"], rounds=1)
    assert found["sweep"] < 1
