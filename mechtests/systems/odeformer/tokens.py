"""The ODEFormer's words, in batches: floats as sign, mantissa and exponent, and equations in prefix notation.

The package writes one float at a time, in Python. Here a whole batch is written at once, word for word as it would.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from torch import Tensor

from mechtests.families.ode.equations import Equations, terms


class UntokenisableError(ValueError):
    """A number that the ODEFormer has no words for: what was found and what to do."""


class FloatTokens:
    """Floats as three words each: sign, mantissa of ``precision + 1`` digits, exponent.

    Args:
        word2id: the vocabulary to write in.
        precision: digits after the first.
        max_exponent: the largest exponent that has a word.
    """

    def __init__(self, word2id: Mapping[str, int], precision: int, max_exponent: int) -> None:
        self.precision = precision
        self.max_exponent = max_exponent
        digits = precision + 1
        self._signs = np.array([word2id["+"], word2id["-"]])
        self._mantissas = np.array([word2id[f"N{i:0{digits}d}"] for i in range(10**digits)])
        self._exponents = np.array([word2id[f"E{i}"] for i in range(-max_exponent, max_exponent + 1)])
        self._nan = word2id["NaN"]

    def encode(self, values: Float[Tensor, "*batch"]) -> Int[Tensor, "*batch 3"]:
        """The words of each value: its correctly rounded decimals, as ``%e`` would print them.

        As in the package, zero of either sign is ``+ N000 E-2``, what lies below the smallest exponent keeps its sign
        with ``N000 E0``, and NaN is ``NaN NaN NaN``.

        Raises:
            UntokenisableError: a value is infinite or too large to have an exponent; the package would crash.
        """
        numbers = values.detach().cpu().double().numpy()
        tokens = self._encode(numbers.reshape(-1)).reshape(*numbers.shape, 3)
        return torch.from_numpy(tokens).to(values.device)

    def _encode(self, numbers: NDArray[np.float64]) -> NDArray[np.int64]:
        nan = np.isnan(numbers)
        magnitude = np.where(nan, 1.0, np.abs(numbers))
        digits, exponents = _decimals(magnitude, self.precision)
        exponents -= self.precision
        small = exponents < -100  # the package's limit, whatever max_exponent is
        digits[small], exponents[small] = 0, 0
        if (wrong := ~np.isfinite(magnitude) | (np.abs(exponents) > self.max_exponent)).any():
            raise UntokenisableError(
                f"Expected numbers below 1e{self.max_exponent + self.precision + 1} in size, found "
                f"{numbers[wrong][0]:g} and {wrong.sum() - 1} more. Leave such trajectories out, "
                "for instance with the family's validity mask."
            )
        signs = self._signs[(~(numbers >= 0)).astype(int)]
        words = np.stack([signs, self._mantissas[digits], self._exponents[exponents + self.max_exponent]], -1)
        words[nan] = self._nan
        return words.astype(np.int64)


def _decimals(magnitude: NDArray[np.float64], precision: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First ``precision + 1`` decimal digits and exponent of numbers ≥ 0, correctly rounded; (0, 0) for zero.

    The fast way multiplies by a power of ten, which errs by a few units in the last place. Where that could change a
    digit, and for infinities and numbers at the edge of the float range, Python prints the number and it is read back.
    """
    ordinary = (magnitude > 1e-280) & (magnitude < 1e280)
    safe = np.where(ordinary, magnitude, 1.0)
    exponents = np.floor(np.log10(safe)).astype(np.int64)
    scaled = safe * _POWERS[_MIDDLE + precision - exponents]
    # log10 may round across a power of ten.
    exponents += (scaled >= 10 ** (precision + 1)).astype(np.int64) - (scaled < 10**precision).astype(np.int64)
    scaled = safe * _POWERS[_MIDDLE + precision - exponents]
    digits = np.rint(scaled)
    doubtful = np.abs(np.abs(scaled - digits) - 0.5) < 1e-6
    doubtful |= np.abs(scaled - 10**precision) < 1e-6
    carried = digits >= 10 ** (precision + 1)
    digits[carried] = 10**precision
    exponents[carried] += 1
    digits = digits.astype(np.int64)
    for index in np.flatnonzero((doubtful & ordinary) | (~ordinary & (magnitude != 0) & np.isfinite(magnitude))):
        mantissa, exponent = f"{magnitude[index]:.{precision}e}".split("e")
        digits[index], exponents[index] = int(mantissa.replace(".", "")), int(exponent)
    zero = magnitude == 0
    digits[zero], exponents[zero] = 0, 0
    return digits, exponents


