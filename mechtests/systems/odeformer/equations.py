"""What an ODEFormer reads and writes: points and equations in words, equations to be used, and how well they fit."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import scipy
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from mechtests.families.ode import Equations, Trajectories
from mechtests.systems.odeformer.package import OdeformerConfig, environment
from mechtests.systems.odeformer.tokens import EquationTokens, FloatTokens, encode_points

State = NDArray[np.float64]
EVALUATIONS = 2_000
"""How often a written right-hand side may be evaluated before it counts as too stiff to be solved."""


class Vocabulary:
    """The two vocabularies of an ODEFormer of these sizes, and how batches are written in them.

    Raises:
        OdeformerMissingError: the package is not installed.
    """

    def __init__(self, config: OdeformerConfig) -> None:
        self._environment = environment(config)
        self._dimension = config.max_dimension
        words, floats = self._environment.equation_word2id, (config.float_precision, config.max_exponent)
        self._floats = FloatTokens(self._environment.float_word2id, *floats)
        self._equations = EquationTokens(words, FloatTokens(words, *floats))
        self._missing = self._environment.float_word2id["<OUTPUT_PAD>"]
        self.end: int = words["<EOS>"]
        self.pad: int = words["<PAD>"]

    def __len__(self) -> int:
        return len(self._environment.equation_id2word)

    def id(self, word: str) -> int:
        """The number of an equation's word, as in ``id("+")``."""
        return self._environment.equation_word2id[word]

    def word(self, number: int) -> str:
        """The equation's word with this number."""
        return self._environment.equation_id2word[number]

    def points(self, trajectories: Trajectories) -> Int[Tensor, "trajectory point slot"]:
        """The points of trajectories, as they are, in the words that the embedder takes.

        Raises:
            UntokenisableError: a number is too large for a word.
        """
        states, times = trajectories.states, trajectories.times
        return encode_points(self._floats, times, states, self._dimension, self._missing)

    def write(self, equations: Equations) -> "Written":
        """Equations as the model was taught to write them."""
        words, lengths = self._equations.encode(equations)
        words, places = pad(words, (0, 1)), torch.arange(words.shape[1] + 1, device=words.device)
        words[places > lengths[:, None]] = self.pad
        words[places == lengths[:, None]] = self.end
        return Written(words, self)

    def tree(self, words: list[int]) -> Any | None:
        """The system that these words write, read by the package; ``None`` unless every word is used.

        The package alone would stop at the end of the first expression and take whatever follows for valid.
        """
        encoder = self._environment.equation_encoder
        try:
            for part in encoder.split_at_value([self.word(word) for word in words], "|"):
                tree, used = encoder._decode(part)
                if tree is None or used != len(part):
                    return None
            return self._environment.idx_to_infix(words, is_float=False, str_array=False)
        except Exception:  # of whatever kind: the package cannot read them
            return None


@dataclass(frozen=True, eq=False)
class Written:
    """Equations in words, one system per row.

    Attributes:
        words: up to the end mark, then padding. A row without an end mark was cut off.
        vocabulary: of the words.
        scores: the log-probability of each row where a model wrote it; the mean over its words where a beam did.
    """

    words: Int[Tensor, "equation word"]
    vocabulary: Vocabulary = field(repr=False)
    scores: Float[Tensor, " equation"] | None = None

    def __len__(self) -> int:
        return len(self.words)

    def __getitem__(self, index: Tensor | slice) -> "Written":
        return Written(self.words[index], self.vocabulary, None if self.scores is None else self.scores[index])

    @property
    def lengths(self) -> Int[Tensor, " equation"]:
        """How many words each row has, the end mark among them."""
        ends = self.words == self.vocabulary.end
        # The first end mark's place; argmax of no end mark is 0.
        return torch.where(ends.any(1), ends.int().argmax(1) + 1, self.words.shape[1])

    def named(self, index: int) -> list[str]:
        """The words of one row by name, without the end mark."""
        return [self.vocabulary.word(word) for word in self._rows[index]]

    @cached_property
    def trees(self) -> list[Any | None]:
        """The package's own expressions, ``None`` for a row that cannot be read or was cut off."""
        ends = (self.words == self.vocabulary.end).any(1).tolist()
        return [self.vocabulary.tree(row) if end else None for row, end in zip(self._rows, ends, strict=True)]

    @property
    def valid(self) -> Bool[Tensor, " equation"]:
        """Which rows are a system of equations, to the last word."""
        return torch.tensor([tree is not None for tree in self.trees], dtype=torch.bool)

    @property
    def dimensions(self) -> Int[Tensor, " equation"]:
        """How many equations each system has; 0 where it cannot be read."""
        return torch.tensor([0 if tree is None else len(tree.nodes) for tree in self.trees])

    def text(self, index: int) -> str | None:
        """One system in usual notation, its equations divided by ``|``."""
        tree = self.trees[index]
        return None if tree is None else tree.infix()

    def right_hand_side(self, index: int) -> Callable[[State], State] | None:
        """``x'`` of one system at states ``[point dimension]``; ``None`` where it cannot be read.

        In the units the model was given: times from 1 to 10, states that start at 1.
        """
        tree = self.trees[index]
        return None if tree is None else lambda states: tree.val(states, np.zeros(len(states)))

    def first_sign(self, index: int) -> str | None:
        """The first sign in a row: that of its first constant."""
        return next((word for word in self.named(index) if word in ("+", "-")), None)

    @cached_property
    def _rows(self) -> list[list[int]]:
        rows, end = self.words.tolist(), self.vocabulary.end
        return [row[: row.index(end)] if end in row else row for row in rows]


def r2(written: Written, trajectories: Trajectories) -> Float[Tensor, " trajectory"]:
    """R² of the trajectories that the written systems make from the true first states, dimensions weighed by variance.

    Minus infinity where a system cannot be read, has another dimension, or cannot be solved in :data:`EVALUATIONS`
    evaluations of its right-hand side.

    Args:
        written: one system per trajectory.
        trajectories: as the model was given them.
    """
    if len(written) != len(trajectories):
        raise ValueError(f"Expected one system per trajectory, found {len(written)} and {len(trajectories)}.")
    times, states = trajectories.times.double().cpu().numpy(), trajectories.states.double().cpu().numpy()
    return torch.tensor(
        [_r2(written.right_hand_side(i), times[i], states[i]) for i in range(len(written))], dtype=torch.float64
    )


def _r2(slope: Callable[[State], State] | None, times: State, states: State) -> float:
    solved = None if slope is None else _solution(slope, times, states[0])
    if solved is None or solved.shape != states.shape or not np.isfinite(solved).all():
        return -math.inf
    spread_about_mean = ((states - states.mean(0)) ** 2).sum()
    return float(1 - ((states - solved) ** 2).sum() / max(spread_about_mean, 1e-300))


def _solution(slope: Callable[[State], State], times: State, start: State) -> State | None:
    calls = 0

    def counted(_: float, state: State) -> State:
        nonlocal calls
        calls += 1
        if calls > EVALUATIONS:
            raise ArithmeticError("too stiff")
        change = slope(state[None])[0]
        if change.shape != start.shape:
            raise ValueError("another dimension")
        return change

    try:
        with np.errstate(all="ignore"):
            return scipy.integrate.solve_ivp(
                counted, (times[0], times[-1]), start, t_eval=times, rtol=1e-5, atol=1e-8
            ).y.T
    except Exception:  # of whatever kind: the package reads some words as expressions that are no function
        return None
