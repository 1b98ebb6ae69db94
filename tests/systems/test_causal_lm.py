"""The adapter against the library's own outputs, on small random models of each family, and what it refuses."""

import copy
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from mechtests import CheckpointError
from mechtests.activations.interventions import replace, zero
from mechtests.cache import Cache
from mechtests.instruments import causal_mask
from mechtests.systems import CausalLM, Head

transformers = pytest.importorskip("transformers", reason="pip install 'mechtests[hf]'")

SIZES = {"vocab_size": 70, "bos_token_id": None, "eos_token_id": None}
LLAMA = {
    **SIZES,
    "hidden_size": 24,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 10,
    "max_position_embeddings": 64,
}
CONFIGS = {
    "gpt2": transformers.GPT2Config(**SIZES, n_positions=64, n_embd=24, n_layer=3, n_head=3),
    "gpt2-untied": transformers.GPT2Config(
        **SIZES,
        n_positions=64,
        n_embd=24,
        n_layer=2,
        n_head=4,
        tie_word_embeddings=False,
        scale_attn_by_inverse_layer_idx=True,
        reorder_and_upcast_attn=True,
    ),
    **{
        name: transformers.GPTNeoXConfig(
            **SIZES,
            hidden_size=32,
            intermediate_size=40,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=64,
            rope_parameters={"rope_type": "default", "rope_theta": 100.0, "partial_rotary_factor": 0.5},
            use_parallel_residual=parallel,
        )
        for name, parallel in (("gpt_neox", True), ("gpt_neox-serial", False))
    },
    "llama": transformers.LlamaConfig(**LLAMA),
    "llama-tied": transformers.LlamaConfig(
        **LLAMA | {"num_key_value_heads": 1, "tie_word_embeddings": True, "attention_bias": True},
        rope_parameters={
            "rope_type": "llama3",
            "rope_theta": 500.0,
            "factor": 2.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 32,
        },
    ),
}
CPU = torch.device("cpu")
TOKENS = torch.randint(70, (5, 64), generator=torch.Generator().manual_seed(0))


def theirs_of(name):
    """The library's model with weights that are large enough that no part of it can be left out."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = transformers.AutoModelForCausalLM.from_config(CONFIGS[name], attn_implementation="eager")
        for weight in model.parameters():
            nn.init.normal_(weight, mean=1.0 if weight.ndim == 1 else 0.0, std=0.3)
    return model.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Where each configuration's model is saved."""
    folder = tmp_path_factory.mktemp("models")
    for name in CONFIGS:
        theirs_of(name).save_pretrained(folder / name)
    return folder


@pytest.fixture(params=CONFIGS)
def name(request):
    return request.param


@pytest.fixture
def ours(saved, name):
    return CausalLM.load(saved / name, CPU, Cache())


@pytest.fixture
def theirs(saved, name):
    model = transformers.AutoModelForCausalLM.from_pretrained(
        saved / name, attn_implementation="eager", dtype=torch.float32, local_files_only=True
    )
    return model.eval().requires_grad_(False)


def close(one, other):
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def layers_of(model):
    return model.base_model.layers if hasattr(model.base_model, "layers") else model.base_model.h


def attention_of(block):
    return next(module for child, module in block.named_children() if "attn" in child or child == "attention")


