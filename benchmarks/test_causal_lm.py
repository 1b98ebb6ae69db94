"""Scores of all heads of a causal language model, compared with TransformerLens on the same weights."""

import warnings

import pytest
import torch

from benchmarks.meter import Meter
from benchmarks.ratios import ratios
from mechtests.cache import Cache
from mechtests.families import RepeatedTokens
from mechtests.instruments import prefix_matching_score, previous_token_score
from mechtests.systems import CausalLM

transformers = pytest.importorskip("transformers", reason="pip install 'mechtests[hf]' for this comparison")

CONFIG = transformers.GPT2Config(
    vocab_size=1024,
    n_positions=64,
    n_embd=128,
    n_layer=2,
    n_head=4,
    bos_token_id=None,
    eos_token_id=None,
)
SEQUENCES = 512


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    """A GPT-2 with new weights, with a cache that keeps nothing."""
    folder = tmp_path_factory.mktemp("models") / "gpt2"
    torch.manual_seed(0)
    transformers.GPT2LMHeadModel(CONFIG).save_pretrained(folder)
    return CausalLM.load(folder, torch.device("cpu"), Cache(0))


@pytest.fixture(scope="module")
def theirs(ours):
    lens = pytest.importorskip("transformer_lens", reason="pip install 'mechtests[bench]' for this comparison")
    from transformer_lens.pretrained.weight_conversions import convert_gpt2_weights  # noqa: PLC0415 - it may be absent

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sizes = lens.HookedTransformerConfig(
            n_layers=CONFIG.n_layer,
            d_model=CONFIG.n_embd,
            n_ctx=CONFIG.n_positions,
            d_head=CONFIG.n_embd // CONFIG.n_head,
            n_heads=CONFIG.n_head,
            d_mlp=4 * CONFIG.n_embd,
            d_vocab=CONFIG.vocab_size,
            act_fn="gelu_new",
            normalization_type="LN",
            eps=CONFIG.layer_norm_epsilon,
            device="cpu",
        )
        model = lens.HookedTransformer(sizes)
        model.load_state_dict(convert_gpt2_weights(ours.module, sizes), strict=False)
    return model.eval().requires_grad_(False)


def test_scores_of_all_heads_beside_transformer_lens(benchmark, ours, theirs):
    family = RepeatedTokens(d_vocab=ours.d_vocab)
    tokens = family.sample(SEQUENCES, torch.Generator().manual_seed(0)).tokens
    layers = range(ours.n_layers)
    patterns = [f"blocks.{layer}.attn.hook_pattern" for layer in layers]

    def scores(found):
        each = [
            torch.stack([score(one, tokens) for one in found])
            for score in (previous_token_score, prefix_matching_score)
        ]
        return torch.stack(each)

    def captured():
        sites = [ours.pattern_site(layer) for layer in layers]
        found = ours.activations(tokens, sites)
        return scores([found[site] for site in sites])

    def cached(**arguments):
        with torch.inference_mode():
            _, cache = theirs.run_with_cache(tokens, **arguments)
            return scores([cache[name] for name in patterns])

    runs = {
        "our capture": captured,
        "their run_with_cache, the patterns": lambda: cached(names_filter=patterns),
        "their run_with_cache, the patterns, stopped at the last layer": lambda: cached(
            names_filter=patterns, stop_at_layer=ours.n_layers
        ),
        "their run_with_cache, everything": cached,
    }
    torch.testing.assert_close(captured(), cached(names_filter=patterns), rtol=1e-3, atol=1e-5)
    peaks = {}
    for name, run in runs.items():
        with Meter() as meter:
            run()
        peaks[name] = meter.peak_bytes
    times = ratios(runs, against="our capture", rounds=3)
    benchmark.extra_info.update(
        times=times,
        peaks={name: peak / peaks["our capture"] for name, peak in peaks.items()},
        mib=peaks["our capture"] / 2**20,
    )
    benchmark.pedantic(captured, rounds=2)
    assert times["their run_with_cache, the patterns"] >= 1
    assert peaks["their run_with_cache, the patterns"] >= peaks["our capture"]
