"""The modules of the ``odeformer`` package in one module that is called with words and returns logits."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import embedding_bag, pad

from mechtests.activations.capture import FEWEST
from mechtests.systems.odeformer.package import OdeformerConfig, build
from mechtests.systems.site import Site


class OdeformerModules(nn.Module):
    """Embedder, encoder and decoder with freshly drawn weights; names of weights are those of the package.

    Raises:
        OdeformerMissingError: the package is not installed.
    """

    def __init__(self, config: OdeformerConfig) -> None:
        super().__init__()
        wrapper: Any = build(config)
        self.config = config
        self.embedder = PointEmbedder(wrapper.embedder)
        self.encoder = wrapper.encoder
        self.decoder = wrapper.decoder
        self.counts = Site()
        self.encoded = Site()
        self.logits = Site()

    def forward(
        self,
        points: Int[Tensor, "batch point slot"],
        counts: Int[Tensor, " batch"],
        words: Int[Tensor, "batch word"] | None = None,
        lengths: Int[Tensor, " batch"] | None = None,
    ) -> Tensor:
        """Logits ``[batch word vocab]`` of the word that follows each; without ``words`` the encoded points.

        Args:
            points: each point's words.
            counts: how many points each trajectory has; the rest of its row is padding.
            words: what was written so far, from the start mark on.
            lengths: how many words of each row count.
        """
        counts = self.counts(counts)
        # The package's transformers take positions first, and turn them round themselves.
        embedded = self.embedder(points).transpose(0, 1)
        encoded = self.encoder("fwd", x=embedded, lengths=counts, causal=False).transpose(0, 1)
        encoded = self.encoded(encoded)
        if words is None:
            return encoded
        decoded = self.decoder("fwd", x=words.T, lengths=lengths, causal=True, src_enc=encoded, src_len=counts)
        return self.logits(self.decoder.proj(decoded.transpose(0, 1)))


class PointEmbedder(nn.Module):
    """The package's embedder: its layers, unchanged, with the first of them applied once to each word of each slot.

    That layer is linear in the slots' embeddings, so its output is a sum over slots of a vector that depends on the
    word there alone. Padding, signs, exponents and times that trajectories share are a few words each.
    """

    def __init__(self, embedder: Any) -> None:
        super().__init__()
        self.embeddings: nn.Embedding = embedder.embeddings
        self.hidden_layers: nn.ModuleList = embedder.hidden_layers
        self.fc: nn.Linear = embedder.fc
        self.activation = embedder.activation_fn
        self.pad: int = embedder.env.float_word2id["<OUTPUT_PAD>"]

    def forward(self, points: Int[Tensor, "batch point slot"]) -> Float[Tensor, "batch point model"]:
        hidden = self.activation(self._first_layer(points.flatten(0, 1)))
        for layer in self.hidden_layers[1:]:
            hidden = self.activation(layer(hidden))
        return self.fc(hidden).unflatten(0, points.shape[:2])

    def _first_layer(self, points: Int[Tensor, "point slot"]) -> Float[Tensor, "point hidden"]:
        first: Any = self.hidden_layers[0]
        slots, words = points.shape[1], self.embeddings.num_embeddings
        weights = first.weight.unflatten(1, (slots, -1)).unbind(1)
        # What pads the dimensions that are not there is a constant, and left out of the sums.
        padding = (points == self.pad).all(0).tolist()
        entries = points + torch.arange(slots, device=points.device) * words
        occurring = torch.zeros(slots * words, dtype=torch.bool, device=points.device)
        occurring[entries] = True
        place = torch.zeros(slots * words, dtype=torch.long, device=points.device)
        tables, rows, constant = [], 0, first.bias
        for slot, weight in enumerate(weights):
            if padding[slot]:
                constant = constant + weight @ self.embeddings.weight[self.pad]
                continue
            kinds = occurring[slot * words : (slot + 1) * words].nonzero()[:, 0]
            place[slot * words + kinds] = torch.arange(rows, rows + len(kinds), device=points.device)
            # In whole groups of rows, so that a word's vector rounds alike whatever other words are there.
            kinds = pad(kinds, (0, -len(kinds) % FEWEST))
            tables.append(self.embeddings(kinds) @ weight.T)
            rows += len(kinds)
        used = [slot for slot in range(slots) if not padding[slot]]
        return embedding_bag(place[entries[:, used]], torch.cat(tables), mode="sum") + constant
