"""Path expansion: logits and attention scores of an attention-only model as exact sums over paths through its heads.

With the attention patterns held fixed such a model is linear, so what it computes is a sum over paths. A path goes from
the embedding through any heads of increasing layer: none (the direct path), one, or several, which together are a
virtual head. Source: Elhage et al., "A Mathematical Framework for Transformer Circuits" (2021), "Path expansion".

Only thin products are formed: from one head to the next the width is ``d_head``, and no ``d_vocab × d_vocab`` matrix
appears unless the embedding given is one-hot. Terms come one at a time; what stays between them is ``d_head`` wide.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from jaxtyping import Float
from torch import Tensor

from mechtests.instruments.heads import Heads

Path = tuple[tuple[int, int], ...]
"""The heads that a path goes through, as (layer, index), from the embedding on; ``()`` is the direct path."""


def along_paths(
    embedded: Float[Tensor, "batch pos model"],
    layers: Sequence[Heads],
    patterns: Sequence[Float[Tensor, "batch head query key"]],
    readout: Float[Tensor, "model out"],
) -> Iterator[tuple[Path, Float[Tensor, "batch pos out"]]]:
    """What each path brings to ``readout``; the sum over all paths is the last residual stream times ``readout``.

    With ``W_U`` as the readout these are the terms of the logits.

    Args:
        embedded: the residual stream before the first layer, or a part of it: tokens alone, positions alone.
        layers: the heads of each layer.
        patterns: the attention pattern of each layer, as the model had it.
        readout: what the residual stream is read with: ``W_U``, some of its columns, or a head's ``W_Q``.

    Yields:
        Each path with its term; there are ``(1 + heads of layer 0) · (1 + heads of layer 1) · …``.

    Raises:
        ValueError: there are not as many patterns as layers.
    """
    yield (), embedded @ readout
    for (layer, head), ending in groupby(_through_heads(embedded, layers, patterns), key=lambda term: term[0][-1]):
        written_to = layers[layer].W_O[head] @ readout  # once for all paths that end in this head
        for path, z in ending:
            yield path, z @ written_to


def attributions(
    embedded: Float[Tensor, "batch pos model"],
    layers: Sequence[Heads],
    patterns: Sequence[Float[Tensor, "batch head query key"]],
    directions: Float[Tensor, "batch pos model"],
) -> dict[Path, Float[Tensor, "batch pos"]]:
    """By path, its term of the last residual stream along one direction per position.

    With ``W_U[:, next_token]`` as directions this is each path's part in the right token's logit (direct logit
    attribution), at the cost of one column per position in place of the whole vocabulary.
    """
    terms: dict[Path, Tensor] = {(): (embedded * directions).sum(-1)}
    seen_by = {
        (layer, head): directions @ heads.W_O[head].T
        for layer, heads in enumerate(layers)
        for head in range(len(heads))
    }
    for path, z in _through_heads(embedded, layers, patterns):
        terms[path] = (z * seen_by[path[-1]]).sum(-1)
    return terms


@dataclass(frozen=True, eq=False)
class ScoreTerms:
    """A head's attention scores, before mask and softmax, by the paths that reach its queries and its keys.

    The four sums are those of Elhage et al. (2021) and of the lecture: neither side composed, one of them, both.

    Attributes:
        q: by path, its part of the head's queries, already divided by ``sqrt(d_head)``.
        k: by path, its part of the head's keys.
    """

    q: Mapping[Path, Float[Tensor, "batch query d_head"]]
    k: Mapping[Path, Float[Tensor, "batch key d_head"]]

    def between(self, q_path: Path, k_path: Path) -> Float[Tensor, "batch query key"]:
        """The part of the scores in which one path meets another."""
        return self.q[q_path] @ self.k[k_path].mT

    @property
    def no_composition(self) -> Float[Tensor, "batch query key"]:
        return self.between((), ())

    @property
    def q_composition(self) -> Float[Tensor, "batch query key"]:
        return _through(self.q) @ self.k[()].mT

    @property
    def k_composition(self) -> Float[Tensor, "batch query key"]:
        return self.q[()] @ _through(self.k).mT

    @property
    def qk_composition(self) -> Float[Tensor, "batch query key"]:
        return _through(self.q) @ _through(self.k).mT


def score_terms(
    embedded: Float[Tensor, "batch pos model"],
    layers: Sequence[Heads],
    patterns: Sequence[Float[Tensor, "batch head query key"]],
    layer: int,
    head: int,
) -> ScoreTerms:
    """The attention scores of one head, split by what its queries and keys are composed of.

    Args:
        embedded: the residual stream before the first layer.
        layers: the heads of each layer.
        patterns: the attention pattern of each layer before the head's own; more are ignored.
        layer: the head's layer, from 0.
        head: its index, from 0.
    """
    before = (embedded, layers[:layer], patterns[:layer])
    W_Q, W_K = layers[layer].W_Q[head], layers[layer].W_K[head]
    return ScoreTerms(dict(along_paths(*before, W_Q / W_Q.shape[-1] ** 0.5)), dict(along_paths(*before, W_K)))


def _through_heads(
    embedded: Tensor, layers: Sequence[Heads], patterns: Sequence[Tensor]
) -> Iterator[tuple[Path, Float[Tensor, "batch pos d_head"]]]:
    """Every path but the direct one, with what its last head has gathered, before that head's ``W_O``.

    Paths that end in the same head come one after the other.
    """
    if len(layers) != len(patterns):
        raise ValueError(f"paths: {len(layers)} layers and {len(patterns)} patterns. Give one pattern per layer.")
    earlier: list[tuple[Path, Tensor]] = []
    for layer, (heads, pattern) in enumerate(zip(layers, patterns, strict=True)):
        longer: list[tuple[Path, Tensor]] = []
        for head in range(len(heads)):
            W_V, arrives = heads.W_V[head], ((layer, head),)
            yield arrives, (z := pattern[:, head] @ (embedded @ W_V))
            longer.append((arrives, z))
            for path, before in earlier:
                # From head to head by the small W_O W_V, never by the model's width.
                yield path + arrives, (z := pattern[:, head] @ (before @ (_written_by(path, layers) @ W_V)))
                longer.append((path + arrives, z))
        earlier += longer if layer + 1 < len(layers) else []


def _written_by(path: Path, layers: Sequence[Heads]) -> Float[Tensor, "d_head model"]:
    layer, head = path[-1]
    return layers[layer].W_O[head]


def _through(terms: Mapping[Path, Tensor]) -> Tensor:
    """The sum over all paths but the direct one; zeros when there is no other."""
    return sum((term for path, term in terms.items() if path), torch.zeros_like(terms[()]))
