"""The name of an attention head."""

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Head:
    """An attention head, printed ``L2H7``: layer 2, head 7, both counted from 0."""

    layer: int
    index: int

    def __str__(self) -> str:
        return f"L{self.layer}H{self.index}"
