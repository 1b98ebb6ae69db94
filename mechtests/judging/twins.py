"""Twins that a control draws must differ: if all are the same model, there is one comparison and not many."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from mechtests.claiming.claim import Control
from mechtests.claiming.controls import system_argument
from mechtests.claiming.expectations import ClaimError


@dataclass
class Twins:
    """The twins that a control draws, each compared with the first."""

    control: Control
    _first: nn.Module | None = None

    def check(self, changed: Mapping[str, Any], draw: int) -> None:
        """Refuse a draw that is the first one again.

        Args:
            changed: the arguments that the control changes, of which one may be a twin of the system.
            draw: the draw's number.

        Raises:
            ClaimError: the twin has the weights of the first.
        """
        found = system_argument(changed)
        if found is None or self.control.draws is None:
            return
        module = found[1].module
        if self._first is None:
            self._first = module
        elif _equal(self._first, module):
            raise ClaimError(
                f"the control “{self.control.name}”: draw {draw + 1} has the weights of draw 1. Expected another model "
                "on each draw: its initialisation must follow torch's seed, and no seed of its own."
            )


def _equal(first: nn.Module, other: nn.Module) -> bool:
    """Whether all weights are the same; most models differ in the first that is random."""
    weights = list(zip(first.parameters(), other.parameters(), strict=True))
    return bool(weights) and all(one.equal(another) for one, another in weights)
