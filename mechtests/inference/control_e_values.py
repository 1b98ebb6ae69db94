"""How surely a model does more than controls that are drawn again and again, and what that errs by.

The null hypothesis is that the model is one more draw of the control (an untrained twin of another seed, say): the true
values of the model and of its ``m`` controls are exchangeable. A control *reaches* the model if its true value does at
least as well.

Without sampling error, the chance that ``r`` or fewer of the draws reach the model is at most ``(r + 1) / (m + 1)``,
that of one in ``m + 1`` exchangeable numbers to be among the ``r + 1`` best, ties counted against it (Phipson & Smyth,
2010).

With values known by intervals that each miss with probability ``alpha``, a draw counts as reaching unless its interval
is clear of the model's. Suppose ``r + 1`` or more draws truly reach. Which do is settled by the true values, so take
the first ``r + 1`` of them before anything is sampled. For ``r`` or fewer to be counted, one of these must be missed,
and so its own interval or the model's must be wrong: ``r + 2`` intervals, ``(r + 2) alpha``. Hence under the null
hypothesis

    P(counted <= r) <= (r + 1) / (m + 1) + (r + 2) alpha,

and the indicator of the event over this bound has expectation at most 1. It is 0 as soon as ``r + 1`` draws have been
counted, so drawing may end there and nothing changes (Besag & Clifford, "Sequential Monte Carlo p-values", 1991; with
e-values Fischer & Ramdas, "Sequential Monte Carlo testing by betting", 2024). ``r`` and ``m`` are chosen beforehand.
"""

from dataclasses import dataclass

from mechtests.inference.processes import checked_count


def vacuity_error(draws: int, allowed: int, alpha: float) -> float:
    """How often a model that is one more draw of its control passes for more than that.

    Source: see the module; ``(allowed + 1) / (draws + 1) + (allowed + 2) alpha``.

    Args:
        draws: draws of the control, if all are made.
        allowed: how many of them may reach the model.
        alpha: the error rate of each interval; 0 where values are exact.

    Returns:
        The bound, at most 1.

    Raises:
        ValueError: if there are no draws, ``allowed`` is negative or not below ``draws``, or ``alpha`` not in [0, 1).

    """
    draws, allowed = checked_count("draws", draws), checked_count("allowed", allowed, 0)
    if allowed >= draws:
        raise ValueError(f"Expected fewer draws allowed than made, but got allowed={allowed} of draws={draws}.")
    if not 0 <= alpha < 1:
        raise ValueError(f"Expected an error rate 0 <= alpha < 1, but got {alpha}. Use 0 where values are exact.")
    return min((allowed + 1) / (draws + 1) + (allowed + 2) * alpha, 1.0)


def control_e_value(reached: int, draws: int, allowed: int, alpha: float) -> float:
    """E-value for "the model does more than its control", against "it is one more draw of it".

    Args:
        reached: draws that reached the model, of all or of those made until ``allowed + 1`` had.
        draws: draws of the control, if all are made; fixed beforehand.
        allowed: how many of them may reach the model; fixed beforehand.
        alpha: the error rate of each interval; 0 where values are exact.

    Returns:
        One over :func:`vacuity_error` if at most ``allowed`` draws reached the model, else 0.

    Raises:
        ValueError: as :func:`vacuity_error`, or ``reached`` is not between 0 and ``draws``.

    """
    error = vacuity_error(draws, allowed, alpha)
    if checked_count("reached", reached, 0) > draws:
        raise ValueError(f"Expected at most {draws} draws that reached the model, but got {reached}.")
    return 1 / error if reached <= allowed else 0.0


@dataclass
class ControlDraws:
    """Draws of a control, one by one, until they settle whether the model does more.

    Attributes:
        draws: how many are made at most; fixed beforehand.
        allowed: how many of them may reach the model; fixed beforehand.
        alpha: the error rate of each interval; 0 where values are exact.
        made: draws so far.
        reached: those that reached the model.
        undefined: those without a value. Such a draw does not reach the model, but where all are undefined there was
            nothing to compare with, and the e-value is 0.

    Raises:
        ValueError: as :func:`vacuity_error`.

    """

    draws: int
    allowed: int
    alpha: float
    made: int = 0
    reached: int = 0
    undefined: int = 0

    def __post_init__(self) -> None:
        vacuity_error(self.draws, self.allowed, self.alpha)

    @property
    def settled(self) -> bool:
        """Whether further draws can change nothing."""
        return self.reached > self.allowed or self.made == self.draws

    def observe(self, reached: bool | None) -> None:
        """Take in one draw: whether it reached the model, ``None`` where it had no value.

        Raises:
            ValueError: if all draws have been made.

        """
        if self.made == self.draws:
            raise ValueError(f"All {self.draws} draws have been made. Their number is fixed beforehand.")
        self.made += 1
        self.reached += reached is True
        self.undefined += reached is None

    @property
    def clear(self) -> bool | None:
        """Whether the model does more than its control; ``None`` until that is settled, or if no draw had a value."""
        if not self.settled or self.undefined == self.draws:
            return None
        return self.reached <= self.allowed

    def e_value(self) -> float:
        """The e-value of :func:`control_e_value`; 0 until all draws are made, and if none of them had a value."""
        if not self.clear:
            return 0.0
        return control_e_value(self.reached, self.draws, self.allowed, self.alpha)
