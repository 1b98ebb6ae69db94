"""The subtraction system: the sign of ``a - b``, read at the ``=`` of the one-layer transformer."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Self, cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import cross_entropy

from mechtests import checkpoints
from mechtests.activations.interventions import Axes, Edit, Place, SiteError, at, record
from mechtests.cache import Cache
from mechtests.families import Problems
from mechtests.systems.base import Derived, Head, System
from mechtests.systems.subtraction.transformer import (
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

EMBEDDINGS = "tok_embed"
"""The site of the tokens' embeddings, ``[batch position model]``."""
PATTERN = "blocks.0.attn.pattern"
"""The site of the attention patterns, ``[batch head query position]``."""
HEAD_OUTPUTS = "blocks.0.attn.z"
"""The site of the heads' outputs before ``W_O``, ``[batch head query d_head]``."""
RESIDUAL_MID = "blocks.0.resid_mid"
"""The site of the residual stream between attention and MLP, ``[batch query model]``."""
PREACTIVATIONS = "blocks.0.mlp.pre"
"""The site of the neurons' inputs, before the ReLU, ``[batch query neuron]``."""
NEURONS = "blocks.0.mlp.post"
"""The site of the neurons' outputs, after the ReLU, ``[batch query neuron]``."""
DIRECT = "direct_logits"
"""The derived site of the logits without the neurons' part, ``[batch query vocab]``."""

_OFTEN_ASKED = (PATTERN, RESIDUAL_MID, PREACTIVATIONS, "logits")


def _direct_logits(
    subtraction: "Subtraction", resid_mid: Float[Tensor, "problem query model"]
) -> Float[Tensor, "problem query vocab"]:
    return (resid_mid + subtraction.mlp.b_out) @ subtraction.module.W_U + subtraction.module.b_U


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

    derived: ClassVar[Mapping[str, Derived]] = {
        DIRECT: Derived((RESIDUAL_MID,), _direct_logits, "batch query vocab"),
    }

    @classmethod
    def load(cls, path: Path, device: torch.device, cache: Cache) -> Self:
        """The system with the weights at ``path``.

        Raises:
            CheckpointError: the file cannot be used; see :func:`mechtests.checkpoints.load`.
        """
        checkpoint, module = checkpoints.load(path, "subtraction", SubtractionConfig, SubtractionTransformer)
        return cls(module.to(device), "subtraction", checkpoint=checkpoint, cache=cache)

    def fresh_module(self) -> SubtractionTransformer:
        return SubtractionTransformer(self.module.config)

    @property
    def heads(self) -> Sequence[Head]:
        return [Head(0, index) for index in range(self.module.config.n_heads)]

    @property
    def d_mlp(self) -> int:
        """How many neurons there are."""
        return self.module.config.d_mlp

    @property
    def attn(self) -> Attention:
        return self._block.attn

    @property
    def mlp(self) -> MLP:
        return self._block.mlp

    def head(self, head: Head) -> Place:
        """Where a head's output is: what it adds to the residual stream, before its ``W_O``."""
        return at(f"blocks.{head.layer}.attn.z", head=head.index)

    def _on_reference(self, reference: Any, sites: Sequence[str]) -> Mapping[str, Tensor]:
        """At the query ``=``, as edits are made in :meth:`at_equals`; ``reference`` are problems."""
        if not isinstance(reference, Problems):
            raise TypeError(f"ablate: expected Problems as the reference, found {type(reference).__name__}.")
        return {site: self._at_equals(reference, site) for site in sites}

    def at_equals(self, problems: Problems, site: str, *edits: Edit) -> Float[Tensor, "problem ..."]:
        """The activation at ``site``, at the query ``=``, with ``edits`` made on the way.

        Edits are made at the query ``=`` too: their values may leave out the axis of queries.

        Raises:
            SiteError: the site has no activation for each query, as keys have none.
        """
        axes = self.axes.get(site, "").split()
        if "query" not in axes:
            read = ", ".join(name for name, axes in self.axes.items() if "query" in axes.split())
            raise SiteError(f"there is no site {site!r} with a query, to be read at '='. There are: {read}.")
        if site == "logits" and edits and all(edit.site in (PREACTIVATIONS, NEURONS) for edit in edits):
            return self._logits_with_neurons(problems, edits)
        return self._at_equals(problems, site, *map(self._with_query, edits)).squeeze(axes.index("query"))

    def logits(self, problems: Problems, *edits: Edit) -> Float[Tensor, "problem vocab"]:
        """Logits of the token after ``=``, with ``edits`` made on the way."""
        return self.at_equals(problems, "logits", *edits)

    def attention(self, problems: Problems) -> Float[Tensor, "problem head position"]:
        """How much each head attends, at ``=``, to ``a``, ``-``, ``b`` and ``=``."""
        return self.at_equals(problems, PATTERN)

    def preactivations(self, problems: Problems) -> Float[Tensor, "problem neuron"]:
        """The neurons' inputs at ``=``, before the ReLU."""
        return self.at_equals(problems, PREACTIVATIONS)

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
        return self._at_equals(problems, DIRECT).squeeze(1)

    @property
    def neuron_readout(self) -> Float[Tensor, "neuron vocab"]:
        """``W_out W_U``: how much each neuron raises each logit."""
        return self.mlp.W_out @ self.module.W_U

    def operand_to_neurons(self, head: Head) -> Float[Tensor, "operand neuron"]:
        """``W_E W_V W_O W_in`` of a head: what attending to each operand adds to each neuron's input, biases aside."""
        through = self.attn.W_V[head.index] @ self.attn.W_O[head.index] @ self.mlp.W_in
        return self.module.W_E[:PLUS] @ through

    def without_each_neuron(self, problems: Problems, tokens: Sequence[int]) -> Float[Tensor, "neuron problem token"]:
        """The logits of ``tokens`` at ``=`` with each neuron zeroed by itself, exactly: one product does them all."""
        whole = self.logits(problems)[:, tokens]
        removed = torch.einsum("pn,nt->npt", self.neurons(problems), self.neuron_readout[:, tokens])
        return whole - removed

    def _logits_with_neurons(self, problems: Problems, edits: Sequence[Edit]) -> Float[Tensor, "problem vocab"]:
        """The rest of the model is linear in the neurons, so one product takes the place of a forward pass."""
        record(edits)
        activation = self.preactivations(problems).unsqueeze(1)
        for site in (PREACTIVATIONS, NEURONS):
            activation = activation.relu() if site == NEURONS else activation
            for edit in edits:
                if edit.site == site:
                    activation = self._with_query(edit).apply(activation, self.axes[site])
        return self.logits_from_neurons(problems, activation.squeeze(1))

    def _at_equals(self, problems: Problems, site: str, *edits: Edit) -> Tensor:
        # One pass of the model as it is serves most claims, so what they ask of it is taken together.
        sites = [site] if edits else dict.fromkeys([*_OFTEN_ASKED, site])
        position = torch.tensor([POSITIONS["="]], device=self.device)
        return self.activations(tokens_of(problems), sites, *edits, positions=position)[site]

    def _with_query(self, edit: Edit) -> Edit:
        axes = self.axes.get(edit.site, "").split()

        def fit(value: Any) -> Any:
            short = isinstance(value, Tensor) and "query" in axes and value.ndim == len(axes) - 1
            return value.unsqueeze(axes.index("query")) if short else value

        return replace(edit, factor=fit(edit.factor), value=fit(edit.value))

    @property
    def _block(self) -> Block:
        return cast("Block", self.module.blocks[0])


