"""Causal language models of ``transformers``, from a local directory: the GPT-2, GPT-NeoX and Llama families.

The library's own modules run, with eager attention that has two sites more: the pattern, and what each head adds before
its output projection. Nothing is downloaded, and no code or pickle of the directory is run.

Inputs are token ids. The claims about induction draw them at random, uniformly over the vocabulary and without special
tokens, as Olsson et al., "In-context Learning and Induction Heads" (2022) do, so no tokenizer is needed.
"""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mechtests.activations.interventions import Place, at
from mechtests.cache import Cache
from mechtests.checkpoints import CheckpointError, fill
from mechtests.checkpoints.huggingface import read_pretrained
from mechtests.families import RepeatedTokens
from mechtests.instruments import Heads
from mechtests.systems.base import Head
from mechtests.systems.language_model import LanguageModel
from mechtests.systems.site import Site

ATTENTION = "eager_with_sites"
"""What this attention is called in ``transformers``."""


class CausalLM(LanguageModel):
    """A model of ``transformers`` that predicts the next token, in float32.

    Its sites are its submodules; ``pattern`` and ``z`` in each attention module are added. An edit of a pattern changes
    what the head reads.
    """

    @classmethod
    def load(cls, path: Path, device: torch.device, cache: Cache) -> Self:
        """The system in the directory at ``path``, as ``save_pretrained`` writes it.

        Raises:
            CheckpointError: ``transformers`` is not installed; the directory cannot be used (see
                :func:`mechtests.checkpoints.huggingface.read_pretrained`); the family is another; the weights are
                not those of the configuration; or vocabulary or context are too small for the claims about induction.
        """
        library = _transformers(path)
        found = read_pretrained(path, "causal-lm")
        kind = found.config.get("model_type")
        if not isinstance(kind, str) or kind not in _FAMILIES:
            raise CheckpointError(
                f"{path}: a model of the family {kind!r}. Expected one of {', '.join(_FAMILIES)}, the model_type in "
                "config.json. For another family write an adapter: see CONTRIBUTING.md."
            )
        try:
            model = getattr(library, _FAMILIES[kind].model)
            module = _built(model, model.config_class.from_dict(found.config))
        except Exception as error:  # whatever a wrong size, type or name leads to inside the library
            raise CheckpointError(f"{path}: config.json is of no {kind} model that can be built ({error}).") from error
        fill(module, _as_named_today(found.tensors, module, path), path)
        system = cls(module.to(device), "causal-lm", checkpoint=found.checkpoint, cache=cache)
        system._refuse_if_too_small(path)
        return system

    def _refuse_if_too_small(self, path: Path) -> None:
        needed = RepeatedTokens.n_ctx
        if self.n_ctx < needed or self.d_vocab < needed:
            raise CheckpointError(
                f"{path}: {self.d_vocab} tokens and {self.n_ctx} positions. The claims about induction show sequences "
                f"of {needed} different tokens, so the model needs {needed} of both."
            )

    @property
    def _config(self) -> Any:
        return self.module.config

    @property
    def _family(self) -> "_Family":
        return _FAMILIES[self._config.model_type]

    @property
    def axes(self) -> dict[str, str]:  # type: ignore[override] # as many as there are layers
        family = self._family
        sites = {family.output: "batch query vocab"}
        for layer in range(self.n_layers):
            block = f"{family.layers}.{layer}"
            sites |= {
                self.pattern_site(layer): "batch head query key",
                f"{block}.{family.attention}.z": "batch head query d_head",
                block: "batch query model",
            }
        return sites

    @cached_property
    def architecture(self) -> str:
        # Layers do not tell all of it: there are also the base of rotary positions, the epsilon of a norm, and more.
        return f"{super().architecture}:{self._config.to_json_string()}"

    @property
    def kind(self) -> tuple[str, ...]:
        import transformers  # noqa: PLC0415 - it is there, or there would be no such system

        return *super().kind, transformers.__version__

    def fresh_module(self) -> nn.Module:
        return _built(type(self.module), copy.deepcopy(self._config))

    def forward(self, *inputs: Tensor, **arguments: Any) -> object:
        if (many := inputs[0].shape[-1]) > self.n_ctx:
            raise ValueError(f"{self.name}: a sequence of {many} tokens; this model takes {self.n_ctx} at most.")
        return self.module(*inputs, use_cache=False, **arguments)

    @property
    def d_vocab(self) -> int:
        return self._config.vocab_size

    @property
    def n_ctx(self) -> int:
        return self._config.max_position_embeddings

    @property
    def n_layers(self) -> int:
        return self._config.num_hidden_layers

    @property
    def n_heads(self) -> int:
        return self._config.num_attention_heads

    @property
    def W_E(self) -> Float[Tensor, "vocab model"]:
        return cast("nn.Embedding", self.module.get_submodule(self._family.embedding)).weight

    @property
    def W_U(self) -> Float[Tensor, "model vocab"]:
        """The unembedding, with the last norm folded in as in :meth:`weights`."""
        unembedding = cast("nn.Linear", self.module.get_submodule(self._family.output)).weight.mT
        return _folded(unembedding, self.module.get_submodule(self._family.final_norm))

    def weights(self, layer: int) -> Heads:
        """The weights of a layer's heads, with the norm before them folded in.

        The norm's scale is folded in, and of a layer norm also that it takes off the mean, so that a part of the
        residual stream that no head can read counts for nothing. What is left out are biases, the division by the
        residual stream's size, and rotary positions: with those ``W_Q W_Kᵀ`` gives scores at distance 0. Where queries
        share keys and values, each head has its own copy.
        """
        block = self.module.get_submodule(f"{self._family.layers}.{layer}")
        norm = block.get_submodule(self._family.norm)
        plain = self._family.heads(block.get_submodule(self._family.attention), self.n_heads)
        return Heads(_folded(plain.W_Q, norm), _folded(plain.W_K, norm), _folded(plain.W_V, norm), plain.W_O)

    @property
    def logits_site(self) -> str:
        return self._family.output

    def pattern_site(self, layer: int) -> str:
        return f"{self._family.layers}.{layer}.{self._family.attention}.pattern"

    def head(self, head: Head) -> Place:
        """Where a head's output is: what it adds to the residual stream, before its output projection."""
        return at(f"{self._family.layers}.{head.layer}.{self._family.attention}.z", head=head.index)


