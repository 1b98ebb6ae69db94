"""Random right-hand sides as the package draws them (``odeformer/envs/generators.py``, its default arguments).

A tree is drawn once, without its constants, as a short program that is run for many systems at the same time; see
:class:`Programs`. Trees come from a pool, in which each gets new constants every time it is drawn.
"""

import random
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import odeformer_canonical as canonical
import torch
from jaxtyping import Float, Int
from torch import Tensor

BINARY, UNARY = (1, 5), (0, 3)
"""Operators drawn per right-hand side: from, to."""
BINARY_OPERATORS = ("add", "add", "add", "mul")
UNARY_OPERATORS = ("sin", "inv", "pow2", "id", "id", "id")
DEPTH = 7
"""A subtree of so many words or more gets no unary operator."""
LARGEST = 20.0
"""Constants are log-uniform between its inverse and itself, of either sign."""

Tree = tuple[Any, ...]
"""``("x", i)``, ``(binary operator, tree, tree)`` or ``(unary operator, tree)``."""

_CATALAN = (1, 1, 2, 5, 14, 42)


def random_tree(dimension: int, rng: random.Random) -> Tree:
    """One tree before its constants."""
    binary = _binary_tree(rng.randint(*BINARY), dimension, rng)
    return with_unaries(binary, rng.randint(*UNARY), rng)


def _binary_tree(operators: int, dimension: int, rng: random.Random) -> Tree:
    """Uniform over the shapes with so many operators."""
    if not operators:
        return ("x", rng.randrange(dimension))
    sizes = range(operators)
    left = rng.choices(sizes, [_CATALAN[k] * _CATALAN[operators - 1 - k] for k in sizes])[0]
    children = _binary_tree(left, dimension, rng), _binary_tree(operators - 1 - left, dimension, rng)
    return (rng.choice(BINARY_OPERATORS), *children)


def with_unaries(tree: Tree, most: int, rng: random.Random) -> Tree:
    """Put unary operators over operands, then take all but ``most`` of them away again.

    As in the package, an operand that gets ``id`` is written twice. What follows moves up by one place, and the
    expression ends where the first whole one ends: so operands are lost, and others stand elsewhere.
    """
    words = _over_operands(tree, rng)
    places = [i for i, word in enumerate(words) if word in _UNARIES]
    rng.shuffle(places)
    gone = set(places[: max(len(places) - most, 0)])
    return _read([word for i, word in enumerate(words) if i not in gone], 0)[0]


def _over_operands(tree: Tree, rng: random.Random) -> list[Any]:
    if tree[0] == "x":
        return [tree]
    words = [tree[0]]
    for child in tree[1:]:
        if _size(child) < DEPTH:
            unary = rng.choice(UNARY_OPERATORS)
            if unary == "id":
                words += _over_operands(child, rng)
            words.append(unary)
        words += _over_operands(child, rng)
    return words


_UNARIES = frozenset(UNARY_OPERATORS)


def _size(tree: Tree) -> int:
    return 1 if tree[0] == "x" else 1 + sum(map(_size, tree[1:]))


def _read(words: list[Any], place: int) -> tuple[Tree, int]:
    word = words[place]
    if isinstance(word, tuple):
        return word, place + 1
    children = []
    place += 1
    for _ in range(1 if word in _UNARIES else 2):
        child, place = _read(words, place)
        children.append(child)
    return (word, *children), place


# Programs -------------------------------------------------------------------------------------------------------------

_ZERO, _ONE = 0, 1
_OPERATIONS = {"add": 0, "mul": 1, "copy": 2}
_FUNCTIONS = {"id": 0, "sin": 1, "inv": 2, "pow2": 3}
_FIELDS = 8
"""operation, left, right, left factor, right factor, function, its offset, its slope"""


@dataclass(frozen=True)
class Program:
    """A tree with places for constants: each instruction is ``function(offset + slope * (left * l ∘ right * r))``.

    Attributes:
        instructions: of eight numbers each. Values 0 and 1 are the variables, the others those of instructions.
        constants: how many places there are besides 0 and 1, which hold the constants zero and one.
    """

    instructions: tuple[tuple[int, ...], ...]
    constants: int