def sign_difference(logits: Float[Tensor, "problem vocab"]) -> Float[Tensor, " problem"]:
    """``logit(+) - logit(-)`` in float64: above zero where the model prefers ``+``."""
    return logits[:, PLUS].double() - logits[:, MINUS].double()


def sign_correct(logits: Float[Tensor, "problem vocab"], problems: Problems) -> Bool[Tensor, " problem"]:
    """Whether the likeliest of all tokens is the right sign."""
    return logits.argmax(-1) == _signs(problems).to(logits.device)


def sign_margin(logits: Float[Tensor, "problem vocab"], problems: Problems) -> Float[Tensor, " problem"]:
    """The logit of the right sign less the greatest of all others: above zero where :func:`sign_correct` is true."""
    right = _signs(problems).to(logits.device).unsqueeze(1)
    others = logits.scatter(1, right, -torch.inf)
    return logits.gather(1, right)[:, 0] - others.amax(1)


def sign_loss(logits: Float[Tensor, "problem vocab"], problems: Problems) -> Float[Tensor, " problem"]:
    """Cross-entropy of the right sign, in nats, worked out in float64."""
    return cross_entropy(logits.double(), _signs(problems).to(logits.device), reduction="none")


def embedding_of(*tokens: str) -> Place:
    """Where the embeddings of some of ``a``, ``-``, ``b`` and ``=`` are, to be read or changed."""
    positions = [POSITIONS[token] for token in tokens]
    return at(EMBEDDINGS, position=positions[0] if len(positions) == 1 else positions)


def tokens_of(problems: Problems) -> Int[Tensor, "problem position"]:
    """The tokens ``a - b =`` of each problem."""
    minus, equals = (torch.full_like(problems.a, token) for token in (MINUS, EQUALS))
    return torch.stack([problems.a, minus, problems.b, equals], 1)


def _signs(problems: Problems) -> Int[Tensor, " problem"]:
    return torch.where(problems.is_plus, PLUS, MINUS)
