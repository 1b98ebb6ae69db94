"""The units that a claim's body draws: from what family, how many, and which of them tell against the claim."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mechtests.families import Family, Point

Batch_co = TypeVar("Batch_co", covariant=True)

WORST = 32
"""How many of the units that fail, or come closest to it, the search for a counterexample starts from."""


class Samples(Protocol[Batch_co]):
    """Anything that draws independent inputs: every family does."""

    def sample(self, n: int, generator: torch.Generator) -> Batch_co:
        """``n`` independent inputs; the generator's state decides them."""


@dataclass(frozen=True)
class SampledUnits:
    """The units that a rate was estimated from, for the search of a counterexample.

    Attributes:
        family: what they were drawn from.
        size: how many the claim's body took at a time.
        worst: those on which the claim fails, or comes closest to failing where margins tell, the worst first.
        failing: how many of the worst fail.
    """

    family: Family[Any]
    size: int
    worst: tuple[Point, ...]
    failing: int


@dataclass
class SamplingLoop:
    """One loop over batches of inputs in a claim's body.

    Attributes:
        family: what inputs are drawn from.
        most: the greatest number of units of the claim; ``None`` takes the run's budget.
        size: inputs per batch.
        search: whether a counterexample may be searched for in ``family``.
    """

    family: Samples[Any]
    most: int | None
    size: int
    search: bool
    _parameters: list[Mapping[str, Tensor]] = field(default_factory=list, init=False)

    def limit(self, budget: int) -> int:
        """How many units the claim can have within ``budget``."""
        return budget if self.most is None else min(self.most, budget)

    def sample(self, n: int, generator: torch.Generator) -> Any:
        """The next ``n`` inputs; their parameters are remembered where a counterexample may be searched for.

        A family with a ``sample`` of its own leaves out some of what its parameters describe, and only it knows what.
        """
        if self.search and isinstance(self.family, Family) and type(self.family).sample is Family.sample:
            self._parameters.append(self.family.draw(n, generator))
            return self.family.build(**self._parameters[-1])
        return self.family.sample(n, generator)

    def sampled_units(
        self, fails: Bool[np.ndarray, " unit"], margin: Float[np.ndarray, " unit"] | None
    ) -> SampledUnits | None:
        """The units with the parameters of the worst; ``None`` where they are not known.

        Args:
            fails: for each unit whether it tells against the claim.
            margin: by how much each tells for it, if known.
        """
        drawn = sum(min(map(len, batch.values()), default=0) for batch in self._parameters)
        if not isinstance(self.family, Family) or not self._parameters or drawn != len(fails):
            return None
        badness = fails.astype(float) if margin is None else -margin
        worst = [unit for unit in np.argsort(-badness, kind="stable")[:WORST] if fails[unit] or margin is not None]
        values = {name: torch.cat([batch[name] for batch in self._parameters]) for name in self.family.parameters}
        points: list[Point] = [{name: drawn[unit].item() for name, drawn in values.items()} for unit in worst]
        return SampledUnits(self.family, self.size, tuple(points), int(fails[worst].sum()))
