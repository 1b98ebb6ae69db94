"""OV and QK circuits: what a head copies and what it matches, token by token, kept as products of thin matrices.

Source: Elhage et al., "A Mathematical Framework for Transformer Circuits" (2021). A circuit is a ``d_vocab × d_vocab``
matrix of rank ``d_head`` at most. Its statistics are made from its two factors, so that a vocabulary of 50,000 costs
thousands of times less than the whole matrix.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Complex, Float
from torch import Tensor

AT_ONCE = 2**24
"""Entries of a circuit that are formed at a time where its rows must be looked through: 64 MB in float32."""


@dataclass(frozen=True, eq=False)
class Circuit:
    """The matrix ``left @ right``, never formed unless asked for by :meth:`dense`.

    The sum of two circuits is a circuit: several heads with one pattern act as one of higher rank.

    Raises:
        ValueError: the factors do not fit together.
    """

    left: Float[Tensor, "row rank"]
    right: Float[Tensor, "rank column"]

    def __post_init__(self) -> None:
        if self.left.ndim != 2 or self.right.ndim != 2 or self.left.shape[1] != self.right.shape[0]:
            raise ValueError(
                f"Circuit: expected factors [row, rank] and [rank, column], found {tuple(self.left.shape)} and "
                f"{tuple(self.right.shape)}."
            )

    def __add__(self, other: "Circuit") -> "Circuit":
        return Circuit(torch.cat([self.left, other.left], 1), torch.cat([self.right, other.right]))

    @property
    def shape(self) -> tuple[int, int]:
        return self.left.shape[0], self.right.shape[1]

    def dense(self) -> Float[Tensor, "row column"]:
        """The whole matrix; mind its size."""
        return self.left @ self.right

    def eigenvalues(self) -> Complex[Tensor, " rank"]:
        """The eigenvalues that can differ from zero: those of ``right @ left``, which are those of ``left @ right``."""
        self._square("eigenvalues")
        return torch.linalg.eigvals(self.right @ self.left)

    def diagonal(self) -> Float[Tensor, " row"]:
        self._square("a diagonal")
        return (self.left * self.right.T).sum(1)

    def diagonal_mean_minus_rest(self) -> float:
        """The mean of the diagonal less the mean of all other entries."""
        on, n = float(self.diagonal().sum()), self.shape[0]
        off = float(self.left.sum(0) @ self.right.sum(1)) - on
        return on / n - off / (n * (n - 1))

    def diagonal_is_row_maximum(self) -> Bool[Tensor, " row"]:
        """For each row whether no other entry is as great as the diagonal's; rows are formed a block at a time."""
        diagonal, blocks = self.diagonal(), []
        for first, rows in self._blocks():
            place = torch.arange(len(rows), device=rows.device)
            rows[place, first + place] = float("-inf")
            blocks.append(diagonal[first : first + len(rows)] > rows.amax(1))
        return torch.cat(blocks)

    def _blocks(self) -> Iterator[tuple[int, Float[Tensor, "some column"]]]:
        height = max(1, AT_ONCE // self.shape[1])
        for first in range(0, self.shape[0], height):
            yield first, self.left[first : first + height] @ self.right

    def _square(self, what: str) -> None:
        if self.shape[0] != self.shape[1]:
            raise ValueError(f"Circuit: a matrix of shape {self.shape} has no {what.removeprefix('a ')}.")


def ov_circuit(
    W_E: Float[Tensor, "vocab model"],
    W_V: Float[Tensor, "model d_head"],
    W_O: Float[Tensor, "d_head model"],
    W_U: Float[Tensor, "model vocab"],
) -> Circuit:
    """``W_E W_V W_O W_U``: how attending to each token (row) raises each logit (column)."""
    return Circuit(W_E @ W_V, W_O @ W_U)


def qk_circuit(
    W_E: Float[Tensor, "vocab model"], W_Q: Float[Tensor, "model d_head"], W_K: Float[Tensor, "model d_head"]
) -> Circuit:
    """``W_E W_Q W_Kᵀ W_Eᵀ``: the score of each token as a query (row) for each token as a key (column), undivided."""
    return Circuit(W_E @ W_Q, (W_E @ W_K).T)


def token_match_circuit(
    W_E: Float[Tensor, "vocab model"],
    W_Q: Float[Tensor, "model d_head"],
    W_K: Float[Tensor, "model d_head"],
    W_V: Float[Tensor, "model d_head"],
    W_O: Float[Tensor, "d_head model"],
) -> Circuit:
    """``W_E W_Q (W_E W_V W_O W_K)ᵀ``: the score of a query token (row) for what an earlier head attended to (column).

    ``W_V`` and ``W_O`` are the earlier head's. When that is the previous-token head, an induction head's circuit has a
    large diagonal: the query matches keys that come after its own token (the lecture's "token match" tensor; the
    K-composition term of Elhage et al., 2021).
    """
    return Circuit(W_E @ W_Q, (W_E @ (W_V @ (W_O @ W_K))).T)


def eigenvalue_positivity(eigenvalues: Complex[Tensor, " rank"]) -> float:
    """``Σ λ / Σ |λ|``: 1 when all are real and positive, as a matrix that copies has them; -1 when all are negative.

    Source: Elhage et al. (2021), "Summarizing OV/QK matrices".

    Raises:
        ValueError: all eigenvalues are zero.
    """
    total = float(eigenvalues.abs().sum())
    if total == 0:
        raise ValueError("eigenvalue_positivity: all eigenvalues are zero, so they have no sign.")
    return float(eigenvalues.real.sum()) / total


def positive_eigenvalue_share(eigenvalues: Complex[Tensor, " rank"]) -> float:
    """The share of eigenvalues whose real part is above zero; half of them for a random matrix."""
    return float((eigenvalues.real > 0).double().mean())
