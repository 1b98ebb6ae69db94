"""The ODEFormer: it reads the points of a trajectory and writes the equations that the trajectory solves."""

from mechtests.systems.odeformer.adapter import Odeformer, TrajectoryError

__all__ = ["Odeformer", "TrajectoryError"]
