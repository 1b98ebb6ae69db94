"""The weights of attention heads, as the instruments on weights take them."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Heads:
    """The weights of one layer's attention heads, without biases, for row vectors: ``q = x @ W_Q[head]``.

    Raises:
        ValueError: the shapes do not fit together.
    """

    W_Q: Float[Tensor, "head model d_head"]
    W_K: Float[Tensor, "head model d_head"]
    W_V: Float[Tensor, "head model d_head"]
    W_O: Float[Tensor, "head d_head model"]

    def __post_init__(self) -> None:
        shapes = {name: tuple(getattr(self, name).shape) for name in ("W_Q", "W_K", "W_V", "W_O")}
        expected = self.W_V.mT.shape if self.W_V.ndim == 3 else None
        if not (
            expected == self.W_O.shape and self.W_Q.shape == self.W_K.shape and shapes["W_Q"][:2] == shapes["W_V"][:2]
        ):
            raise ValueError(
                f"Heads: expected W_Q, W_K and W_V of shape [head, model, d_head] and W_O of [head, d_head, model], "
                f"found {', '.join(f'{name} {shape}' for name, shape in shapes.items())}."
            )

    def __len__(self) -> int:
        return len(self.W_Q)

    def __getitem__(self, some: list[int]) -> "Heads":
        """The weights of some of the heads, in the order given: ``heads[[3]]`` are those of head 3 alone."""
        return Heads(self.W_Q[some], self.W_K[some], self.W_V[some], self.W_O[some])
