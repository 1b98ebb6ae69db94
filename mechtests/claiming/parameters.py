"""The values that ``pytest.mark.parametrize`` gives a claim test, read off the function without pytest."""

import itertools
from collections.abc import Callable
from typing import Any


def parameter_cases(function: Callable[..., object]) -> list[list[dict[str, Any]]]:
    """For each ``parametrize`` of a claim test, the values that it sets in each of its cases, by name."""
    marks = [mark for mark in getattr(function, "pytestmark", ()) if mark.name == "parametrize"]
    return [_cases(mark) for mark in marks]


def parameter_values(function: Callable[..., object]) -> dict[str, list[Any]]:
    """The values of each parameter that ``parametrize`` sets, in the order of the cases."""
    values: dict[str, list[Any]] = {}
    for case in itertools.chain(*parameter_cases(function)):
        for name, value in case.items():
            values.setdefault(name, []).append(value)
    return values


def _cases(mark: Any) -> list[dict[str, Any]]:
    given = {**dict(zip(("argnames", "argvalues"), mark.args, strict=False)), **mark.kwargs}
    argnames, argvalues = given["argnames"], given["argvalues"]
    names = [name.strip() for name in argnames.split(",")] if isinstance(argnames, str) else list(argnames)
    # pytest.param has its values in a tuple; one name alone takes the value as it is.
    cases = [case.values if hasattr(case, "marks") else (case,) if len(names) == 1 else case for case in argvalues]
    return [dict(zip(names, case, strict=True)) for case in cases]
