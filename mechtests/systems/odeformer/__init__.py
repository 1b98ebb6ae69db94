"""The ODEFormer: it reads the points of a trajectory and writes the equations that the trajectory solves."""

from mechtests.systems.odeformer.adapter import Odeformer
from mechtests.systems.odeformer.trajectories import TrajectoryError

__all__ = ["Odeformer", "TrajectoryError"]
