"""Families of trajectories with a formula: no solver, exact to rounding."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from mechtests.families.family import Integer, Real
from mechtests.families.ode.equations import Equations, equations, place
from mechtests.families.ode.family import OdeFamily, Range
from mechtests.families.ode.trajectories import Trajectories, checked


@dataclass(frozen=True, kw_only=True)
class ClosedForm(OdeFamily):
    """Trajectories given by a formula."""

    @abstractmethod
    def solution(
        self, times: Float[Tensor, "trajectory point"], **parameters: Float[Tensor, "trajectory 1"]
    ) -> tuple[Float[Tensor, "trajectory point dimension"], Equations]:
        """The states at ``times`` and the equations they solve."""

    def trajectories(
        self, times: Float[Tensor, "trajectory point"], **parameters: Shaped[Tensor, " trajectory"]
    ) -> Trajectories:
        states, system = self.solution(times, **{name: values[:, None] for name, values in parameters.items()})
        return checked(times, states, system, self.limit, parameters)


@dataclass(frozen=True, kw_only=True)
class Linear(ClosedForm):
    """``x' = rate * x``: exponential growth and decay, ``x(t) = amplitude * exp(rate * t)``."""

    rate: Range = (-2.0, 2.0)
    amplitude: Range = (0.5, 5.0)

    @property
    def ranges(self) -> Mapping[str, Integer | Real]:
        return {"rate": Real(*self.rate), "amplitude": Real(*self.amplitude)}

    def solution(self, times: Tensor, **parameters: Tensor) -> tuple[Tensor, Equations]:
        rate, amplitude = parameters["rate"], parameters["amplitude"]
        states = amplitude * torch.exp(rate * times)
        return states[..., None], equations(1, {(0, place(1, 1)): rate[:, 0]})


@dataclass(frozen=True, kw_only=True)
class Exponential(ClosedForm):
    """``x(t) = offset + amplitude * exp(rate * t)``, which solves ``x' = rate * (x - offset)``."""

    rate: Range = (-2.0, 0.5)
    amplitude: Range = (0.5, 5.0)
    offset: Range = (-2.0, 2.0)

    @property
    def ranges(self) -> Mapping[str, Integer | Real]:
        return {"rate": Real(*self.rate), "amplitude": Real(*self.amplitude), "offset": Real(*self.offset)}

    def solution(self, times: Tensor, **parameters: Tensor) -> tuple[Tensor, Equations]:
        rate, offset = parameters["rate"], parameters["offset"]
        states = offset + parameters["amplitude"] * torch.exp(rate * times)
        rows = {(0, place(1, 0)): (-rate * offset)[:, 0], (0, place(1, 1)): rate[:, 0]}
        return states[..., None], equations(1, rows)


@dataclass(frozen=True, kw_only=True)
class Logistic(ClosedForm):
    """``x(t) = amplitude / (1 + exp(steepness * (midpoint - t)))``, rising; with ``direction`` 0 falling, mirrored in
    time about the midpoint. It solves ``x' = ±steepness * x * (1 - x / amplitude)``.
    """

    amplitude: Range = (1.0, 5.0)
    steepness: Range = (0.5, 5.0)
    midpoint: Range = (3.0, 8.0)
    direction: tuple[int, int] = (0, 1)

    @property
    def ranges(self) -> Mapping[str, Integer | Real]:
        return {
            "amplitude": Real(*self.amplitude),
            "steepness": Real(*self.steepness),
            "midpoint": Real(*self.midpoint),
            "direction": Integer(*self.direction),
        }

    def solution(self, times: Tensor, **parameters: Tensor) -> tuple[Tensor, Equations]:
        amplitude = parameters["amplitude"]
        rate = torch.where(parameters["direction"] == 1, parameters["steepness"], -parameters["steepness"])
        states = amplitude * torch.sigmoid(rate * (times - parameters["midpoint"]))
        rows = {(0, place(1, 1)): rate[:, 0], (0, place(1, 2)): (-rate / amplitude)[:, 0]}
        return states[..., None], equations(1, rows)


