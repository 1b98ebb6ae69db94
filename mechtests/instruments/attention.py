"""Attention patterns, how they weigh what they attend to, and how much of them lies on given positions."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def causal_mask(positions: int, device: torch.device | None = None) -> Bool[Tensor, "query key"]:
    """True where a query may attend: to its own position and those before."""
    return torch.ones(positions, positions, dtype=torch.bool, device=device).tril()


def attention_pattern(
    q: Float[Tensor, "*batch query d_head"],
    k: Float[Tensor, "*batch key d_head"],
    mask: Bool[Tensor, "*#batch query key"] | None = None,
) -> Float[Tensor, "*batch query key"]:
    """``softmax(q kᵀ / sqrt(d_head))`` over the keys that ``mask`` allows; all of them when it is ``None``.

    Source: Vaswani et al., "Attention Is All You Need" (2017), equation 1.

    Raises:
        ValueError: the mask leaves some query no key.
    """
    scores = (q / q.shape[-1] ** 0.5) @ k.mT
    if mask is None:
        return scores.softmax(-1)
    if not mask.any(-1).all():
        raise ValueError(
            f"attention_pattern: {int((~mask.any(-1)).sum())} queries may attend to no key, so they have no pattern. "
            "True in the mask means that a query may attend; leave queries without keys out."
        )
    return scores.masked_fill(~mask, float("-inf")).softmax(-1)


def value_weighted(
    pattern: Float[Tensor, "*batch query key"], v: Float[Tensor, "*batch key d_head"]
) -> Float[Tensor, "*batch query key"]:
    """``pattern[q, k] · ‖v_k‖₂``: attention to a position without information counts for nothing.

    In units of the values' length; rows do not sum to one.
    """
    return pattern * v.norm(dim=-1).unsqueeze(-2)


def previous_token_targets(tokens: Int[Tensor, "batch pos"]) -> Int[Tensor, "batch pos"]:
    """For each query the position before it; -1 at the first, which has none."""
    return torch.arange(-1, tokens.shape[1] - 1, device=tokens.device).expand(tokens.shape)


def induction_targets(tokens: Int[Tensor, "batch pos"]) -> Int[Tensor, "batch pos"]:
    """For each query the position after the last earlier occurrence of its token: that of [B] in ``[A][B] … [A]``.

    -1 where the token has not occurred before. An occurrence right before the query does not count: the position after
    it is the query itself.
    """
    n = tokens.shape[1]
    place = torch.arange(n, device=tokens.device)
    same = tokens.unsqueeze(2) == tokens.unsqueeze(1)
    earlier = same & (place < place.unsqueeze(1) - 1)
    last = torch.where(earlier, place, -2).amax(-1)
    return torch.where(last >= 0, last + 1, -1)


def attention_to(
    pattern: Float[Tensor, "batch *head query key"], targets: Int[Tensor, "batch query"]
) -> Float[Tensor, "batch *head"]:
    """Mean attention from each query to its target, over the queries that have one; one number per sequence and head.

    Args:
        pattern: attention of any number of heads.
        targets: a key for each query; -1 where it has none.

    Raises:
        ValueError: some sequence has no query with a target, so there is nothing to average.
    """
    asked = targets >= 0
    if not asked.any(1).all():
        bare = (~asked.any(1)).nonzero()[0].item()
        raise ValueError(
            f"attention_to: no query of sequence {bare} has a target. Leave such sequences out, or use longer ones."
        )
    shape = (len(targets), *[1] * (pattern.ndim - 3), targets.shape[1])
    paid = pattern.gather(-1, targets.clamp(min=0).reshape(*shape, 1).expand(*pattern.shape[:-1], 1)).squeeze(-1)
    return (paid * asked.reshape(shape)).sum(-1) / asked.sum(1).reshape(shape[:-1])


def uniform_attention_to(targets: Int[Tensor, "batch query"]) -> Float[Tensor, " batch"]:
    """What :func:`attention_to` is by chance: for a causal head that attends alike to all positions up to its own."""
    n = targets.shape[1]
    uniform = causal_mask(n, targets.device).double() / torch.arange(1, n + 1, device=targets.device).unsqueeze(1)
    return attention_to(uniform.expand(len(targets), n, n), targets)


def previous_token_score(
    pattern: Float[Tensor, "batch *head query key"], tokens: Int[Tensor, "batch pos"]
) -> Float[Tensor, "batch *head"]:
    """Mean attention from each position, the first left out, to the one before it.

    Source: Olsson et al., "In-context Learning and Induction Heads" (2022), head activation evaluators: "the average of
    the attention pattern entries from token i to token i-1". There it is measured on text; give what tokens you like.
    """
    return attention_to(pattern, previous_token_targets(tokens))


def prefix_matching_score(
    pattern: Float[Tensor, "batch *head query key"], tokens: Int[Tensor, "batch pos"]
) -> Float[Tensor, "batch *head"]:
    """Mean attention from each token that occurred before to the token after its last earlier occurrence.

    Source: Olsson et al. (2022), head activation evaluators. There the random sequence is repeated four times and
    attention to all earlier copies is averaged; here a query has one target (:func:`induction_targets`), so that a head
    that always finds it scores 1.

    Raises:
        ValueError: some sequence repeats no token.
    """
    return attention_to(pattern, induction_targets(tokens))
