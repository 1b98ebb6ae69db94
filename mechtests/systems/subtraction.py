"""The subtraction system: the sign of ``a - b``, read at the ``=`` of the one-layer transformer."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Self, cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import cross_entropy

from mechtests.activations import Axes, Edit, SiteError
from mechtests.cache import Cache
from mechtests.checkpoints import CheckpointError, fill, read
from mechtests.families import Problems
from mechtests.systems.base import Head, System
from mechtests.systems.subtraction_transformer import (
    EQUALS,
    MINUS,
    MLP,
    PLUS,
    POSITIONS,
    Attention,
    Block,
    SubtractionConfig,
    SubtractionTransformer,
)

_OFTEN_ASKED = ("blocks.0.attn.pattern", "blocks.0.resid_mid", "blocks.0.mlp.pre", "logits")


class Subtraction(System):
    """The subtraction transformer on problems ``a - b =``, read at ``=``, where it predicts the sign."""

    module: SubtractionTransformer
    axes: ClassVar[Axes] = {
        "tok_embed": "batch position model",
        "pos_embed": "position model",
        "blocks.0.attn.q": "batch head query d_head",
        "blocks.0.attn.k": "batch head position d_head",
        "blocks.0.attn.v": "batch head position d_head",
        "blocks.0.attn.pattern": "batch head query position",
        "blocks.0.attn.z": "batch head query d_head",
        "blocks.0.attn.out": "batch query model",
        "blocks.0.resid_mid": "batch query model",
        "blocks.0.mlp.pre": "batch query neuron",
        "blocks.0.mlp.post": "batch query neuron",
        "blocks.0.mlp.out": "batch query model",
        "blocks.0.resid_post": "batch query model",
        "logits": "batch query vocab",
    }

    @classmethod
    def load(cls, path: Path, device: torch.device, cache: Cache) -> Self:
        """The system with the weights at ``path``.

        Raises:
            CheckpointError: the file cannot be used; see :func:`mechtests.checkpoints.read`.
        """
        checkpoint, tensors = read(path)
        if checkpoint.provenance.system != "subtraction":
            raise CheckpointError(
                f"{path}: holds a model of the system {checkpoint.provenance.system!r}, expected 'subtraction'. "
                f"Give it as --checkpoint {checkpoint.provenance.system}={path}."
            )
        try:
            module = SubtractionTransformer(SubtractionConfig(**checkpoint.provenance.config))
        except (TypeError, RuntimeError) as error:
            raise CheckpointError(
                f"{path}: the architecture in the header is not a subtraction transformer's ({error}). "
                f"Expected sizes {', '.join(SubtractionConfig.__dataclass_fields__)}."
            ) from error
        fill(module, tensors, path)
        return cls(module.to(device), "subtraction", checkpoint=checkpoint, cache=cache)

    def fresh_module(self) -> SubtractionTransformer:
        return SubtractionTransformer(self.module.config)

    @property
    def heads(self) -> Sequence[Head]:
        return [Head(0, index) for index in range(self.module.config.n_heads)]

    @property
    def attn(self) -> Attention:
        return self._block.attn

    @property
    def mlp(self) -> MLP:
        return self._block.mlp

    def at_equals(self, problems: Problems, site: str, *edits: Edit) -> Float[Tensor, "problem ..."]:
        """The activation at ``site``, at the query ``=``, with ``edits`` made on the way.

        Raises:
            SiteError: the site has no activation for each query, as keys have none.
        """
        tokens = torch.stack(
            [problems.a, torch.full_like(problems.a, MINUS), problems.b, torch.full_like(problems.b, EQUALS)], 1
        )
        axes = self.axes.get(site, "").split()
        if "query" not in axes:
            read = ", ".join(name for name, axes in self.axes.items() if "query" in axes.split())
            raise SiteError(f"there is no site {site!r} with a query, to be read at '='. There are: {read}.")
        at = torch.tensor([POSITIONS["="]], device=self.device)
        # One pass of the model as it is serves most claims, so what they ask of it is taken together.
        sites = {site} if edits else {site, *_OFTEN_ASKED}
        found = self.activations(tokens, sorted(sites), *edits, key=f"{problems.key} at =", positions=at)[site]
        return found.squeeze(axes.index("query"))

    def logits(self, problems: Problems, *edits: Edit) -> Float[Tensor, "problem vocab"]:
        """Logits of the token after ``=``, with ``edits`` made on the way."""
        return self.at_equals(problems, "logits", *edits)

    def attention(self, problems: Problems) -> Float[Tensor, "problem head position"]:
        """How much each head attends, at ``=``, to ``a``, ``-``, ``b`` and ``=``."""
        return self.at_equals(problems, "blocks.0.attn.pattern")

    def preactivations(self, problems: Problems) -> Float[Tensor, "problem neuron"]:
        """The neurons' inputs at ``=``, before the ReLU."""
        return self.at_equals(problems, "blocks.0.mlp.pre")

    def neurons(self, problems: Problems) -> Float[Tensor, "problem neuron"]:
        """The neurons' outputs at ``=``, after the ReLU."""
        return self.preactivations(problems).relu()

    def logits_from_neurons(
        self, problems: Problems, neurons: Float[Tensor, "problem neuron"]
    ) -> Float[Tensor, "problem vocab"]:
        """Logits at ``=`` if the neurons' outputs were ``neurons``, exactly: the rest of the model is linear in them.

        One product with ``W_out W_U`` takes the place of a forward pass with the neurons replaced.
        """
        return self.direct_logits(problems) + neurons @ self.neuron_readout

    def direct_logits(self, problems: Problems) -> Float[Tensor, "problem vocab"]:
        """The part of the logits that does not pass through the neurons: embeddings, attention and biases."""
        key = (self.identity, problems.key, "direct_logits")
        return self.cache.get_or(key, lambda: self._direct_logits(problems))

    @property
    def neuron_readout(self) -> Float[Tensor, "neuron vocab"]:
        """``W_out W_U``: how much each neuron raises each logit."""
        return self.mlp.W_out @ self.module.W_U

    def operand_to_neurons(self, head: Head) -> Float[Tensor, "operand neuron"]:
        """``W_E W_V W_O W_in`` of a head: what attending to each operand adds to each neuron's input, biases aside."""
        through = self.attn.W_V[head.index] @ self.attn.W_O[head.index] @ self.mlp.W_in
        return self.module.W_E[:PLUS] @ through

    def _direct_logits(self, problems: Problems) -> Float[Tensor, "problem vocab"]:
        resid = self.at_equals(problems, "blocks.0.resid_mid") + self.mlp.b_out
        return resid @ self.module.W_U + self.module.b_U

    @property
    def _block(self) -> Block:
        return cast("Block", self.module.blocks[0])


def sign_difference(logits: Float[Tensor, "problem vocab"]) -> Float[Tensor, " problem"]:
    """``logit(+) - logit(-)``: above zero where the model prefers ``+``."""
    return logits[:, PLUS] - logits[:, MINUS]


def sign_correct(logits: Float[Tensor, "problem vocab"], problems: Problems) -> Bool[Tensor, " problem"]:
    """Whether the likeliest of all tokens is the right sign."""
    return logits.argmax(-1) == _signs(problems).to(logits.device)


def sign_loss(logits: Float[Tensor, "problem vocab"], problems: Problems) -> Float[Tensor, " problem"]:
    """Cross-entropy of the right sign, in nats."""
    return cross_entropy(logits, _signs(problems).to(logits.device), reduction="none")


def _signs(problems: Problems) -> Int[Tensor, " problem"]:
    return torch.where(problems.is_plus, PLUS, MINUS)