def _transformers(path: Path) -> Any:
    """The library, with this attention known to it. It takes seconds to import, so only where there is a model."""
    try:
        import transformers  # noqa: PLC0415
        from transformers import masking_utils  # noqa: PLC0415
    except ImportError as error:
        raise CheckpointError(
            f"{path}: a model of transformers, which is not installed. Run: pip install 'mechtests[hf]'"
        ) from error
    transformers.AttentionInterface.register(ATTENTION, _attention)
    transformers.AttentionMaskInterface.register(ATTENTION, masking_utils.eager_mask)
    return transformers


def _attention(
    module: Any,
    query: Float[Tensor, "batch head query d_head"],
    key: Float[Tensor, "batch group key d_head"],
    value: Float[Tensor, "batch group key d_head"],
    attention_mask: Float[Tensor, "batch 1 query key"],
    scaling: float,
    **_: object,
) -> tuple[Float[Tensor, "batch query head d_head"], Float[Tensor, "batch head query key"]]:
    """Eager attention, as each family has it, through the sites ``pattern`` and ``z`` of its module."""
    if (heads := query.shape[1]) > key.shape[1]:
        key, value = (one.repeat_interleave(heads // one.shape[1], 1) for one in (key, value))
    pattern = module.pattern((query @ key.mT).mul_(scaling).add_(attention_mask).softmax(-1))
    return module.z(pattern @ value).transpose(1, 2), pattern


def _built(model: Callable[[Any], nn.Module], config: Any) -> nn.Module:
    """A model with new weights, whose attention has its sites."""
    config._attn_implementation = ATTENTION
    module = model(config)
    family = _FAMILIES[config.model_type]
    for block in cast("nn.ModuleList", module.get_submodule(family.layers)):
        attention = block.get_submodule(family.attention)
        attention.pattern, attention.z = Site(), Site()
    return module


def _as_named_today(tensors: Mapping[str, Tensor], module: nn.Module, path: Path) -> dict[str, Tensor]:
    """Weights by the names that they have in ``module``, where an earlier release wrote others.

    Raises:
        CheckpointError: embedding and unembedding are said to be one, and are not.
    """
    config: Any = module.config
    family, known = _FAMILIES[config.model_type], module.state_dict()
    named = {}
    for name, tensor in tensors.items():
        if name.endswith(family.constants):
            continue
        new = name.replace("embed_out.", "lm_head.")
        prefixed = f"{family.layers.partition('.')[0]}.{new}"
        named[prefixed if prefixed in known else new] = tensor
    if config.tie_word_embeddings and f"{family.embedding}.weight" in named:
        embedding = named[f"{family.embedding}.weight"]
        if not named.setdefault(f"{family.output}.weight", embedding).equal(embedding):
            raise CheckpointError(
                f"{path}: config.json ties embedding and unembedding, and their weights differ. "
                "Set tie_word_embeddings to false in it."
            )
    return named


def _folded(weight: Float[Tensor, "*head model out"], norm: nn.Module) -> Float[Tensor, "*head model out"]:
    """The matrix that does to the residual stream, divided by its size, what the norm's scale and ``weight`` do."""
    scaled = cast("Tensor", norm.weight).unsqueeze(-1) * weight
    return scaled - scaled.mean(-2, keepdim=True) if isinstance(norm, nn.LayerNorm) else scaled


def _gpt2_heads(attention: Any, heads: int) -> Heads:
    # Inputs are rows here; queries, keys and values lie side by side, each head by head.
    W_Q, W_K, W_V = attention.c_attn.weight.unflatten(1, (3, heads, -1)).permute(1, 2, 0, 3)
    return Heads(W_Q, W_K, W_V, attention.c_proj.weight.unflatten(0, (heads, -1)))


def _gpt_neox_heads(attention: Any, heads: int) -> Heads:
    # Query, key and value lie side by side within each head.
    W_Q, W_K, W_V = attention.query_key_value.weight.unflatten(0, (heads, 3, -1)).permute(1, 0, 3, 2)
    return Heads(W_Q, W_K, W_V, attention.dense.weight.mT.unflatten(0, (heads, -1)))


def _llama_heads(attention: Any, heads: int) -> Heads:
    def reading(projection: nn.Linear) -> Float[Tensor, "head model d_head"]:
        groups = projection.weight.unflatten(0, (-1, attention.head_dim)).mT
        return groups.repeat_interleave(heads // len(groups), 0)

    W_Q, W_K, W_V = map(reading, (attention.q_proj, attention.k_proj, attention.v_proj))
    return Heads(W_Q, W_K, W_V, attention.o_proj.weight.mT.unflatten(0, (heads, -1)))


@dataclass(frozen=True)
class _Family:
    """Where a family of models keeps what the adapter asks for.

    Attributes:
        model: the class in ``transformers``.
        layers, attention, norm: the list of layers, and in each the attention and the norm before it.
        embedding, final_norm, output: the embedding, the last norm and the unembedding.
        heads: from an attention module and the number of its heads to their weights.
        constants: how the names of tensors end that earlier releases saved and that are no weights.
    """

    model: str
    layers: str
    attention: str
    norm: str
    embedding: str
    final_norm: str
    heads: Callable[[Any, int], Heads]
    constants: tuple[str, ...]
    output: str = "lm_head"


_FAMILIES = {
    "gpt2": _Family(
        model="GPT2LMHeadModel",
        layers="transformer.h",
        attention="attn",
        norm="ln_1",
        embedding="transformer.wte",
        final_norm="transformer.ln_f",
        heads=_gpt2_heads,
        constants=(".attn.bias", ".attn.masked_bias"),
    ),
    "gpt_neox": _Family(
        model="GPTNeoXForCausalLM",
        layers="gpt_neox.layers",
        attention="attention",
        norm="input_layernorm",
        embedding="gpt_neox.embed_in",
        final_norm="gpt_neox.final_layer_norm",
        heads=_gpt_neox_heads,
        constants=(".attention.bias", ".attention.masked_bias", ".rotary_emb.inv_freq"),
    ),
    "llama": _Family(
        model="LlamaForCausalLM",
        layers="model.layers",
        attention="self_attn",
        norm="input_layernorm",
        embedding="model.embed_tokens",
        final_norm="model.norm",
        heads=_llama_heads,
        constants=(".rotary_emb.inv_freq",),
    ),
}
