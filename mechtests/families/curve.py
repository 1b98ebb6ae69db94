"""A line of a figure, as plain numbers."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Curve:
    """A response along a dose, a training step or a depth, or an input along time, for the report."""

    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]
