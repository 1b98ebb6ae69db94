"""What all families of trajectories share: a grid of times, noise, gaps, and masks."""

import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from mechtests.families.curve import Curve
from mechtests.families.family import Family, Integer, Point, Real, Rendering
from mechtests.families.ode.trajectories import Trajectories

Range = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class OdeFamily(Family[Trajectories]):
    """Trajectories on an even grid of ``points`` times over ``span``.

    Attributes:
        points: how many times the grid has.
        span: its first and last time.
        limit: a trajectory that goes beyond this size is masked as blown up.
        noise: every state is multiplied by ``1 + noise * e`` with standard normal ``e``, as the ODEFormer's authors do;
            derivatives stay those of the true trajectory.
        gaps: the share of points that are left out, at random places.
    """

    points: int = 50
    span: Range = (1.0, 10.0)
    limit: float = 1e8
    noise: float = 0.0
    gaps: float = 0.0

    def __post_init__(self) -> None:
        if self.points - int(self.points * self.gaps) < 2 or not 0 <= self.gaps < 1:
            raise ValueError(
                f"{type(self).__name__}(points={self.points}, gaps={self.gaps}): expected two points or more to stay."
            )
        if not self.span[0] < self.span[1]:
            raise ValueError(f"{type(self).__name__}(span={self.span}): expected the first time before the last.")
        if self.noise < 0:
            raise ValueError(f"{type(self).__name__}(noise={self.noise}): expected noise ≥ 0.")

    @property
    @abstractmethod
    def ranges(self) -> Mapping[str, Integer | Real]:
        """The parameters of the systems and where they start."""

    @abstractmethod
    def trajectories(
        self, times: Float[Tensor, "trajectory point"], **parameters: Shaped[Tensor, " trajectory"]
    ) -> Trajectories:
        """The true trajectories at ``times``."""

    @property
    def parameters(self) -> Mapping[str, Integer | Real]:
        """:attr:`ranges`, and with noise or gaps a ``draw`` that decides them."""
        return {**self.ranges, "draw": Integer(0, 2**31 - 1)} if self.noise or self.gaps else self.ranges

    def build(self, **parameters: Shaped[Tensor, " trajectory"]) -> Trajectories:
        """The trajectories that these values describe, on the values' device."""
        first = next(iter(parameters.values()))
        times = torch.linspace(*self.span, self.points, dtype=torch.float64, device=first.device)
        systems = {name: values for name, values in parameters.items() if name != "draw"}
        made = self.trajectories(times.expand(len(first), -1), **systems)
        if "draw" in parameters:
            made = self._disturbed(made, parameters["draw"])
        return made

    def sample(self, n: int, generator: torch.Generator, device: torch.device | str | None = None) -> Trajectories:
        """``n`` independent trajectories on ``device``; the generator's state decides them, whatever the device."""
        drawn = {name: one.sample(n, generator) for name, one in self.parameters.items()}
        return self.build(**{name: values.to(device) for name, values in drawn.items()})

    def describe(self, point: Point) -> Rendering:
        """The parameters in words, and each dimension over time."""
        made = self.at([point])
        times = tuple(made.times[0].tolist())
        curves = (Curve(f"x_{i}", times, tuple(states.tolist())) for i, states in enumerate(made.states[0].T))
        return Rendering(super().describe(point).text, tuple(curves))

    def _disturbed(self, made: Trajectories, draw: Int[Tensor, " trajectory"]) -> Trajectories:
        if self.noise:
            sizes = made.states[0].numel() if len(made) else 0
            radius, angle = uniforms(draw, 2 * sizes).chunk(2, 1)
            # Box and Muller's normal numbers.
            normal = (-2 * radius.log()).sqrt() * (2 * math.pi * angle).cos()
            made = made.noisy(self.noise * normal.reshape(made.states.shape))
        if self.gaps:
            kept = self.points - int(self.points * self.gaps)
            order = uniforms(~draw, self.points).argsort(1)[:, :kept]
            made = made.at(order.sort(1).values)
        return made


def uniforms(seeds: Int[Tensor, " trajectory"], count: int) -> Float[Tensor, "trajectory count"]:
    """``count`` numbers in (0, 1) for each seed, the same on every device.

    Steele, Lea & Flood, "Fast splittable pseudorandom number generators" (2014): their mixing function, as SplitMix64.
    """
    steps = torch.arange(1, count + 1, device=seeds.device)
    z = _mixed(seeds[:, None]) + steps * _signed(0x9E3779B97F4A7C15)
    return ((_shifted(_mixed(z), 11) + 0.5) * 2.0**-53).double()


def _mixed(z: Int[Tensor, "..."]) -> Int[Tensor, "..."]:
    z = (z ^ _shifted(z, 30)) * _signed(0xBF58476D1CE4E5B9)
    z = (z ^ _shifted(z, 27)) * _signed(0x94D049BB133111EB)
    return z ^ _shifted(z, 31)


def _shifted(z: Int[Tensor, "..."], by: int) -> Int[Tensor, "..."]:
    """To the right as if unsigned."""
    return (z >> by) & ((1 << (64 - by)) - 1)


def _signed(constant: int) -> int:
    return constant - (1 << 64)
