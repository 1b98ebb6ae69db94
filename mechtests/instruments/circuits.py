"""OV and QK circuits: what a head copies and what it matches, token by token, as products of thin matrices.

Source: Elhage et al., "A Mathematical Framework for Transformer Circuits" (2021). A circuit is a ``d_vocab × d_vocab``
matrix of rank ``d_head`` at most. Its statistics are made from its two factors, so that a vocabulary of 50,000 costs
thousands of times less than the whole matrix. Factors and statistics are worked out in float64, so that they are the
same on every processor; eigenvalues on the CPU.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Complex, Float, Int
from torch import Tensor

AT_ONCE = 2**24
"""Entries of a circuit that are formed at a time where its rows must be looked through: 64 MB in float32."""


@dataclass(frozen=True, eq=False)
class Circuit:
    """The matrix ``left @ right``, never formed unless asked for by :meth:`dense`; its factors become float64.

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
        object.__setattr__(self, "left", self.left.double())
        object.__setattr__(self, "right", self.right.double())

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
        return torch.linalg.eigvals((self.right @ self.left).cpu())

    def diagonal(self) -> Float[Tensor, " row"]:
        self._square("a diagonal")
        return (self.left * self.right.T).sum(1)

    def diagonal_mean_minus_rest(self) -> float:
        """The mean of the diagonal less the mean of all other entries."""
        on, n = float(self.diagonal().sum()), self.shape[0]
        off = float(self.left.sum(0) @ self.right.sum(1)) - on
        return on / n - off / (n * (n - 1))

    def diagonal_is_row_maximum(self) -> Bool[Tensor, " row"]:
        """For each row whether no other entry is as great as the diagonal's; rows are formed a block at a time.

        In float32 first, and again in float64 where the two are closer than float32 can tell.
        """
        self._square("a diagonal")
        lead = self._lead(torch.arange(self.shape[0], device=self.left.device), torch.float32)
        # What float32 may lose in a sum of products, by the Cauchy-Schwarz inequality.
        rounding = (self.left.shape[1] + 2) * torch.finfo(torch.float32).eps
        bound = 2 * rounding * self.left.norm(dim=1) * self.right.norm(dim=0).amax()
        doubtful = (~(lead.abs() > bound)).nonzero()[:, 0]
        lead[doubtful] = self._lead(doubtful, torch.float64)
        return lead > 0

    def _lead(self, rows: Int[Tensor, " some"], dtype: torch.dtype) -> Float[Tensor, " some"]:
        """By how much the diagonal's entry exceeds the greatest other one of each of ``rows``."""
        left, right, leads = self.left.to(dtype), self.right.to(dtype), [self.left.new_zeros(0)]
        for some in rows.split(max(1, AT_ONCE // self.shape[1])):
            entries = left[some] @ right
            own = entries.gather(1, some[:, None])[:, 0]
            leads.append((own - entries.scatter(1, some[:, None], float("-inf")).amax(1)).double())
        return torch.cat(leads)

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
    W_E, W_V, W_O, W_U = (weight.double() for weight in (W_E, W_V, W_O, W_U))
    return Circuit(W_E @ W_V, W_O @ W_U)


def qk_circuit(
    W_E: Float[Tensor, "vocab model"], W_Q: Float[Tensor, "model d_head"], W_K: Float[Tensor, "model d_head"]
) -> Circuit:
    """``W_E W_Q W_Kᵀ W_Eᵀ``: the score of each token as a query (row) for each token as a key (column), undivided."""
    W_E, W_Q, W_K = (weight.double() for weight in (W_E, W_Q, W_K))
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
    W_E, W_Q, W_K, W_V, W_O = (weight.double() for weight in (W_E, W_Q, W_K, W_V, W_O))
    return Circuit(W_E @ W_Q, (W_E @ (W_V @ (W_O @ W_K))).T)


def eigenvalue_positivity(eigenvalues: Complex[Tensor, " rank"]) -> float:
    """``Σ Re λ / Σ |λ|``: 1 when all are real and positive, as a matrix that copies has them; -1 when all are negative.

    The eigenvalues of a real matrix sum to a real number, so these are the sums of Elhage et al. An eigenvalue counts
    by its size, so that the sign of one that is zero but for rounding does not matter. Near 0 for a random matrix.

    Source: Elhage et al. (2021), "Summarizing OV/QK matrices".

    Raises:
        ValueError: all eigenvalues are zero.
    """
    total = float(eigenvalues.abs().sum())
    if total == 0:
        raise ValueError("eigenvalue_positivity: all eigenvalues are zero, so they have no sign.")
    return float(eigenvalues.real.sum()) / total
