"""Inputs that Hypothesis proposes: the first that is wanted, or the simplest that it can reach from a known one."""

import unittest
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, TypeVar

import hypothesis
from hypothesis import HealthCheck, Phase, Verbosity
from hypothesis import strategies as st
from hypothesis.database import ExampleDatabase, choices_to_bytes

from mechtests.families import Family, Point

T = TypeVar("T")


class _FoundError(Exception):
    pass


class Start(ExampleDatabase):
    """A database that holds one draw for every test: Hypothesis takes it for an earlier failure, and starts from it."""

    def __init__(self, family: Family[Any], point: Point) -> None:
        super().__init__()
        # A parameter with one value is not drawn. The draw ends with one choice too many, because Hypothesis takes one
        # that it can repeat exactly for shrunk already.
        drawn = [point[name] for name, one in family.parameters.items() if one.low != one.high]
        self._draw = choices_to_bytes([*drawn, False])

    def fetch(self, key: bytes) -> Iterable[bytes]:  # noqa: ARG002
        return [self._draw]

    def save(self, key: bytes, value: bytes) -> None:
        pass

    def delete(self, key: bytes, value: bytes) -> None:
        pass


def propose(
    strategy: st.SearchStrategy[T], wanted: Callable[[T], bool], seed: int, tries: int, start: Start | None = None
) -> T | None:
    """What Hypothesis finds that is ``wanted``: the first, or the simplest that it can reach from ``start``.

    :func:`hypothesis.find` does not take a seed and a database together.
    """
    found: list[T] = []

    # The seed stands inside, because it takes the database of the settings away.
    @hypothesis.settings(
        max_examples=tries,
        phases=[Phase.reuse, Phase.target, Phase.shrink] if start else [Phase.generate],
        database=start,
        deadline=None,
        derandomize=False,
        report_multiple_bugs=False,
        print_blob=False,
        verbosity=Verbosity.quiet,
        backend="hypothesis",
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.seed(seed)
    @hypothesis.given(strategy)
    def put(proposed: T) -> None:
        if wanted(proposed):
            found.append(proposed)
            raise _FoundError

    with suppress(_FoundError, unittest.SkipTest):  # skipped where the start is no draw of this version of Hypothesis
        put()
    return found[-1] if found else None