class TestSites:
    def test_patterns_residuals_and_logits_are_the_librarys_own(self, ours, theirs):
        expected = theirs(TOKENS, output_attentions=True, output_hidden_states=True)
        close(ours.logits(TOKENS), expected.logits)
        assert len(expected.attentions) == ours.n_layers
        for layer, pattern in enumerate(expected.attentions):
            close(ours.pattern(TOKENS, layer), pattern)
        blocks = [site for site, axes in ours.axes.items() if axes == "batch query model"]
        found = ours.activations(TOKENS, blocks)
        for block, resid in zip(blocks[:-1], expected.hidden_states[1:-1], strict=True):  # the last one is normed
            close(found[block], resid)

    def test_losses_are_the_librarys_own(self, ours, theirs):
        each = [theirs(one, labels=one).loss for one in TOKENS.split(1)]
        close(ours.losses(TOKENS).mean(1), torch.stack(each))

    def test_sizes(self, ours, theirs):
        config = theirs.config
        assert (ours.d_vocab, ours.n_ctx) == (70, 64)
        assert (ours.n_layers, ours.n_heads) == (config.num_hidden_layers, config.num_attention_heads)
        assert len(ours.heads) == ours.n_layers * ours.n_heads

    def test_every_named_site_has_its_axes(self, ours):
        found = ours.activations(TOKENS, ours.axes)
        assert all(found[site].ndim == len(axes.split()) for site, axes in ours.axes.items())

    def test_batches_change_nothing(self, saved, name, ours):
        many = TOKENS.repeat(20, 1)[:97]
        cut = CausalLM.load(saved / name, CPU, Cache())
        cut.batch_bytes = 1  # the least, which is 16 sequences
        sites = [ours.pattern_site(1), "lm_head", ours.head(Head(0, 1))]
        whole, batched = ours.activations(many, sites), cut.activations(many, sites)
        assert all(len(batched[site]) == 97 for site in sites)
        for site in sites:
            close(whole[site], batched[site])

    def test_a_pass_ends_at_the_last_pattern_asked_for_and_leaves_no_trace(self, ours, theirs):
        last = layers_of(ours.module)[1]
        reached = []
        hook = last.register_forward_hook(lambda *_: reached.append(True))
        ours.pattern(TOKENS, 0)
        assert not reached
        ours.logits(TOKENS)
        assert reached
        hook.remove()
        assert not any(one._forward_hooks or one._forward_pre_hooks for one in ours.module.modules())
        after = ours.module(TOKENS, output_attentions=True)
        expected = theirs(TOKENS, output_attentions=True)
        close(after.logits, expected.logits)
        close(after.attentions[-1], expected.attentions[-1])

    def test_what_was_read_is_not_computed_again(self, ours):
        first = ours.pattern(TOKENS, 1)
        passes = ours.cache.passes
        assert ours.pattern(TOKENS, 1).equal(first)
        assert ours.cache.passes == passes

    def test_a_sequence_longer_than_the_context(self, ours):
        with pytest.raises(ValueError, match="a sequence of 65 tokens; this model takes 64 at most"):
            ours.logits(torch.zeros(1, 65, dtype=torch.long))


class TestInterventions:
    def test_ablating_a_head_is_zeroing_its_part_of_the_output_projection(self, ours, theirs):
        head = Head(1, ours.n_heads - 1)
        attention = attention_of(layers_of(theirs)[head.layer])
        projection = next(one for child, one in attention.named_children() if child in ("c_proj", "o_proj", "dense"))
        # A row an input in GPT-2's own layer, a column an input in every other.
        weight = projection.weight if name_of(projection) == "Conv1D" else projection.weight.T
        size = len(weight) // ours.n_heads
        weight[head.index * size : (head.index + 1) * size] = 0
        expected = theirs(TOKENS).logits
        close(ours.logits(TOKENS, zero(ours.head(head))), expected)
        assert (ours.logits(TOKENS) - expected).abs().max() > 0.01

    def test_a_head_without_attention_is_a_head_ablated(self, ours):
        head = Head(0, 1)
        without = ours.logits(TOKENS, zero(ours.pattern_site(0), head=1))
        close(without, ours.logits(TOKENS, zero(ours.head(head))))
        assert (without - ours.logits(TOKENS)).abs().max() > 0.01

    def test_an_edited_pattern_decides_what_the_head_reads(self, ours):
        head, own = ours.head(Head(0, 0)), replace(ours.pattern_site(0), torch.eye(64), "attention to oneself")
        found = ours.activations(TOKENS, [head], own)
        heads, resid = ours.weights(0), normalised(ours, 0)
        expected = resid @ heads.W_V[0] + biases(ours, 0)[2][0]
        close(found[head], expected)