def compiled(tree: Tree) -> Program:
    """With prefactors where the package puts them: on summands that are no sums, and within unary operators."""
    instructions: list[tuple[int, ...]] = []
    constants = 0

    def new() -> int:
        nonlocal constants
        constants += 1
        return constants + 1

    def emit(*instruction: int) -> int:
        instructions.append(instruction)
        return len(instructions) + 1

    def value(node: Tree, function: int = 0, offset: int = _ZERO, slope: int = _ONE) -> int:
        if node[0] == "x":
            return emit(2, node[1], node[1], _ONE, _ONE, function, offset, slope) if slope != _ONE else node[1]
        if node[0] in _UNARIES:
            child = node[1]
            inner = (_ZERO, _ONE) if child[0] == "add" else (new(), new())
            return value(child, _FUNCTIONS[node[0]], *inner)
        factors = [new() if node[0] == "add" and child[0] != "add" else _ONE for child in node[1:]]
        left, right = (value(child) for child in node[1:])
        return emit(_OPERATIONS[node[0]], left, right, *factors, function, offset, slope)

    if has_constants(tree):
        value(tree)
    else:
        value(tree, 0, _ZERO, new())
    return Program(tuple(instructions), constants)


def has_constants(tree: Tree) -> bool:
    """Whether there is a place where the package puts a prefactor; if not, it multiplies the whole by one."""
    if tree[0] == "x":
        return False
    if tree[0] == "add":
        return True
    return tree[0] in _UNARIES or any(map(has_constants, tree[1:]))


def expression(program: Program, constants: list[float]) -> canonical.Expression:
    """A program with these constants as sympy would have it."""
    known = {_ZERO: canonical.number(0.0), _ONE: canonical.number(1)}
    numbers = known | {2 + i: canonical.number(constant) for i, constant in enumerate(constants)}
    values = [canonical.variable(0), canonical.variable(1)]
    for operation, left, right, left_factor, right_factor, function, offset, slope in program.instructions:
        result = values[left]
        if operation != 2:
            operands = (
                values[place] if factor == _ONE else canonical.multiply(numbers[factor], values[place])
                for place, factor in ((left, left_factor), (right, right_factor))
            )
            result = (canonical.multiply if operation else canonical.add)(*operands)
        if slope != _ONE:
            result = canonical.multiply(numbers[slope], result)
        if offset != _ZERO:
            result = canonical.add(numbers[offset], result)
        if function == 1:
            result = canonical.sine(result)
        elif function:
            result = canonical.power(result, -1 if function == 2 else 2)
        values.append(result)
    return values[-1]


@dataclass(frozen=True, eq=False)
class _Step:
    """One instruction of all programs that have it: operands' places, factors, and who does more than a sum."""

    left: Tensor
    right: Tensor
    left_factor: Tensor
    right_factor: Tensor
    products: Tensor
    changed: Tensor
    offset: Tensor
    slope: Tensor
    functions: list[Tensor]


