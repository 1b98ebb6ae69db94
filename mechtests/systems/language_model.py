"""Causal language models, as the claims about induction need them: patterns, losses and heads, whatever is inside."""

from abc import abstractmethod
from collections.abc import Iterable, Sequence

from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import cross_entropy

from mechtests.activations.interventions import Edit, Place, at
from mechtests.instruments import Heads
from mechtests.systems.base import Head, System


class LanguageModel(System):
    """A causal transformer that predicts the next token, from token ids ``[sequence, pos]``."""

    @property
    @abstractmethod
    def d_vocab(self) -> int:
        """How many tokens there are."""

    @property
    @abstractmethod
    def n_ctx(self) -> int:
        """The longest sequence that the model takes."""

    @property
    @abstractmethod
    def n_layers(self) -> int:
        """How many layers of attention heads there are."""

    @property
    @abstractmethod
    def n_heads(self) -> int:
        """How many heads each layer has."""

    @property
    @abstractmethod
    def W_E(self) -> Float[Tensor, "vocab model"]:
        """The embeddings of the tokens."""

    @property
    @abstractmethod
    def W_U(self) -> Float[Tensor, "model vocab"]:
        """The unembedding, with the scale of a layer norm before it folded in."""

    @abstractmethod
    def weights(self, layer: int) -> Heads:
        """The weights of a layer's heads, with the scale of a layer norm before them folded in."""

    @property
    def rotary(self) -> bool:
        """Whether positions enter as rotations of queries and keys, so that ``W_Q W_Kᵀ`` alone gives no score."""
        return False

    @abstractmethod
    def pattern_site(self, layer: int) -> str:
        """The site of a layer's attention patterns, ``[sequence, head, query, key]``."""

    @property
    @abstractmethod
    def logits_site(self) -> str:
        """The site of the logits, ``[sequence, pos, vocab]``."""

    @property
    def heads(self) -> Sequence[Head]:
        """All heads, layer by layer."""
        return [Head(layer, index) for layer in range(self.n_layers) for index in range(self.n_heads)]

    def places(self, heads: Iterable[Head]) -> dict[int, Place]:
        """By layer, where the outputs of those of ``heads`` are that are in it."""
        by_layer: dict[int, list[Head]] = {}
        for head in heads:
            by_layer.setdefault(head.layer, []).append(head)
        return {
            layer: at(self.head(some[0]).site, head=[head.index for head in some]) for layer, some in by_layer.items()
        }

    def pattern(
        self, tokens: Int[Tensor, "sequence pos"], layer: int, *edits: Edit
    ) -> Float[Tensor, "sequence head query key"]:
        """How a layer's heads attend, with ``edits`` made on the way."""
        site = self.pattern_site(layer)
        return self.activations(tokens, [site], *edits)[site]

    def attention(
        self, tokens: Int[Tensor, "sequence pos"], head: Head, *edits: Edit
    ) -> Float[Tensor, "sequence query key"]:
        """How one head attends, with ``edits`` made on the way."""
        return self.pattern(tokens, head.layer, *edits)[:, head.index]

    def logits(self, tokens: Int[Tensor, "sequence pos"], *edits: Edit) -> Float[Tensor, "sequence pos vocab"]:
        """Logits of the token after each position, with ``edits`` made on the way."""
        return self.activations(tokens, [self.logits_site], *edits)[self.logits_site]

    def losses(self, tokens: Int[Tensor, "sequence pos"], *edits: Edit) -> Float[Tensor, "sequence predicted"]:
        """Cross-entropy, in nats, of every token but the first given those before it, with ``edits`` made.

        They are cached, unlike the logits that they are computed from, which are ``d_vocab`` times as large.
        """
        return self._reduced((tokens,), self.logits_site, edits, _losses)


def _losses(
    logits: Float[Tensor, "sequence pos vocab"], tokens: Int[Tensor, "sequence pos"]
) -> Float[Tensor, "sequence predicted"]:
    asked, predicted = logits[:, :-1], tokens[:, 1:].to(logits.device)
    # One row per token: five times as fast as with the vocabulary along the second of three axes.
    return cross_entropy(asked.flatten(0, 1), predicted.flatten(), reduction="none").view(predicted.shape)
