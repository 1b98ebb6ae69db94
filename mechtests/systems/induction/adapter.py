"""The induction system: the attention-only transformer, with its sites, its heads and its weights."""

from collections.abc import Sequence
from pathlib import Path
from typing import Self, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mechtests import checkpoints
from mechtests.activations.interventions import Place, at
from mechtests.cache import Cache
from mechtests.instruments import Heads
from mechtests.systems.base import Head
from mechtests.systems.induction.transformer import AttentionOnlyConfig, AttentionOnlyTransformer, Block
from mechtests.systems.language_model import LanguageModel

_AXES = {
    "attn.q": "batch head query d_head",
    "attn.k": "batch head key d_head",
    "attn.v": "batch head key d_head",
    "attn.pattern": "batch head query key",
    "attn.z": "batch head query d_head",
    "attn.out": "batch query model",
    "resid_post": "batch query model",
}


class Induction(LanguageModel):
    """The attention-only transformer on sequences of tokens."""

    module: AttentionOnlyTransformer

    @classmethod
    def load(cls, path: Path, device: torch.device, cache: Cache) -> Self:
        """The system with the weights at ``path``.

        Raises:
            CheckpointError: the file cannot be used; see :func:`mechtests.checkpoints.load`.
        """
        checkpoint, module = checkpoints.load(path, "induction", AttentionOnlyConfig, AttentionOnlyTransformer)
        return cls(module.to(device), "induction", checkpoint=checkpoint, cache=cache)

    @property
    def axes(self) -> dict[str, str]:  # type: ignore[override] # as many as there are layers
        of_layers = {f"blocks.{layer}.{site}": axes for layer in range(self.n_layers) for site, axes in _AXES.items()}
        return {
            "tok_embed": "batch query model",
            "pos_embed": "query model",
            **of_layers,
            "logits": "batch query vocab",
        }

    def fresh_module(self) -> AttentionOnlyTransformer:
        return AttentionOnlyTransformer(self.module.config)

    @property
    def d_vocab(self) -> int:
        return self.module.config.d_vocab

    @property
    def n_ctx(self) -> int:
        return self.module.config.n_ctx

    @property
    def n_layers(self) -> int:
        return self.module.config.n_layers

    @property
    def n_heads(self) -> int:
        return self.module.config.n_heads

    @property
    def W_E(self) -> Float[Tensor, "vocab model"]:
        return self.module.W_E

    @property
    def W_U(self) -> Float[Tensor, "model vocab"]:
        return self.module.W_U

    def weights(self, layer: int) -> Heads:
        attn = cast("Block", self.module.blocks[layer]).attn
        return Heads(attn.W_Q, attn.W_K, attn.W_V, attn.W_O)

    @property
    def logits_site(self) -> str:
        return "logits"

    def pattern_site(self, layer: int) -> str:
        return f"blocks.{layer}.attn.pattern"

    def head(self, head: Head) -> Place:
        """Where a head's output is: what it adds to the residual stream, before its ``W_O``."""
        return at(f"blocks.{head.layer}.attn.z", head=head.index)

    def embedded(self, tokens: Int[Tensor, "sequence pos"]) -> Float[Tensor, "sequence pos model"]:
        """The residual stream before the first layer: the token's embedding and the position's."""
        found = self.activations(tokens, ["tok_embed", "pos_embed"])
        return found["tok_embed"] + found["pos_embed"]

    def patterns(self, tokens: Int[Tensor, "sequence pos"]) -> Sequence[Float[Tensor, "sequence head query key"]]:
        """How the heads of each layer attend."""
        sites = [self.pattern_site(layer) for layer in range(self.n_layers)]
        found = self.activations(tokens, sites)
        return [found[site] for site in sites]