@dataclass(frozen=True, kw_only=True)
class Hyperbolic(ClosedForm):
    """``x(t) = amplitude / (t + shift)``, which solves ``x' = -x**2 / amplitude``."""

    amplitude: Range = (0.5, 5.0)
    shift: Range = (-0.5, 5.0)

    @property
    def ranges(self) -> Mapping[str, Integer | Real]:
        return {"amplitude": Real(*self.amplitude), "shift": Real(*self.shift)}

    def solution(self, times: Tensor, **parameters: Tensor) -> tuple[Tensor, Equations]:
        amplitude = parameters["amplitude"]
        states = amplitude / (times + parameters["shift"])
        return states[..., None], equations(1, {(0, place(1, 2)): (-1 / amplitude)[:, 0]})


@dataclass(frozen=True, kw_only=True)
class Harmonic(ClosedForm):
    """``x_0'' = -frequency**2 * x_0`` with ``x_1 = x_0'``: ``x_0(t) = amplitude * cos(frequency * t - phase)``."""

    frequency: Range = (0.2, 3.0)
    amplitude: Range = (0.5, 5.0)
    phase: Range = (0.0, 2 * torch.pi)

    @property
    def ranges(self) -> Mapping[str, Integer | Real]:
        return {
            "frequency": Real(*self.frequency),
            "amplitude": Real(*self.amplitude),
            "phase": Real(*self.phase),
        }

    def solution(self, times: Tensor, **parameters: Tensor) -> tuple[Tensor, Equations]:
        frequency, amplitude = parameters["frequency"], parameters["amplitude"]
        angle = frequency * times - parameters["phase"]
        states = torch.stack([amplitude * angle.cos(), -amplitude * frequency * angle.sin()], -1)
        rows = {(0, place(2, 0, 1)): torch.ones_like(frequency[:, 0]), (1, place(2, 1, 0)): -(frequency[:, 0] ** 2)}
        return states, equations(2, rows)


@dataclass(frozen=True, kw_only=True)
class LinearPlane(ClosedForm):
    """``x_0' = alpha * x_0 + beta * x_1``, ``x_1' = gamma * x_0 + delta * x_1``, from ``(x_0, x_1)`` at the first time.

    Solved by the exponential of the matrix: with its mean diagonal ``m`` and ``q**2 = m**2 - det``,
    ``exp(Mt) = exp(mt) (cosh(qt) I + sinh(qt)/q (M - m I))``, Bernstein, "Matrix Mathematics", 2nd ed., fact 11.3.2.
    """

    coefficient: Range = (-2.0, 2.0)
    start: Range = (-2.0, 2.0)

    @property
    def ranges(self) -> Mapping[str, Integer | Real]:
        entries = {name: Real(*self.coefficient) for name in ("alpha", "beta", "gamma", "delta")}
        return entries | {name: Real(*self.start) for name in ("x_0", "x_1")}

    def solution(self, times: Tensor, **parameters: Tensor) -> tuple[Tensor, Equations]:
        alpha, beta, gamma, delta = (parameters[name] for name in ("alpha", "beta", "gamma", "delta"))
        mean, half = (alpha + delta) / 2, (alpha - delta) / 2
        square = half**2 + beta * gamma
        elapsed = times - times[:, :1]
        q = square.abs().sqrt()
        angle = q * elapsed
        turning = square < 0
        # Both exponentials together, so that a decaying system with large q does not overflow.
        up, down = torch.exp((mean + q) * elapsed), torch.exp((mean - q) * elapsed)
        growth = torch.exp(mean * elapsed)
        even = torch.where(turning, growth * angle.cos(), (up + down) / 2)
        # sin(qt)/q and sinh(qt)/q, whose limit at q = 0 is t.
        odd_turning = growth * elapsed * torch.sinc(angle / torch.pi)
        odd_growing = torch.where(
            angle < 1e-4, growth * elapsed * (1 + angle**2 / 6), (up - down) / (2 * q).clamp(min=1e-300)
        )
        odd = torch.where(turning, odd_turning, odd_growing)
        x, y = parameters["x_0"], parameters["x_1"]
        states = torch.stack(
            [even * x + odd * (half * x + beta * y), even * y + odd * (gamma * x - half * y)],
            -1,
        )
        rows = {
            (0, place(2, 1, 0)): alpha[:, 0],
            (0, place(2, 0, 1)): beta[:, 0],
            (1, place(2, 1, 0)): gamma[:, 0],
            (1, place(2, 0, 1)): delta[:, 0],
        }
        return states, equations(2, rows)
