"""Right-hand sides in the form that sympy gives them, which is the form in which the package writes them.

The package passes every random tree through ``sympy.parse_expr`` and rounds its floats to four decimals. Of sympy's
rules only those are needed here that such trees meet: like terms are merged, a number times a sum is multiplied out,
whole powers of products are taken factor by factor, a sine gives up its sign, and the arguments of sums and products
are sorted by ``Basic.compare``. One expression costs some 50 µs, where sympy takes some 10 ms.
"""

from collections.abc import Callable, Sequence
from typing import Any

from mpmath.libmp import from_rational  # type: ignore[import-untyped]

Base = tuple[Any, ...]
"""``("x", i)``, ``("sum", terms)`` or ``("sin", terms)``, where ``terms`` is a frozen :data:`Expression`."""
Monomial = frozenset[tuple[Base, int]]
Expression = dict[Monomial, float]
"""A sum: the coefficient of each product of powers. Integer coefficients are those that nobody wrote."""

WORDS = ("add", "mul", "pow", "sin", "inv", "pow2", "id", "x_0", "x_1", "|")
"""Prefix words that are no numbers."""
_NUMBER: Monomial = frozenset()
DECIMALS = 4


class RoundedAwayError(ValueError):
    """A coefficient is zero to four decimals, so the equation that would be written is not the one that was solved."""


def number(value: float) -> Expression:
    return {_NUMBER: value}


def variable(index: int) -> Expression:
    return {frozenset({(("x", index), 1)}): 1}


def add(left: Expression, right: Expression) -> Expression:
    total = dict(left)
    for monomial, coefficient in right.items():
        total[monomial] = total.get(monomial, 0) + coefficient
    return {monomial: coefficient for monomial, coefficient in total.items() if coefficient}


def multiply(left: Expression, right: Expression) -> Expression:
    (a, first), (b, second) = _as_term(left), _as_term(right)
    powers = dict(first)
    for base, power in second:
        powers[base] = powers.get(base, 0) + power
    return _multiplied_out(a * b, frozenset((base, power) for base, power in powers.items() if power))


def power(expression: Expression, exponent: int) -> Expression:
    if len(expression) > 1:
        return {frozenset({(("sum", frozenset(expression.items())), exponent)}): 1}
    ((monomial, coefficient),) = expression.items()
    raised = coefficient**exponent if isinstance(coefficient, float) or exponent > 0 else coefficient
    return _multiplied_out(raised, frozenset((base, power * exponent) for base, power in monomial))


def sine(expression: Expression) -> Expression:
    sign = -1 if _gives_up_its_sign(expression) else 1
    inside = frozenset((monomial, sign * coefficient) for monomial, coefficient in expression.items())
    return {frozenset({(("sin", inside), 1)}): sign}


def read(words: Sequence[str]) -> Expression:
    """What prefix words say, of the package's drawn trees as well as of written equations.

    Raises:
        ValueError: they are no expression of these operators.
    """
    rest = list(reversed(words))
    expression = _read(rest)
    if rest:
        raise ValueError(f"{' '.join(words)}: expected one expression, found more words after it.")
    return expression


def _read(rest: list[str]) -> Expression:
    if not rest:
        raise ValueError("Expected an expression, found the end.")
    word = rest.pop()
    if word in _BINARY:
        left = _read(rest)
        return _BINARY[word](left, _read(rest))
    if word in _UNARY:
        return _UNARY[word](_read(rest))
    if word == "pow":
        base = _read(rest)
        return power(base, int(rest.pop()))
    if word.startswith("x_"):
        return variable(int(word[2:]))
    return number(int(word) if word.lstrip("-").isdigit() else float(word))


_BINARY: dict[str, Callable[[Expression, Expression], Expression]] = {"add": add, "mul": multiply}
_UNARY: dict[str, Callable[[Expression], Expression]] = {
    "sin": sine,
    "inv": lambda expression: power(expression, -1),
    "pow2": lambda expression: power(expression, 2),
    "id": lambda expression: expression,
}


def _as_term(expression: Expression) -> tuple[float, Monomial]:
    if len(expression) == 1:
        ((monomial, coefficient),) = expression.items()
        return coefficient, monomial
    return 1, frozenset({(("sum", frozenset(expression.items())), 1)})


def _multiplied_out(coefficient: float, monomial: Monomial) -> Expression:
    if len(monomial) == 1:
        ((base, exponent),) = monomial
        if base[0] == "sum" and exponent == 1:
            return {inner: coefficient * value for inner, value in base[1]}
    return {monomial: coefficient}