def name_of(module):
    return type(module).__name__


def block_of(ours, layer):
    return ours.module.get_submodule(ours.pattern_site(layer).rpartition(".")[0].rpartition(".")[0])


def norm_of(block):
    return block.ln_1 if hasattr(block, "ln_1") else block.input_layernorm


def divided(resid, norm):
    """What a norm does before its scale and its bias."""
    if isinstance(norm, nn.LayerNorm):
        return nn.functional.layer_norm(resid, resid.shape[-1:], eps=norm.eps)
    return resid * (resid.square().mean(-1, keepdim=True) + norm.variance_epsilon).rsqrt()


def normalised(ours, layer):
    """The residual stream as a layer's heads read it, before the scale and the bias of the norm."""
    block = block_of(ours, layer)
    path = next(path for path, module in ours.module.named_modules() if module is block)
    return divided(ours.activations(TOKENS, [f"{path}:input"])[f"{path}:input"], norm_of(block))


def biases(ours, layer):
    """What the biases of norm and projections add to queries, keys and values: ``[3, head, 1, d_head]``."""
    block, heads = block_of(ours, layer), ours.n_heads
    attention, norm = attention_of(block), norm_of(block)
    zero_in = torch.zeros(1, ours.W_E.shape[1])
    given = zero_in if getattr(norm, "bias", None) is None else zero_in + norm.bias
    if hasattr(attention, "c_attn"):
        return attention.c_attn(given).reshape(3, heads, 1, -1)
    if hasattr(attention, "query_key_value"):
        return attention.query_key_value(given).reshape(heads, 3, 1, -1).transpose(0, 1)
    each = [one(given).reshape(-1, 1, attention.head_dim) for one in (attention.q_proj, attention.k_proj)]
    each.append(attention.v_proj(given).reshape(-1, 1, attention.head_dim))
    return torch.stack([one.repeat_interleave(heads // len(one), 0) for one in each])


def rotated(ours, q, k):
    """Queries and keys turned by their positions, by the library's own functions, where the family does that."""
    model = ours.module.base_model
    if not hasattr(model, "rotary_emb"):
        return q, k
    turned = sys.modules[type(model).__module__].apply_rotary_pos_emb
    return turned(q, k, *model.rotary_emb(q, torch.arange(q.shape[-2]).unsqueeze(0)))


class TestWeights:
    """With biases and rotation added, the weights give patterns, outputs and logits exactly, up to rounding."""

    @pytest.mark.parametrize("layer", [0, 1])
    def test_patterns_and_outputs_from_the_weights_of_the_heads(self, ours, layer):
        heads, resid = ours.weights(layer), normalised(ours, layer).unsqueeze(1)
        added = biases(ours, layer)
        q, k, v = (resid @ one + bias for one, bias in zip((heads.W_Q, heads.W_K, heads.W_V), added, strict=True))
        q, k = rotated(ours, q, k)
        attention = attention_of(block_of(ours, layer))
        scores = (q @ k.mT * attention.scaling).masked_fill(~causal_mask(64), -torch.inf)
        pattern = scores.softmax(-1)
        close(ours.pattern(TOKENS, layer), pattern)
        path = ours.pattern_site(layer).rpartition(".")[0]
        projection = next(one for child, one in attention.named_children() if child in ("c_proj", "o_proj", "dense"))
        bias = 0 if projection.bias is None else projection.bias
        out = (pattern @ v @ heads.W_O).sum(1) + bias
        torch.testing.assert_close(ours.activations(TOKENS, [path])[path], out, rtol=1e-3, atol=1e-4)

    def test_logits_from_the_last_residual_and_the_unembedding(self, ours):
        norm = ours.module.base_model
        norm = next(one for child, one in norm.named_children() if child in ("ln_f", "final_layer_norm", "norm"))
        path = next(path for path, module in ours.module.named_modules() if module is norm)
        resid = ours.activations(TOKENS, [f"{path}:input"])[f"{path}:input"]
        bias = 0 if getattr(norm, "bias", None) is None else norm.bias @ ours.module.lm_head.weight.T
        torch.testing.assert_close(ours.logits(TOKENS), divided(resid, norm) @ ours.W_U + bias, rtol=1e-3, atol=1e-4)

    def test_the_mean_that_a_layer_norm_takes_off_is_not_read(self, ours):
        mean = ours.weights(0).W_Q.mean(1).abs().max()
        assert (mean < 1e-6) == isinstance(norm_of(block_of(ours, 0)), nn.LayerNorm)

    def test_embedding(self, ours, theirs):
        assert ours.W_E.equal(theirs.get_input_embeddings().weight)

    def test_grouped_queries_share_their_keys_and_values(self, saved):
        heads = CausalLM.load(saved / "llama", CPU, Cache()).weights(0)
        for weight in (heads.W_K, heads.W_V):
            assert weight[0].equal(weight[1])
            assert weight[2].equal(weight[3])
            assert not weight[1].equal(weight[2])
        assert not heads.W_Q[0].equal(heads.W_Q[1])


class TestTwins:
    def test_untrained_twins_are_drawn_anew_and_by_their_seed(self, ours):
        one, other = ours.untrained(0), ours.untrained(1)
        assert not one.W_E.equal(other.W_E)
        assert not one.W_E.equal(ours.W_E)
        assert one.W_E.std() == pytest.approx(0.02, rel=0.2)  # the library's own initialisation
        again = copy.copy(ours)
        again._untrained = {}
        assert again.untrained(0).W_E.equal(one.W_E)
        assert one.pattern(TOKENS, 1).shape == ours.pattern(TOKENS, 1).shape

    def test_a_twin_is_as_tied_as_its_model(self, ours):
        tied = ours.module.config.tie_word_embeddings
        for twin in (ours.untrained(0), ours.shuffled(0)):
            assert (twin.module.lm_head.weight is twin.W_E) == tied
            assert twin.losses(TOKENS).isfinite().all()

    def test_models_that_differ_in_no_shape_have_no_twins_in_common(self, saved, tmp_path):
        one = CausalLM.load(saved / "llama", CPU, Cache())
        folder = copied(saved / "llama", tmp_path)
        configure(folder, rope_parameters={"rope_type": "default", "rope_theta": 7.0})
        other = CausalLM.load(folder, CPU, Cache())
        assert one.untrained(0) != other.untrained(0)
        assert one != other


def copied(folder, tmp_path, name="model"):
    new = tmp_path / name
    new.mkdir()
    for file in folder.iterdir():
        (new / file.name).write_bytes(file.read_bytes())
    return new


def configure(folder, **changes):
    config = json.loads((folder / "config.json").read_text()) | changes
    (folder / "config.json").write_text(json.dumps(config))


def reweigh(folder, change):
    """Save the weights as ``change`` gives them."""
    file = folder / "model.safetensors"
    save_file({name: one.clone() for name, one in change(load_file(file)).items()}, file, metadata={"format": "pt"})


class TestOtherFormsOnDisk:
    def test_half_precision_is_loaded_in_float32(self, saved, tmp_path, name):
        folder = copied(saved / name, tmp_path)
        reweigh(folder, lambda weights: {key: one.bfloat16() for key, one in weights.items()})
        configure(folder, dtype="bfloat16")
        system = CausalLM.load(folder, CPU, Cache())
        assert {one.dtype for one in system.module.parameters()} == {torch.float32}
        assert system.W_E.equal(load_file(saved / name / "model.safetensors")[embedding_in(name)].bfloat16().float())
        assert system.untrained(0).W_E.dtype == torch.float32

    def test_gpt2_as_first_published(self, saved, tmp_path):
        folder = copied(saved / "gpt2", tmp_path)
        mask = {f"h.{layer}.attn.bias": torch.ones(1, 1, 64, 64).tril() for layer in range(3)}
        reweigh(folder, lambda found: mask | {key.removeprefix("transformer."): one for key, one in found.items()})
        self.same(saved / "gpt2", folder)

    def test_pythia_as_first_published(self, saved, tmp_path):
        folder = copied(saved / "gpt_neox", tmp_path)
        constants = {
            f"gpt_neox.layers.{layer}.attention.{name}": torch.ones(4)
            for layer in range(2)
            for name in ("bias", "masked_bias", "rotary_emb.inv_freq")
        }
        reweigh(
            folder,
            lambda found: constants | {key.replace("lm_head", "embed_out"): one for key, one in found.items()},
        )
        assert "embed_out.weight" in load_file(folder / "model.safetensors")
        self.same(saved / "gpt_neox", folder)

    def test_shards(self, saved, tmp_path, name):
        theirs_of(name).save_pretrained(tmp_path / "shards", max_shard_size="20KB")
        assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 1
        self.same(saved / name, tmp_path / "shards")

    def same(self, one, other):
        first, second = (CausalLM.load(folder, CPU, Cache()) for folder in (one, other))
        assert first.logits(TOKENS).equal(second.logits(TOKENS))
        assert first.checkpoint.sha256 != second.checkpoint.sha256  # other files


def embedding_in(name):
    return {"gpt2": "transformer.wte.weight", "gpt_neox": "gpt_neox.embed_in.weight"}.get(
        name.partition("-")[0], "model.embed_tokens.weight"
    )


class TestCheckpoint:
    def test_its_name_is_the_whole_name_of_the_directory(self, saved, tmp_path):
        folder = copied(saved / "llama", tmp_path, "Llama-3.2-1B")
        assert CausalLM.load(folder, CPU, Cache()).checkpoint.name == "Llama-3.2-1B"

    def test_without_a_provenance_it_is_that_of_its_kind(self, ours):
        made = ours.checkpoint.provenance
        assert (made.system, made.recipe, made.final) == ("causal-lm", "", True)

    @pytest.mark.parametrize("file", ["config.json", "model.safetensors"])
    def test_the_sha256_covers_configuration_and_weights(self, saved, tmp_path, file):
        folder = copied(saved / "gpt2", tmp_path)
        before = CausalLM.load(folder, CPU, Cache()).checkpoint.sha256
        assert before == CausalLM.load(saved / "gpt2", CPU, Cache()).checkpoint.sha256
        if file == "config.json":
            configure(folder, layer_norm_epsilon=1e-4)
        else:
            reweigh(folder, lambda weights: {key: one + 1 for key, one in weights.items()})
        assert CausalLM.load(folder, CPU, Cache()).checkpoint.sha256 != before

    def test_loading_uses_no_network(self, saved, name, monkeypatch):
        monkeypatch.setattr("socket.socket", lambda *_, **__: pytest.fail("a connection was tried"))
        assert CausalLM.load(saved / name, CPU, Cache()).losses(TOKENS).isfinite().all()


class TestRefused:
    @pytest.fixture
    def folder(self, saved, tmp_path):
        return copied(saved / "llama", tmp_path)

    def refused(self, folder, match):
        with pytest.raises(CheckpointError, match=match) as caught:
            CausalLM.load(folder, CPU, Cache())
        assert str(folder) in str(caught.value)

    def test_another_family(self, folder):
        configure(folder, model_type="mamba")
        self.refused(folder, r"family 'mamba'. Expected one of gpt2, gpt_neox, llama")

    @pytest.mark.parametrize("kind", [None, 3, ["llama"]])
    def test_no_family(self, folder, kind):
        configure(folder, model_type=kind)
        self.refused(folder, "Expected one of gpt2, gpt_neox, llama")

    def test_code_beside_the_weights_is_not_run(self, folder, tmp_path):
        proof = tmp_path / "proof"
        (folder / "modeling_own.py").write_text(f"open({str(proof)!r}, 'w').close()\nclass Own: ...")
        configure(folder, auto_map={"AutoModelForCausalLM": "modeling_own.Own", "AutoConfig": "modeling_own.Own"})
        self.refused(folder, "'auto_map': its modelling code lies beside it and would have to be run")
        assert not proof.exists()

    def test_an_attention_that_would_be_fetched_is_not(self, folder, monkeypatch):
        monkeypatch.setattr("socket.socket", lambda *_, **__: pytest.fail("a connection was tried"))
        configure(folder, attn_implementation="somebody/kernels", _attn_implementation="somebody/kernels")
        assert CausalLM.load(folder, CPU, Cache()).module.config._attn_implementation == "eager_with_sites"

    def test_quantised_weights(self, folder):
        configure(folder, quantization_config={"quant_method": "gptq", "bits": 4})
        self.refused(folder, "'quantization_config': its weights are quantised")

    @pytest.mark.parametrize(
        "changes",
        [
            {"num_attention_heads": "four"},
            {"num_attention_heads": 0},
            {"hidden_size": -1},
            {"hidden_act": "own"},
            {"rope_parameters": {"rope_type": "own", "rope_theta": 1.0}},
        ],
        ids=str,
    )
    def test_a_configuration_of_no_model(self, folder, changes):
        configure(folder, **changes)
        self.refused(folder, "config.json is of no llama model that can be built")

    def test_weights_of_another_configuration(self, folder):
        configure(folder, intermediate_size=16)
        self.refused(folder, "wrong architecture. Weight model.layers.0.mlp")

    def test_a_missing_weight(self, folder):
        reweigh(folder, lambda found: {key: one for key, one in found.items() if key != "model.norm.weight"})
        self.refused(folder, r"Weight model.norm.weight: expected \(24,\), found none")

    def test_a_weight_that_the_family_does_not_have(self, folder):
        reweigh(folder, lambda found: found | {"model.layers.0.self_attn.q_norm.weight": torch.ones(8)})
        self.refused(folder, "Weight model.layers.0.self_attn.q_norm.weight: expected none")

    def test_a_tie_that_is_none(self, folder):
        configure(folder, tie_word_embeddings=True)
        self.refused(folder, "ties embedding and unembedding, and their weights differ")

    @pytest.mark.parametrize("bad", [float("nan"), float("inf")])
    def test_weights_that_are_no_numbers(self, folder, bad):
        def change(found):
            found["model.norm.weight"][3] = bad
            return found

        reweigh(folder, change)
        self.refused(folder, "weight model.norm.weight holds NaN or infinite values")

    @pytest.mark.parametrize(
        ("changes", "found"),
        [({"max_position_embeddings": 63}, "70 tokens and 63 positions"), ({"vocab_size": 63}, "63 tokens and 64")],
    )
    def test_a_model_too_small_for_the_claims(self, tmp_path, changes, found):
        config = transformers.LlamaConfig(**LLAMA | changes)
        transformers.AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "small")
        self.refused(tmp_path / "small", f"{found}.*needs 64 of both")

    def test_the_library_is_not_installed(self, folder, monkeypatch):
        monkeypatch.setitem(sys.modules, "transformers", None)
        self.refused(folder, r"not installed. Run: pip install 'mechtests\[hf\]'")


def test_mechtests_is_imported_without_the_library():
    code = (
        "import sys, mechtests, mechtests.pytest_plugin.plugin; from mechtests.systems import CausalLM; "
        "print(*sys.modules)"
    )
    asked = [sys.executable, "-c", code]
    found = subprocess.run(asked, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    assert "transformers" not in found.stdout.split()