_MIDDLE = 300
_POWERS = np.array([float(f"1e{i}") for i in range(-_MIDDLE, _MIDDLE + 1)])


def encode_points(
    floats: FloatTokens,
    times: Float[Tensor, "trajectory point"],
    states: Float[Tensor, "trajectory point dimension"],
    max_dimension: int,
    pad: int,
) -> Int[Tensor, "trajectory point slot"]:
    """Every point as the embedder takes it: time, then each state, then ``pad`` for the dimensions that are not there.

    As in the package, a point with a NaN in any state is written as one NaN and padding.
    """
    trajectories, points, dimension = states.shape
    slots = torch.full((trajectories, points, 3 * (1 + max_dimension)), pad, device=states.device)
    slots[..., :3] = floats.encode(times)
    words = floats.encode(states)
    if bool((broken := states.isnan().any(-1)).any()):
        words[broken] = pad
        words[broken, 0] = floats.encode(states.new_tensor(float("nan")))
    slots[..., 3 : 3 * (1 + dimension)] = words.flatten(2)
    return slots


class EquationTokens:
    """Systems of equations as the package writes them: prefix notation, one right-hand side after the other.

    Terms come in the order of :func:`mechtests.families.ode.equations.terms`, which does not depend on the
    coefficients; the package's own order is that of sympy's canonical form.

    Args:
        word2id: the decoder's vocabulary.
        floats: how floats are written in it.
    """

    def __init__(self, word2id: Mapping[str, int], floats: FloatTokens) -> None:
        self._id = word2id
        self._floats = floats

    def encode(self, systems: Equations) -> tuple[Int[Tensor, "system word"], Int[Tensor, " system"]]:
        """The words of each system, and how many it has; the rest of a row is zero.

        A right-hand side without terms is written as the integer 0.
        """
        coefficients = systems.coefficients
        n, dimension, _ = coefficients.shape
        constants = self._floats.encode(coefficients)
        inner = self._floats.encode(systems.frequency)
        present = coefficients != 0
        # A term is added to what follows unless it is the last of its right-hand side.
        follows = present.flip(-1).cumsum(-1).flip(-1) - present.int() > 0
        columns: list[Tensor] = []
        shown: list[Tensor] = []

        def write(words: Sequence[str] | Tensor, where: Bool[Tensor, " system"]) -> None:
            if isinstance(words, Tensor):
                columns.extend(words.unbind(-1))
                shown.extend([where] * words.shape[-1])
            else:
                columns.extend(torch.full((n,), self._id[word], device=where.device) for word in words)
                shown.extend([where] * len(words))

        for variable in range(dimension):
            if variable:
                write(["|"], torch.ones_like(present[:, 0, 0]))
            write(["INT+", "0"], ~present[:, variable].any(-1))
            for j, term in enumerate(terms(dimension)):
                here = present[:, variable, j]
                if not bool(here.any()):
                    continue
                write(["add"], here & follows[:, variable, j])
                if term.sine is not None:
                    write(["mul"], here)
                    write(constants[:, variable, j], here)
                    write(["sin", "mul"], here)
                    write(inner[:, term.sine], here)
                    write([f"x_{term.sine}"], here)
                elif any(term.powers):
                    write(["mul"], here)
                    write(constants[:, variable, j], here)
                    write(_monomial(term.powers), here)
                else:
                    write(constants[:, variable, j], here)
        words, mask = torch.stack(columns, 1), torch.stack(shown, 1)
        lengths = mask.sum(1)
        order = torch.argsort((~mask).int(), dim=1, stable=True)
        packed = torch.gather(words * mask, 1, order)[:, : int(lengths.max())]
        return packed, lengths


def _monomial(powers: Sequence[int]) -> list[str]:
    factors = [[f"x_{i}"] if p == 1 else ["pow", f"x_{i}", "INT+", str(p)] for i, p in enumerate(powers) if p]
    return [*(["mul"] * (len(factors) - 1)), *(word for factor in factors for word in factor)]
