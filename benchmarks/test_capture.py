"""Cost of reading activations, compared with a bare forward pass and with other libraries on the same weights."""

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
PASSES = 16
"""Forward passes timed for the ablation of single neurons; the time of all 512 is 32 times theirs."""


@pytest.fixture(scope="module")
def trained():
    """A shipped seed, with a cache that keeps nothing."""
    path = next(iter(sorted(CHECKPOINTS.glob("*.safetensors"))))
    return Subtraction.load(path, torch.device("cuda" if torch.cuda.is_available() else "cpu"), Cache(0))


@pytest.fixture(scope="module")
def tokens(trained):
    return tokens_of(PROBLEMS).to(trained.device)


def finished(found):
    """``found``, once the device has it."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return found


def bare(module, *inputs, **arguments):
    with torch.inference_mode():
        return finished(module(*inputs, **arguments))


def test_capturing_costs_at_most_a_tenth_more_than_a_bare_pass(benchmark, trained, tokens):
    at = torch.tensor([3], device=trained.device)
    batches = tokens.split(len(tokens) // 20)
    runs = {
        "bare": lambda: bare(trained.module, tokens, positions=at),
        "bare, in batches": lambda: torch.cat([bare(trained.module, some, positions=at) for some in batches]),
        "captured": lambda: finished(trained.activations(tokens, SITES, positions=at)),
        "captured with the logits": lambda: finished(trained.activations(tokens, (*SITES, "logits"), positions=at)),
    }
    found = ratios(runs, against="bare")
    benchmark.extra_info.update(found)
    benchmark.pedantic(runs["captured"], rounds=3)
    assert found["captured"] <= 1.1
    assert found["captured with the logits"] <= 1.1


def test_capturing_beside_transformer_lens(benchmark, trained, tokens):
    lens = pytest.importorskip("transformer_lens", reason="pip install 'mechtests[bench]' for this comparison")
    sizes = trained.module.config
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
                device=str(trained.device),
            )
        )
    renamed = {"W_E": "embed.W_E", "W_pos": "pos_embed.W_pos", "W_U": "unembed.W_U", "b_U": "unembed.b_U"}
    weights = {renamed.get(name, name): weight for name, weight in trained.module.state_dict().items()}
    theirs.load_state_dict(weights, strict=False)
    names = ["blocks.0.attn.hook_pattern", "blocks.0.mlp.hook_pre"]

    def cached(**arguments):
        with torch.inference_mode():
            return finished(theirs.run_with_cache(tokens, **arguments))[1]

    ours = trained.activations(tokens, SITES)
    their_own = cached(names_filter=names)
    for site, name in zip(SITES, names, strict=True):
        torch.testing.assert_close(ours[site], their_own[name], rtol=1e-3, atol=1e-3)
    runs = {
        "their bare pass": lambda: bare(theirs, tokens),
        "their run_with_cache": lambda: cached(names_filter=names),
        "their run_with_cache, everything": cached,
        "our bare pass": lambda: bare(trained.module, tokens),
        "our capture": lambda: finished(trained.activations(tokens, SITES)),
    }
    found = ratios(runs, against="their bare pass", rounds=3)
    benchmark.extra_info.update(found)
    benchmark.pedantic(runs["our capture"], rounds=3)
    assert found["our capture"] <= found["their run_with_cache"]


def test_capturing_beside_nnsight(benchmark, trained, tokens):
    nnsight = pytest.importorskip("nnsight", reason="pip install 'mechtests[bench]' for this comparison")
    theirs = nnsight.NNsight(trained.module)

    def traced():
        with torch.inference_mode(), theirs.trace(tokens):
            pattern = theirs.blocks[0].attn.pattern.output.save()
            pre = theirs.blocks[0].mlp.pre.output.save()
        return finished((pattern, pre))

    for mine, other in zip(trained.activations(tokens, SITES).values(), traced(), strict=True):
        torch.testing.assert_close(mine, other)
    runs = {
        "bare": lambda: bare(trained.module, tokens),
        "their trace": traced,
        "our capture": lambda: finished(trained.activations(tokens, SITES)),
    }
    found = ratios(runs, against="bare", rounds=3)
    benchmark.extra_info.update(found)
    benchmark.pedantic(runs["our capture"], rounds=3)
    assert found["our capture"] <= found["their trace"]


def test_ablating_each_neuron_is_one_product(benchmark, trained, tokens):
    signs, neurons = [PLUS, MINUS], trained.module.config.d_mlp
    some = range(0, neurons, neurons // PASSES)
    at = torch.tensor([3], device=trained.device)
    # What every ablation starts from is in the cache of one; the other keeps nothing, so that it makes its passes.
    kept = Subtraction(trained.module, "subtraction")
    greatest = kept.logits(PROBLEMS).abs().max()

    def by_passes():
        edits = [zero("blocks.0.mlp.post", neuron=neuron) for neuron in some]
        return [trained.activations(tokens, ["logits"], edit, positions=at)["logits"] for edit in edits]

    runs = {
        "passes": lambda: finished(by_passes()),
        "product": lambda: finished(kept.without_each_neuron(PROBLEMS, signs)),
    }
    expected, found = runs["passes"](), runs["product"]()[:: neurons // PASSES]
    error = max((one[:, 0, signs] - two).abs().max() / greatest for one, two in zip(expected, found, strict=True))
    ratio = ratios(runs, against="product", rounds=2)["passes"] * neurons / PASSES
    benchmark.extra_info.update(times_faster=ratio, relative_error=float(error))
    benchmark.pedantic(runs["product"], rounds=3)
    assert error <= 1e-4
    assert ratio >= 50


def test_a_sweep_shares_what_comes_before(benchmark, trained, tokens):
    edits = [scale("blocks.0.mlp.pre", 0.5, neuron=one) for one in range(16)]
    runs = {
        "passes": lambda: [finished(trained.activations(tokens, ["logits"], edit)) for edit in edits],
        "sweep": lambda: [finished(found) for found in trained.sweep(tokens, ["logits"], edits)],
    }
    found = ratios(runs, against="passes", rounds=3)
    benchmark.extra_info.update(found)
    benchmark.pedantic(runs["sweep"], rounds=1)
    assert found["sweep"] < 1