def _gives_up_its_sign(expression: Expression) -> bool:
    """Whether ``sin`` of it is written as ``-sin`` of its negative: most terms, or the leading one, are negative."""
    negative = sum(coefficient < 0 for coefficient in expression.values())
    if 2 * negative != len(expression):
        return 2 * negative > len(expression)
    return expression[max(expression, key=_degrees)] < 0


def _degrees(monomial: Monomial) -> tuple[Any, ...]:
    """For the leading term: the highest power of ``x_0``, then of ``x_1``."""
    powers = {base: exponent for base, exponent in monomial if base[0] == "x"}
    return powers.get(("x", 0), 0), powers.get(("x", 1), 0), len(monomial), sorted(map(repr, monomial))


# Writing --------------------------------------------------------------------------------------------------------------

# Places in sympy's ordering_of_classes; sin stands in none and comes last.
_INTEGER, _FLOAT, _SYMBOL, _POW, _MUL, _ADD, _SIN = 6, 8, 12, 14, 15, 16, 99

Node = tuple[tuple[Any, ...], list["str | float"]]
"""What an argument is sorted by, and the prefix words it is written with; floats are still numbers."""


def written(expression: Expression) -> list["str | float"]:
    """The package's prefix words, floats (rounded) as numbers.

    Raises:
        RoundedAwayError: a coefficient vanishes by rounding.
    """
    return _rounded(_sum(expression.items())[1])


def written_exactly(expression: Expression) -> list["str | float"]:
    """The same words in the same order, but the floats as they are."""
    return _sum(expression.items())[1]


def _rounded(words: list["str | float"]) -> list["str | float"]:
    rounded = [round(word, DECIMALS) if isinstance(word, float) else word for word in words]
    if 0.0 in rounded:
        raise RoundedAwayError(words[rounded.index(0.0)])
    return rounded


def _sum(terms: Any) -> Node:
    constant: list[Node] = []
    rest: list[Node] = []
    for monomial, coefficient in terms:
        (rest if monomial else constant).append(_product(monomial, coefficient))
    rest.sort(key=lambda node: node[0])
    return _together("add", _ADD, constant + rest)


def _product(monomial: Monomial, coefficient: float) -> Node:
    factors = sorted((_power(base, exponent) for base, exponent in monomial), key=lambda node: node[0])
    if isinstance(coefficient, float):
        factors.insert(0, _float(coefficient))
    elif coefficient != 1 or not factors:
        factors.insert(0, _integer(coefficient))
    return _together("mul", _MUL, factors)


def _power(base: Base, exponent: int) -> Node:
    kind, inside = base
    if kind == "x":
        node: Node = (_SYMBOL, 1, inside), [f"x_{inside}"]
    elif kind == "sin":
        key, words = _sum(inside)
        node = (_SIN, 1, (key,)), ["sin", *words]
    else:
        node = _sum(inside)
    if exponent == 1:
        return node
    raised = _integer(exponent)
    return (_POW, 2, (node[0], raised[0])), ["pow", *node[1], *raised[1]]


def _together(word: str, rank: int, nodes: Sequence[Node]) -> Node:
    if len(nodes) == 1:
        return nodes[0]
    words: list[str | float] = []
    for node in nodes[:-1]:
        words += [word, *node[1]]
    return (rank, len(nodes), tuple(key for key, _ in nodes)), words + nodes[-1][1]


def _integer(value: int) -> Node:
    # One and MinusOne are classes of their own, before all other integers.
    return (_INTEGER if abs(value) > 1 else 4, 2, (value,)), ["INT-" if value < 0 else "INT+", str(abs(value))]


def _float(value: float) -> Node:
    return (_FLOAT, 2, _mpf(value)), [value]


def _mpf(value: float) -> tuple[int, ...]:
    """sign, mantissa, exponent and bits of the ``Float`` that sympy's ``round`` returns, which has as many digits.

    Of two positive coefficients the one with fewer digits before the point therefore comes first, as a rule.
    """
    whole = round(abs(round(value, DECIMALS)) * 10**DECIMALS)
    if not whole:
        return int(value < 0), 0, 0, 0
    if whole % 10**DECIMALS:
        before = len(str(int(abs(value)))) if abs(value) >= 1 else -_zeros(abs(value))
        digits = min(max(before + DECIMALS, 1), 15)
    else:
        digits = 15
    precision = round((digits + 1) * 3.3219280948873626)  # mpmath's dps_to_prec
    _, mantissa, exponent, bits = from_rational(whole, 10**DECIMALS, precision, "n")
    return int(value < 0), int(mantissa), exponent, bits


def _zeros(value: float) -> int:
    """How many zeros follow the point of a number below one."""
    zeros = 0
    while value < 0.1:
        value, zeros = value * 10, zeros + 1
    return zeros
