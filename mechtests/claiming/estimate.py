"""What was observed of one claim on one model, as numbers."""

from dataclasses import dataclass

from mechtests.inference import Interval, SequentialProcess


@dataclass(frozen=True)
class Estimate:
    """What was observed of one claim on one model.

    Attributes:
        value: the estimate, in the units of the claim's region; for a permutation claim the statistic.
        interval: where the true value lies at the claim's error rate; ``None`` where the value is exact.
        units: how many independent units were observed.
        e_value: evidence against "the true value lies outside the region"; ``None`` where the value is exact.
        p_value: for a permutation claim.
    """

    value: float
    interval: Interval | None
    units: int
    e_value: float | None = None
    p_value: float | None = None

    @classmethod
    def of(cls, process: SequentialProcess) -> "Estimate":
        """What a process has come to."""
        return cls(process.value, process.interval(), process.units, process.e_value())

    @property
    def low(self) -> float:
        """The low end of the interval; the value itself where it is exact."""
        return self.value if self.interval is None else self.interval.lower

    @property
    def high(self) -> float:
        """The high end of the interval; the value itself where it is exact."""
        return self.value if self.interval is None else self.interval.upper


def more_units(units: int) -> int:
    """The next number of units of a trail: a quarter more, so that a thousand take some thirty steps."""
    return max(units + 1, units * 5 // 4)
