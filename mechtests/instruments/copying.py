"""Copying, seen in activations: does a head raise the logits of the tokens that it attends to?"""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def copying_score(
    pattern: Float[Tensor, "batch head query key"],
    z: Float[Tensor, "batch head query d_head"],
    W_O: Float[Tensor, "head d_head model"],
    W_U: Float[Tensor, "model vocab"],
    tokens: Int[Tensor, "batch key"],
) -> Float[Tensor, "batch head"]:
    """Of all that a head raises the logits of the sequence's tokens, the share that goes to those attended to.

    The head's output ``z W_O W_U`` is centred over the vocabulary and cut off at zero, which leaves what it raises. The
    score is the sum over queries and keys of ``pattern[q, k] · raised[q, token_k]`` over the sum over queries and
    different tokens of ``raised[q, token]``: 1 for a head that attends to one token at a time and raises it alone, the
    mean of ``pattern`` for one that raises all alike, 0 for one that raises no token of the sequence.

    Source: Olsson et al., "In-context Learning and Induction Heads" (2022), head activation evaluators, where the share
    is rescaled afterwards. Sums are made in float64. Logits of the sequence's tokens alone are formed.
    """
    columns = (W_U - W_U.mean(1, keepdim=True, dtype=torch.float64).to(W_U)).T[tokens]
    raised = (z @ torch.einsum("b j m, h d m -> b h d j", columns, W_O)).relu()
    occurrences = (tokens.unsqueeze(2) == tokens.unsqueeze(1)).sum(2)
    every = (raised / occurrences[:, None, None]).sum((2, 3), dtype=torch.float64)
    attended = (pattern * raised).sum((2, 3), dtype=torch.float64)
    return torch.where(every > 0, attended / every, 0.0)
