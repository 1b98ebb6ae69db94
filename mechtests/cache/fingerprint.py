"""Fingerprints of code: a cached result is valid as long as the code that computed it is the same."""

import inspect
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import is_dataclass
from enum import Enum
from functools import cache, partial
from hashlib import sha256
from pathlib import Path
from types import CellType, CodeType
from typing import Any

import numpy as np
import torch

PACKAGE = Path(__file__).parents[1]
_PROCESS = uuid.uuid4().hex
_ALIVE: list[object] = []
_BY_VERSION = sys.stdlib_module_names | {"torch", "numpy"}
"""Packages whose code is identified by their version, or by that of Python."""


@cache
def code_fingerprint(*things: type | Callable[..., Any]) -> str:
    """A sha256 of the code behind ``things``: equal when the same files define them, in whatever order they are given.

    It covers the files that define a function, or a class and all its base classes; every file of mechtests; and the
    versions of torch and NumPy. Files that those import are not covered. A file is read when its fingerprint is first
    requested, so request it early. Code without a file, as in a notebook, has a fingerprint that is valid in this
    process only: whether another process runs the same code cannot be known.
    """
    parts = {_source(defined) for thing in things for defined in _defined(thing)}
    return hashed(_mechtests(), *sorted(parts))


@cache
def folder_fingerprint(function: Callable[..., Any]) -> str:
    """A sha256 of what :func:`code_fingerprint` covers, and of every module in the function's folder."""
    file = _file(inspect.unwrap(function))
    beside = sorted(Path(file).parent.glob("*.py")) if file else []
    return hashed(code_fingerprint(function), *(f"{path.name}\0{hashed(path.read_bytes())}" for path in beside))


@cache
def _mechtests() -> str:
    files = sorted(PACKAGE.rglob("*.py"))
    parts = [f"{path.relative_to(PACKAGE).as_posix()}\0{hashed(path.read_bytes())}" for path in files]
    return hashed(torch.__version__, np.__version__, *parts)


def value_fingerprint(value: object) -> str:
    """A sha256 that differs between values: plain ones are identified by value, functions by where they are defined.

    A nested function is identified by its code, its defaults and the values that it closes over. Any other object, such
    as an instance of a user's class that is no dataclass, has a fingerprint that is valid in this process only.
    """
    return hashed(*_parts(value, ()))


def _parts(value: Any, within: tuple[int, ...]) -> Iterator[str]:  # noqa: PLR0912 - one branch per kind of value
    if id(value) in within:
        yield "again"  # a function that calls itself closes over itself
        return
    inner: tuple[object, ...] = ()
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    if value is None or value is ... or type(value) in (bool, int, float, complex, str, bytes, range):
        yield f"{kind} {value!r}"
    elif type(value) in (tuple, list):
        yield f"{kind} {len(value)}"
        inner = tuple(value)
    elif type(value) is dict:
        yield f"{kind} {len(value)}"
        inner = tuple(value.items())
    elif type(value) in (set, frozenset):
        yield f"{kind} {len(value)}"
        yield from sorted(hashed(*_parts(one, (*within, id(value)))) for one in value)
    elif isinstance(value, CodeType):
        yield f"{kind} {value.co_flags} {value.co_argcount} {value.co_posonlyargcount} {value.co_kwonlyargcount}"
        names = (value.co_names, value.co_varnames, value.co_freevars, value.co_cellvars)
        inner = (value.co_code, value.co_consts, value.co_exceptiontable, *names)
    elif _is_where_it_says(value):
        yield f"{kind} {value.__module__}.{value.__qualname__}"
    elif isinstance(value, partial):
        inner = (value.func, value.args, value.keywords)
        yield kind
    elif inspect.ismethod(value):
        inner = (value.__func__, value.__self__)
        yield kind
    elif inspect.isfunction(value):
        yield f"{kind} {value.__module__}.{value.__qualname__} {value.__globals__.get('__file__')}"
        cells = tuple(_content(cell) for cell in value.__closure__ or ())
        inner = (value.__code__, value.__defaults__, value.__kwdefaults__, cells)
    elif isinstance(value, Enum):
        inner = (type(value), value.name)
        yield kind
    elif is_dataclass(value) and not isinstance(value, type) and not hasattr(type(value), "__slots__"):
        inner = (type(value), vars(value))
        yield kind
    else:
        _ALIVE.append(value)  # so that no other object comes to have its id
        yield f"{_PROCESS} {id(value)}"
    for one in inner:
        yield hashed(*_parts(one, (*within, id(value))))


def _content(cell: CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:
        return "empty"


def _is_where_it_says(value: Any) -> bool:
    """Whether ``value`` is what its module has under its name, so that the module's code determines it."""
    found: Any = sys.modules.get(getattr(value, "__module__", None) or "")
    for name in getattr(value, "__qualname__", "").split("."):
        found = getattr(found, name, None)
    return found is value


def _defined(thing: type | Callable[..., Any]) -> Iterator[Any]:
    """The classes and functions whose code ``thing`` runs, as far as that is known without running it."""
    while isinstance(thing, partial):
        thing = thing.func
    thing = inspect.unwrap(thing)
    if inspect.ismethod(thing):
        yield from _defined(type(thing.__self__))
        thing = thing.__func__
    if not isinstance(thing, type) and not inspect.isroutine(thing):
        thing = type(thing)
    for one in thing.__mro__ if isinstance(thing, type) else (thing,):
        if str(one.__module__).partition(".")[0] not in _BY_VERSION:
            yield one


def _source(defined: Any) -> str:
    file = _file(defined)
    if file is not None:
        with suppress(OSError):  # an interactive session may name a file that it does not write
            return hashed(Path(file).read_bytes())
    return f"{_PROCESS} {defined.__module__}.{defined.__qualname__} {id(defined)}"


def _file(defined: Any) -> str | None:
    """The file that defines a class or a function."""
    functions = vars(defined).values() if isinstance(defined, type) else [defined]
    for function in map(inspect.unwrap, filter(inspect.isfunction, functions)):
        if function.__module__ == defined.__module__:
            return function.__globals__.get("__file__")
    # A class without functions only says its module's name, which another module may have taken since.
    module = found = sys.modules.get(defined.__module__)
    for name in defined.__qualname__.split("."):
        found = getattr(found, name, None)
    return getattr(module, "__file__", None) if found is defined else None


def hashed(*parts: str | bytes) -> str:
    """A sha256 over the parts; the encoding is injective."""
    digest = sha256()
    for part in parts:
        content = part.encode() if isinstance(part, str) else part
        digest.update(len(content).to_bytes(8, "big"))  # so that no other parts have the same concatenation
        digest.update(content)
    return digest.hexdigest()
