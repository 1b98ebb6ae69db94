"""The package's ODEFormer as a few stacked weights, with a forward pass that is made for training: the same function.

Weights of all layers are stacked by kind, so that an optimiser sees some forty tensors in place of four hundred. The
decoder's words lie in buckets of like lengths: products run over the words of all buckets at once, attention over one
bucket at a time, so that little is spent on padding.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from jaxtyping import Float, Int
from odeformer_data import Batch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, embedding, layer_norm, linear, silu

_PARTS: Mapping[str, tuple[str, ...]] = {
    "qkv": ("attentions.{}.q_lin", "attentions.{}.k_lin", "attentions.{}.v_lin"),
    "out": ("attentions.{}.out_lin",),
    "norm1": ("layer_norm1.{}",),
    "cross_q": ("encoder_attn.{}.q_lin",),
    "cross_kv": ("encoder_attn.{}.k_lin", "encoder_attn.{}.v_lin"),
    "cross_out": ("encoder_attn.{}.out_lin",),
    "norm15": ("layer_norm15.{}",),
    "lin1": ("ffns.{}.lin1",),
    "lin2": ("ffns.{}.lin2",),
    "norm2": ("layer_norm2.{}",),
}
"""Stacked name to the names in one layer of the package, which are concatenated along their first axis."""
_TIED = "decoder.proj.weight"
_EPSILON = 1e-12

Loss = Callable[[Float[Tensor, "word vocab"], Int[Tensor, " word"]], Tensor]
"""From logits and the right words to the mean loss."""


class Stacked(nn.Module):
    """The weights of a ``ModelWrapper`` of the package, stacked by kind.

    Args:
        model: as :func:`mechtests.systems.odeformer.package.build` makes it. Its weights are copied.
        products: the type in which matrices are multiplied: bfloat16 where the processor has instructions for it.
    """

    def __init__(self, model: Any, products: torch.dtype = torch.float32) -> None:
        super().__init__()
        state = model.state_dict()
        self.products = products
        self.heads: int = model.encoder.n_heads
        self._places: dict[str, list[list[str]]] = {}
        for stack in ("encoder", "decoder"):
            layers = range(len(getattr(model, stack).attentions))
            for part, names in _PARTS.items():
                for kind in ("weight", "bias"):
                    places = [[f"{stack}.{name.format(i)}.{kind}" for name in names] for i in layers]
                    if places[0][0] in state:
                        self._places[f"{stack}.{part}.{kind}"] = places
        stacked = {place for places in self._places.values() for names in places for place in names}
        self._single = [name for name in state if name not in stacked and name != _TIED]
        self.weights = nn.ParameterDict()
        for name in (*self._places, *self._single):
            self.weights[name.replace(".", "/")] = nn.Parameter(self._taken(state, name))

    def _taken(self, state: Mapping[str, Tensor], name: str) -> Tensor:
        if name in self._places:
            return torch.stack([torch.cat([state[place] for place in names]) for names in self._places[name]])
        return state[name].clone()

    def take(self, state: Mapping[str, Tensor]) -> None:
        """Copy the package's weights into these."""
        with torch.no_grad():
            for name in (*self._places, *self._single):
                self[name].copy_(self._taken(state, name))

    def __getitem__(self, name: str) -> nn.Parameter:
        weight = self.weights[name.replace(".", "/")]
        assert isinstance(weight, nn.Parameter)
        return weight

    def names(self) -> tuple[str, ...]:
        return (*self._places, *self._single)

    def matrices(self) -> dict[str, int]:
        """The stacks of matrices, and of how many matrices one layer's entry consists."""
        return {
            name: len(places[0])
            for name, places in self._places.items()
            if name.endswith("weight") and self[name].ndim == 3
        }

    def whole(self) -> dict[str, Tensor]:
        """The weights under the package's own names."""
        state = {name: self[name].detach().clone() for name in self._single}
        for name, places in self._places.items():
            for layer, names in zip(self[name].detach(), places, strict=True):
                state |= {place: part.clone() for place, part in zip(names, layer.chunk(len(names)), strict=True)}
        state[_TIED] = state["decoder.embeddings.weight"].clone()
        return state

    def forward(self, batch: Batch, loss: Loss = cross_entropy) -> Tensor:
        """The mean loss of the words of a batch."""
        encoded = self._encoded(batch.points)
        return loss(*self._logits(batch, encoded))

    def _encoded(self, points: Int[Tensor, "trajectory point slot"]) -> Float[Tensor, "trajectory point model"]:
        x = embedding(points, self["embedder.embeddings.weight"]).flatten(2).to(self.products)
        layer = 0
        while f"embedder.hidden_layers.{layer}.weight" in self._single:
            x = silu(self._linear(x, f"embedder.hidden_layers.{layer}"))
            layer += 1
        x = self._normal(_wide(self._linear(x, "embedder.fc")), "encoder.layer_norm_emb")
        for w in self._unbound("encoder"):
            q, k, v = self._product(x, w["qkv.weight"], w["qkv.bias"]).chunk(3, -1)
            x = _added(x, self._product(self._attended(q, k, v), w["out.weight"], w["out.bias"]), w, "norm1")
            x = self._feed_forward(x, w)
        return x

    def _logits(self, batch: Batch, encoded: Tensor) -> tuple[Tensor, Tensor]:
        shapes = [(len(words), words.shape[1] - 1) for words in batch.words]
        sizes = [rows * width for rows, width in shapes]
        tables = self["decoder.embeddings.weight"], self["decoder.position_embeddings.weight"]
        y = torch.cat(
            [
                (embedding(words[:, :-1], tables[0]) + tables[1][: words.shape[1] - 1]).flatten(0, 1)
                for words in batch.words
            ]
        )
        y = self._normal(y, "decoder.layer_norm_emb")
        widest = max(width for _, width in shapes)
        later = torch.full((widest, widest), -math.inf, dtype=self.products, device=y.device).triu(1)
        rows = [n for n, _ in shapes]

        def by_bucket(flat: Tensor) -> list[Tensor]:
            return [part.unflatten(0, shape) for part, shape in zip(flat.split(sizes), shapes, strict=True)]

        for w in self._unbound("decoder"):
            qkv = by_bucket(self._product(y, w["qkv.weight"], w["qkv.bias"]))
            seen = []
            for one in qkv:
                q, k, v = one.chunk(3, -1)
                seen.append(self._attended(q, k, v, later[: one.shape[1], : one.shape[1]]).flatten(0, 1))
            y = _added(y, self._product(torch.cat(seen), w["out.weight"], w["out.bias"]), w, "norm1")
            queries = by_bucket(self._product(y, w["cross_q.weight"], w["cross_q.bias"]))
            kv = self._product(encoded, w["cross_kv.weight"], w["cross_kv.bias"]).split(rows)
            seen = []
            for q, both in zip(queries, kv, strict=True):
                k, v = both.chunk(2, -1)
                seen.append(self._attended(q, k, v).flatten(0, 1))
            y = _added(y, self._product(torch.cat(seen), w["cross_out.weight"], w["cross_out.bias"]), w, "norm15")
            y = self._feed_forward(y, w)
        right = torch.cat(
            [
                words[:, 1:]
                .masked_fill(torch.arange(1, words.shape[1], device=y.device) >= lengths[:, None], -1)
                .flatten()
                for words, lengths in zip(batch.words, batch.lengths, strict=True)
            ]
        )
        asked = right >= 0
        return _wide(self._product(y[asked], tables[0], self["decoder.proj.bias"])), right[asked]

    def _unbound(self, stack: str) -> list[dict[str, Tensor]]:
        """One layer after the other, in the type of products; queries are scaled here, once for all words."""
        unbound = {}
        for name in self._places:
            place, part = name.split(".", 1)
            if place == stack:
                weight: Tensor = self[name]
                if part.startswith("qkv"):
                    width = weight.shape[1] // 3
                    scale = torch.cat(
                        [weight.new_full((width,), (width // self.heads) ** -0.5), weight.new_ones(2 * width)]
                    )
                    weight = weight * (scale[:, None] if weight.ndim == 3 else scale)
                elif part.startswith("cross_q."):
                    weight = weight * (weight.shape[1] // self.heads) ** -0.5
                unbound[part] = (weight if part.startswith("norm") else weight.to(self.products)).unbind(0)
        layers = len(next(iter(unbound.values())))
        return [{part: weights[i] for part, weights in unbound.items()} for i in range(layers)]

    def _product(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return linear(x.to(self.products), weight.to(self.products), bias.to(self.products))

    def _linear(self, x: Tensor, name: str) -> Tensor:
        return self._product(x, self[f"{name}.weight"], self[f"{name}.bias"])

    def _normal(self, x: Tensor, name: str) -> Tensor:
        return layer_norm(x, x.shape[-1:], self[f"{name}.weight"], self[f"{name}.bias"], _EPSILON)

    def _feed_forward(self, x: Tensor, w: Mapping[str, Tensor]) -> Tensor:
        hidden = silu(self._product(x, w["lin1.weight"], w["lin1.bias"]))
        return _added(x, self._product(hidden, w["lin2.weight"], w["lin2.bias"]), w, "norm2")

    def _attended(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
        """Attention of all heads; queries come scaled. Its softmax is in float32."""
        q, k, v = (one.unflatten(-1, (self.heads, -1)).transpose(1, 2).flatten(0, 1) for one in (q, k, v))
        scores = torch.bmm(q, k.mT) if mask is None else torch.baddbmm(mask, q, k.mT)
        mixed = torch.bmm(_wide(scores).softmax(-1).to(v.dtype), v)
        return mixed.unflatten(0, (-1, self.heads)).transpose(1, 2).flatten(2)


def _wide(x: Tensor) -> Tensor:
    """In single precision or better."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _added(x: Tensor, more: Tensor, w: Mapping[str, Tensor], name: str) -> Tensor:
    return layer_norm(x + more, x.shape[-1:], w[f"{name}.weight"], w[f"{name}.bias"], _EPSILON)


class SoftMantissas:
    """Cross-entropy whose targets, where they are mantissas, are spread over those close by.

    Args:
        first: the first of the mantissas that stand for numbers, ``N100``.
        count: how many there are, 900 at three digits.
        deviation: of the spread, relative; 0 for plain cross-entropy.
    """

    def __init__(self, first: int, count: int, deviation: float) -> None:
        self.first, self.count, self.deviation = first, count, deviation

    def __call__(self, logits: Tensor, right: Tensor) -> Tensor:
        if not self.deviation:
            return cross_entropy(logits, right)
        chances = logits.log_softmax(-1)
        losses = -chances.gather(1, right[:, None])[:, 0]
        at = ((right >= self.first) & (right < self.first + self.count)).nonzero()[:, 0]
        values = (torch.arange(self.count, device=logits.device) + self.count / 9).log()  # from 100 at 900 mantissas
        apart = (values - values[right[at] - self.first, None]) / self.deviation
        spread = (-0.5 * apart.square()).softmax(-1)
        return losses.index_put((at,), -(chances[at, self.first : self.first + self.count] * spread).sum(1)).mean()


class Muon(torch.optim.Optimizer):
    """Momentum made orthogonal, for stacks of matrices.

    Jordan et al. (2024), "Muon"; steps of the size of AdamW's after Liu et al. (2025), "Muon is scalable for LLM
    training". ``torch.optim.Muon`` takes one matrix at a time; here all of a shape are made orthogonal together.

    Args:
        parameters: stacks ``[layer, row, column]``, and of how many matrices, one below the other, a layer's entry is.
    """

    def __init__(
        self, parameters: list[tuple[nn.Parameter, int]], lr: float, momentum: float = 0.95, weight_decay: float = 0.01
    ) -> None:
        self.parts = dict(parameters)
        super().__init__(list(self.parts), {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # noqa: ARG002 - the base class has it
        for group in self.param_groups:
            by_shape: dict[tuple[int, ...], list[tuple[nn.Parameter, Tensor]]] = {}
            for parameter in group["params"]:
                state = self.state[parameter]
                momentum = state.setdefault("momentum", torch.zeros_like(parameter))
                momentum.lerp_(parameter.grad, 1 - group["momentum"])
                ahead = parameter.grad.lerp(momentum, group["momentum"])
                matrices = ahead.unflatten(1, (self.parts[parameter], -1)).flatten(0, 1)
                wide = matrices.mT if matrices.shape[1] > matrices.shape[2] else matrices
                by_shape.setdefault(tuple(wide.shape[1:]), []).append((parameter, wide))
            for shape, several in by_shape.items():
                made = orthogonal(torch.cat([wide for _, wide in several])).split([len(wide) for _, wide in several])
                for (parameter, _), wide in zip(several, made, strict=True):
                    rows = parameter.shape[1] // self.parts[parameter]
                    step = (wide if wide.shape[1] == rows else wide.mT).reshape(parameter.shape)
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    parameter.add_(step, alpha=-group["lr"] * 0.2 * max(shape) ** 0.5)


def orthogonal(matrices: Float[Tensor, "matrix row column"], steps: int = 5) -> Float[Tensor, "matrix row column"]:
    """The nearest orthogonal matrices, about: singular values come to lie between 0.7 and 1.2 (Jordan et al. 2024).

    Matrices have no more rows than columns.
    """
    x = matrices / (matrices.flatten(1).norm(dim=1)[:, None, None] + 1e-7)
    for _ in range(steps):
        gram = torch.bmm(x, x.mT)
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=-4.7750, alpha=2.0315), x, beta=3.4445)
    return x
