"""Controls: the same claim measured where it should not hold."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from mechtests.claiming.claim import Control
from mechtests.systems.base import System

DRAWS = 19
"""The fewest draws with which a rank p-value can reach 0.05. Where a draw is cheap, write ``untrained.drawn(99)``."""


def system_argument(arguments: Mapping[str, Any]) -> tuple[str, System] | None:
    """The test's argument that is the system under test, by name, or ``None`` where it has none."""
    return next(((name, value) for name, value in arguments.items() if isinstance(value, System)), None)


def _untrained(arguments: Mapping[str, Any], draw: int) -> Mapping[str, Any] | None:
    found = system_argument(arguments)
    return found and {found[0]: found[1].untrained(draw)}


def _shuffled(arguments: Mapping[str, Any], draw: int) -> Mapping[str, Any] | None:
    found = system_argument(arguments)
    return found and {found[0]: found[1].shuffled(draw)}


untrained = Control("untrained", _untrained, DRAWS, by_architecture=True)
"""Twins of the same architecture with weights as before training."""

shuffled_weights = Control("shuffled weights", _shuffled, DRAWS)
"""Twins in which the entries of each weight matrix are permuted among themselves."""


def other(parameter: str) -> Control:
    """Every other head of the model in the place of the one that the test's argument ``parameter`` names."""

    def replacement(arguments: Mapping[str, Any], draw: int) -> Mapping[str, Any] | None:
        found = system_argument(arguments)
        others = [head for head in found[1].heads if head != arguments[parameter]] if found else []
        return {parameter: others[draw]} if draw < len(others) else None

    return Control(f"other {parameter}s", replacement, None, parameter)


def instead(parameter: str, *alternatives: Any) -> Control:
    """Each of ``alternatives`` in the place of the test's argument ``parameter``."""

    def replacement(_arguments: Mapping[str, Any], draw: int) -> Mapping[str, Any] | None:
        return {parameter: alternatives[draw]} if draw < len(alternatives) else None

    names = ", ".join(getattr(alternative, "__name__", str(alternative)) for alternative in alternatives)
    return Control(f"{parameter}: {names}", replacement, None, parameter)


def random_sets(parameter: str) -> Control:
    """Random sets of components, as many as the test's argument ``parameter`` chooses.

    The argument must be a selector: a function from the system to a boolean mask over its components.
    """

    def replacement(arguments: Mapping[str, Any], draw: int) -> Mapping[str, Any]:
        select: Callable[[Any], Tensor] = arguments[parameter]

        def as_many_at_random(system: System) -> Tensor:
            chosen = select(system)
            order = torch.randperm(len(chosen), generator=torch.Generator().manual_seed(draw)).to(chosen.device)
            return chosen[order]

        return {parameter: as_many_at_random}

    return Control(f"random {parameter}", replacement, DRAWS, parameter)
