"""What an ODEFormer can read: checks of trajectories before they are written in words."""

from mechtests.families.ode import Fault, Trajectories

MOST_POINTS = 4096
"""Points of a trajectory at most: the package's own longest sequence. Attention takes memory by their square."""


class TrajectoryError(ValueError):
    """Trajectories that an ODEFormer cannot read: what was expected, what was found, what to do."""


def check(trajectories: Trajectories, dimensions: int) -> None:
    times, states = trajectories.times, trajectories.states
    if times.ndim != 2 or states.ndim != 3 or states.shape[:2] != times.shape:
        raise TrajectoryError(
            f"Expected times [trajectory, point] and states [trajectory, point, dimension], found {tuple(times.shape)} "
            f"and {tuple(states.shape)}."
        )
    if not len(times):
        raise TrajectoryError("Expected one trajectory or more, found none. Did the validity mask leave any?")
    if not 2 <= times.shape[1] <= MOST_POINTS:
        raise TrajectoryError(
            f"Expected 2 to {MOST_POINTS:,} points per trajectory, found {times.shape[1]:,}. "
            "Thin long trajectories out, as in trajectories.at(index)."
        )
    if not 1 <= states.shape[2] <= dimensions:
        raise TrajectoryError(
            f"Expected 1 to {dimensions} dimensions, which is what this checkpoint reads, found {states.shape[2]}."
        )
    if not (times.isfinite().all() and states.isfinite().all()):
        row = int((~(times.isfinite().all(1) & states.isfinite().all(2).all(1))).nonzero()[0])
        raise TrajectoryError(f"Expected finite numbers, found NaN or infinity in trajectory {row}. Leave it out.")
    if not trajectories.valid.all():
        row = int((~trajectories.valid).nonzero()[0])
        raise TrajectoryError(
            f"Expected valid trajectories, found trajectory {row} {Fault(int(trajectories.fault[row])).name}. "
            "Take trajectories[trajectories.valid]."
        )
    if bool((times.diff() <= 0).any()):
        row = int((times.diff() <= 0).any(1).nonzero()[0])
        raise TrajectoryError(
            f"Expected times that increase, found unsorted or repeated ones in trajectory {row}. "
            "Sort the points by time and keep one of each."
        )
