"""Composition scores: how much of what one head writes another head reads, from their weights alone.

Source: Elhage et al., "A Mathematical Framework for Transformer Circuits" (2021), "Virtual attention heads".
"""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from mechtests.instruments.heads import Heads

Into = Literal["q", "k", "v"]
"""What the reader makes of what it reads: its queries, its keys or its values."""


def composition_scores(writers: Heads, readers: Heads, into: Into) -> Float[Tensor, "writer reader"]:
    """``‖W_OV W‖ / (‖W_OV‖ ‖W‖)`` of all pairs of heads, in Frobenius norms, between 0 and 1.

    ``W_OV = W_V W_O`` is the writer's; ``W`` is the reader's ``W_Q W_Kᵀ`` for Q-composition, ``W_K W_Qᵀ`` for
    K-composition and ``W_V W_O`` for V-composition; a head of no weight composes with none, and scores 0. No product as
    large as the model's width squared is formed. All is worked out in float64.
    """
    writes, reads = _thin(writers, readers, into)
    products = torch.einsum("w d m, r m e -> w r d e", writes, reads)
    lengths = torch.linalg.matrix_norm(writes).unsqueeze(1) * torch.linalg.matrix_norm(reads)
    return torch.where(lengths > 0, torch.linalg.matrix_norm(products) / lengths, 0.0)


def composition_null(
    writers: Heads, readers: Heads, into: Into, draws: int, generator: torch.Generator
) -> Float[Tensor, "draw writer reader"]:
    """The same scores with each writer turned against its reader by a random rotation of the residual stream.

    Under this null the two matrices keep their singular values, and their directions mean nothing to each other. The
    mean of the squared score is then exactly ``1 / d_model``, whatever the singular values. A squared score is
    ``s · (T∘T) · t / (Σs Σt)``, with ``s`` and ``t`` the squared singular values and ``T`` the corner, ``d_head`` on a
    side, of a uniform (Haar) rotation. Each draw takes one rotation for all pairs.
    """
    writes, reads = _thin(writers, readers, into)
    s, t = (torch.linalg.svdvals(thin).square() for thin in (writes, reads))
    model = writes.shape[2]
    drawn = torch.randn(draws, model, t.shape[1], generator=generator, dtype=torch.float64).to(s.device)
    # Q of a Gaussian matrix is uniform up to the signs of its columns, which the squares do not see.
    blocks = torch.linalg.qr(drawn).Q[:, : s.shape[1]].square()
    s, t = (torch.where(one.sum(1, keepdim=True) > 0, one / one.sum(1, keepdim=True), 0.0) for one in (s, t))
    return torch.einsum("w i, n i j, r j -> n w r", s, blocks, t).sqrt()


def _thin(
    writers: Heads, readers: Heads, into: Into
) -> tuple[Float[Tensor, "writer d_head model"], Float[Tensor, "reader model d_head"]]:
    """The writers' and the readers' matrices, made thin by an orthonormal factor that norms of products do not see."""
    near, far = {
        "q": (readers.W_Q, readers.W_K),
        "k": (readers.W_K, readers.W_Q),
        "v": (readers.W_V, readers.W_O.mT),
    }[into]
    W_V, W_O, near, far = (weight.double() for weight in (writers.W_V, writers.W_O, near, far))
    return torch.linalg.qr(W_V).R @ W_O, near @ torch.linalg.qr(far).R.mT
