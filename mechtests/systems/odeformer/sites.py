"""The sites of an ODEFormer: how they are spelled, what their axes are, and which are worked out from others."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from jaxtyping import Bool
from torch import Tensor

from mechtests.activations.capture import FEWEST, INPUT, batches
from mechtests.activations.interventions import Axes
from mechtests.instruments.attention import attention_pattern, causal_mask, value_weighted
from mechtests.systems.derived import Derived

Stack = Literal["encoder", "decoder", "cross"]
Weighting = Literal["plain", "value"]
Part = Literal["q", "k", "v", "z", "pattern", "value_weighted"]

WEIGHTINGS: Mapping[str, Part] = {"plain": "pattern", "value": "value_weighted"}
"""By how attention is weighted, the part of an attention layer that gives it."""

_LAYERS = range(32)
"""Layers that sites are named for, more than any ODEFormer has."""

ATTENTION = {"encoder": "encoder.attentions", "decoder": "decoder.attentions", "cross": "decoder.encoder_attn"}
"""By stack, where its attention layers are."""


def axes_of_sites() -> Axes:
    """By site, the names of its axes, for as many layers as there may be."""
    axes = {
        "counts": "batch",
        "embedder": "batch point model",
        "encoder.layer_norm_emb": "batch point model",
        "encoded": "batch point model",
        "decoder.layer_norm_emb": "batch word model",
        "decoder.proj": "batch word vocab",
        "logits": "batch word vocab",
    }
    for i in _LAYERS:
        for stack, token, key in (
            ("encoder", "point", "point"),
            ("decoder", "word", "word"),
            ("cross", "word", "point"),
        ):
            attention = f"{ATTENTION[stack]}.{i}"
            ours = ("", INPUT, ".q_lin", f".out_lin{INPUT}", ".out_lin")
            axes |= {f"{attention}{end}": f"batch {token} model" for end in ours}
            axes |= {f"{attention}{end}": f"batch {key} model" for end in (".k_lin", ".v_lin")}
        for stack, token in (("encoder", "point"), ("decoder", "word")):
            axes |= {
                f"{stack}.{norm}.{i}": f"batch {token} model" for norm in ("layer_norm1", "layer_norm15", "layer_norm2")
            }
            axes |= {f"{stack}.ffns.{i}{end}": f"batch {token} neuron" for end in (".lin1", f".lin2{INPUT}")}
            axes[f"{stack}.ffns.{i}"] = f"batch {token} model"
    return axes


def derived_sites() -> Mapping[str, Derived]:
    """Queries, keys, values, outputs and patterns of the heads: ``encoder.attentions.2.pattern``."""
    derived = {}
    for i in _LAYERS:
        for stack, query in (("encoder", "point"), ("decoder", "word"), ("cross", "word")):
            site = f"{ATTENTION[stack]}.{i}"
            split = _split(stack)
            for name, source, axis in (
                ("q", ".q_lin", query),
                ("k", ".k_lin", "key"),
                ("v", ".v_lin", "key"),
                ("z", f".out_lin{INPUT}", query),
            ):
                derived[f"{site}.{name}"] = Derived((site + source,), split, f"batch head {axis} d_head")
            # The decoder's own attention is causal, and padding comes last; elsewhere padding must be left out.
            seen = () if stack == "decoder" else ("counts",)
            axes = f"batch head {query} key"
            derived[f"{site}.pattern"] = Derived((f"{site}.q", f"{site}.k", *seen), _pattern, axes)
            sources = f"{site}.v", f"{site}.q", f"{site}.k", *seen
            derived[f"{site}.value_weighted"] = Derived(sources, _value_weighted, axes)
    return derived


def _split(stack: str) -> Callable[[Any, Tensor], Tensor]:
    def split(odeformer: Any, side_by_side: Tensor) -> Tensor:
        heads = odeformer.module.config.n_enc_heads if stack == "encoder" else odeformer.module.config.n_dec_heads
        return side_by_side.unflatten(-1, (heads, -1)).transpose(1, 2)

    return split


def _pattern(_: object, q: Tensor, k: Tensor, counts: Tensor | None = None) -> Tensor:
    return _by_rows(attention_pattern, q, k, mask=_mask(k.shape[2], counts, k.device))


def _value_weighted(_: object, v: Tensor, q: Tensor, k: Tensor, counts: Tensor | None = None) -> Tensor:
    def weighted(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        return value_weighted(attention_pattern(q, k, mask), v)

    return _by_rows(weighted, q, k, v, mask=_mask(k.shape[2], counts, k.device))


def _by_rows(compute: Callable[..., Tensor], *inputs: Tensor, mask: Tensor | None) -> Tensor:
    """``compute(*inputs, mask)``, some rows at a time, because patterns are large and a processor's caches are not."""
    made: Tensor | None = None
    for rows in batches(len(inputs[0]), FEWEST):
        of_rows = mask[rows.slice] if mask is not None and mask.ndim == 4 else mask
        part = compute(*(one[rows.slice] for one in inputs), of_rows)
        if made is None:
            made = part.new_empty(rows.total, *part.shape[1:])
        made[rows.slice] = part
    assert made is not None
    return made


def _mask(keys: int, counts: Tensor | None, device: torch.device) -> Bool[Tensor, "*#batch #query key"] | None:
    """Which keys a query sees: those before it without ``counts``, else as many; ``None`` where those are all."""
    if counts is None:
        return causal_mask(keys, device)
    seen = _seen(counts, keys)
    return None if bool(seen.all()) else seen[:, None, None, :]


def _seen(counts: Tensor, points: int) -> Bool[Tensor, "batch point"]:
    return torch.arange(points, device=counts.device) < counts[:, None]
