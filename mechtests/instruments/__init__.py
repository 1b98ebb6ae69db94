"""Instruments: pure functions from activations or weights to numbers, on whatever device their arguments are."""

from mechtests.instruments.geometry import angle
from mechtests.instruments.linear import LinearFit, correlation, linear_fit
from mechtests.instruments.spectrum import periodicity_p_values, top_power_share

__all__ = ["LinearFit", "angle", "correlation", "linear_fit", "periodicity_p_values", "top_power_share"]