@dataclass(frozen=True, eq=False)
class Programs:
    """Systems to be solved: a program per dimension.

    Attributes:
        code: the instructions, padded with zeros.
        lengths: how many instructions each program has.
        constants: of each program, zero and one first.
    """

    code: Int[Tensor, "system dimension instruction field"]
    lengths: Int[Tensor, "system dimension"]
    constants: Float[Tensor, "system dimension constant"]

    def __len__(self) -> int:
        return len(self.code)

    def __getitem__(self, index: Tensor | slice) -> "Programs":
        return Programs(self.code[index], self.lengths[index], self.constants[index])

    @cached_property
    def _order(self) -> Int[Tensor, " program"]:
        """The programs of all systems, the longest first, so that those with a further instruction come first."""
        return self.lengths.flatten().argsort(descending=True, stable=True)

    @cached_property
    def _steps(self) -> list["_Step"]:
        lengths = self.lengths.flatten()[self._order]
        code, constants = self.code.flatten(0, 1)[self._order], self.constants.flatten(0, 1)[self._order]
        n = len(lengths)
        steps = []
        for k in range(int(lengths[0])):
            rows = torch.arange(int((lengths > k).sum()))
            operation, left, right, left_factor, right_factor, function, offset, slope = code[: len(rows), k].unbind(1)
            second = constants[rows, right_factor]
            second[operation == 2] = 0.0  # a copy is a sum with nothing
            changed = ((function > 0) | (slope != _ONE)).nonzero()[:, 0]
            steps.append(
                _Step(
                    left=left * n + rows,
                    right=right * n + rows,
                    left_factor=constants[rows, left_factor],
                    right_factor=second,
                    products=(operation == 1).nonzero()[:, 0],
                    changed=changed,
                    offset=constants[changed, offset[changed]],
                    slope=constants[changed, slope[changed]],
                    functions=[(function[changed] == kind).nonzero()[:, 0] for kind in (1, 2, 3)],
                )
            )
        return steps

    @cached_property
    def _results(self) -> Int[Tensor, " program"]:
        """Where the value of each program is found."""
        place = torch.empty_like(self._order)
        place[self._order] = torch.arange(len(place))
        return (self.lengths.flatten() + 1) * len(place) + place

    def derivatives(self, states: Float[Tensor, "system *point dimension"]) -> Float[Tensor, "system *point dimension"]:
        """The right-hand side at ``states``."""
        if states.ndim > 2:
            points = states.flatten(1, -2).unbind(1)
            return torch.stack([self.derivatives(point) for point in points], 1).view_as(states)
        n, dimension = states.shape
        steps = self._steps
        table = states.new_empty(2 + len(steps), n * dimension)
        system = self._order // dimension
        for i in range(dimension):
            torch.index_select(states[:, i], 0, system, out=table[i])
        values = table.view(-1)
        for k, step in enumerate(steps, 2):
            left = values.index_select(0, step.left).mul_(step.left_factor)
            right = values.index_select(0, step.right).mul_(step.right_factor)
            out = table[k, : len(left)]
            torch.add(left, right, out=out)
            if len(step.products):
                product = left.index_select(0, step.products).mul_(right.index_select(0, step.products))
                out.index_copy_(0, step.products, product)
            if len(step.changed):
                changed = torch.addcmul(step.offset, step.slope, out.index_select(0, step.changed))
                for places, function in zip(step.functions, (torch.sin, torch.reciprocal, torch.square), strict=True):
                    if len(places):
                        changed.index_copy_(0, places, function(changed.index_select(0, places)))
                out.index_copy_(0, step.changed, changed)
        return values.index_select(0, self._results).view(n, dimension)

    def rescaled(self, scale: Tensor, pace: Tensor) -> "Programs":
        raise NotImplementedError("the package does not rescale what it trains on")


class Pool:
    """Right-hand sides to choose from, drawn once from a seed."""

    def __init__(self, size: int, dimension: int, seed: int) -> None:
        rng = random.Random(seed * 10 + dimension)
        self.dimension = dimension
        self.programs = [compiled(random_tree(dimension, rng)) for _ in range(size)]
        longest = max(len(program.instructions) for program in self.programs)
        self.code = torch.zeros(size, longest, _FIELDS, dtype=torch.long)
        for i, program in enumerate(self.programs):
            self.code[i, : len(program.instructions)] = torch.tensor(program.instructions)
        self.lengths = torch.tensor([len(program.instructions) for program in self.programs])
        self.constants = max(program.constants for program in self.programs)

    def draw(self, n: int, generator: torch.Generator) -> tuple[Int[Tensor, "system dimension"], Programs]:
        """``n`` systems with constants of their own: which programs they are, and what is to be solved."""
        which = torch.randint(0, len(self.programs), (n, self.dimension), generator=generator)
        shape = (n, self.dimension, self.constants)
        sign = 2.0 * torch.randint(0, 2, shape, generator=generator) - 1
        constants = sign * LARGEST ** (2 * torch.rand(shape, generator=generator, dtype=torch.float64) - 1)
        fixed = torch.tensor([0.0, 1.0], dtype=torch.float64).expand(n, self.dimension, 2)
        return which, Programs(self.code[which], self.lengths[which], torch.cat([fixed, constants], -1))

    def written(self, which: list[int], constants: list[list[float]]) -> list["str | float"]:
        """The prefix words of one system, its right-hand sides divided by ``|``.

        Raises:
            odeformer_canonical.RoundedAwayError: a coefficient vanishes by rounding.
        """
        words: list[str | float] = []
        for index, numbers in zip(which, constants, strict=True):
            program = self.programs[index]
            words += ["|"] * bool(words)
            words += canonical.written(expression(program, numbers[2 : 2 + program.constants]))
        return words
