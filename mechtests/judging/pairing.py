"""A model and one of its controls on the same units: by how much the model does more, unit by unit."""

import math
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from mechtests.claiming.expectations import Average
from mechtests.inference import Interval, MeanProcess, Region

Units = Float[np.ndarray, " unit"]


@dataclass
class PairedUnits:
    """Differences between a model and a draw of its control, in the claimed direction, on the units both have seen.

    Model and control see the same inputs in the same order, so what is hard for both drops out of the difference.

    Attributes:
        expect: what is measured of each; its region has one end.
        model: the model's units, in the order they were drawn.
        margin: by how much more than the control the model must do.
        alpha: the error rate of the decision, at whatever number of units it falls.
    """

    expect: Average
    model: Units
    margin: float
    alpha: float
    _process: MeanProcess = field(init=False, repr=False)

    def __post_init__(self) -> None:
        span = self.expect.span
        self._process = MeanProcess(Region(self.margin, math.inf, True), self.alpha, (-span, span))

    def observe(self, control: Units) -> None:
        """Take in further units of the control; those beyond the model's have no partner and do not count."""
        model = self.model[self._process.units :][: len(control)]
        more = model - control[: len(model)]
        self._process.observe(more if self.expect.direction == "high" else -more)

    @property
    def units(self) -> int:
        """How many pairs there are so far."""
        return self._process.units

    @property
    def decided(self) -> bool:
        """Whether further units can change nothing."""
        return self._process.units >= len(self.model) or self._process.decision() is not None

    @property
    def does_more(self) -> bool:
        """Whether the model is shown to do more than the control by the margin."""
        return self._process.decision() is True

    @property
    def difference(self) -> float:
        """The mean difference that was observed, in the claimed direction."""
        return self._process.value

    @property
    def interval(self) -> Interval:
        """Where the true difference lies, at the error rate."""
        return self._process.interval()
