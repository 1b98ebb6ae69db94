"""What a claim test states, as text: what is registered, and compared with the registration later.

Registered is what the decorator says, the test's arguments and parameters, the inputs that it asks for, the values of
the constants that it names, and a digest of its code. Code counts by its syntax: comments, layout, docstrings, type
annotations and the test's own name do not. Functions that the test calls count by their names.
"""

import ast
import inspect
import textwrap
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from typing import Any

from mechtests.cache.fingerprint import hashed
from mechtests.claiming.claim import Claim, Control, Source, claim_of, parameter_text
from mechtests.claiming.parameters import parameter_values
from mechtests.families import Family

Stated = dict[str, str | list[str] | dict[str, str]]
"""By field, what is registered of a claim: one text, several in order, or texts by name. Fields that say nothing are
left out, and so are settings that have their default, so that a setting that is new changes no registration."""

_PACKAGE = __name__.partition(".")[0]
_OF_ITS_NAME = {"name", "replacement", "draws", "parameter", "by_architecture"}
"""What a control's name and its number of draws say already."""
_UNTOLD = {"ctx", "kind", "annotation", "returns", "type_comment", "type_params"}
"""Parts of the syntax tree that say nothing of what is measured."""
_Defining = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def stated_claim(test: Callable[..., object]) -> Stated:
    """What ``test``, a function decorated with :func:`mechtests.claim`, states.

    Raises:
        ValueError: it states no claim.
    """
    claim = claim_of(test)
    if claim is None:
        raise ValueError(f"{test!r} states no claim.")
    said = {**_decorator(claim), "arguments": _arguments(test), "parameters": _parameters(test), **_code(test)}
    return {field: content for field, content in said.items() if content}


def _decorator(claim: Claim) -> Stated:
    published = "" if claim.published is None else claim.published
    return {
        "statement": claim.statement,
        "source": _source(claim.source),
        "expect": plain_text(claim.expect) or str(claim.expect),
        "kind": claim.evidence_kind,
        "criterion": claim.criterion or "",
        "published": published if isinstance(published, str) else str(plain_text(published)),
        "requires": [_name(requirement) for requirement in claim.requires],
        "controls": [_control(control) for control in claim.controls],
    }


def _source(source: Source) -> str:
    by = ", ".join(str(part) for part in (source.authors, source.year) if part)
    return f"{source} ({by})" if by else str(source)


def _control(control: Control) -> str:
    """A control's name, how often it is drawn, and what else is not as it is by default."""
    draws = "" if control.draws is None else f", {control.draws} draws"
    others = [f", {name}={text}" for name, text in _settings(control, _OF_ITS_NAME)]
    return f"{control.name}{draws}{''.join(others)}"


def _arguments(test: Callable[..., object]) -> list[str]:
    parameters = inspect.signature(test).parameters.values()
    return [
        one.name if one.default is inspect.Parameter.empty else f"{one.name}={_name(one.default)}"
        for one in parameters
        if one.name != "self"
    ]


def _parameters(test: Callable[..., object]) -> dict[str, str]:
    """The values of the test's parameters; those that are claims themselves have a registration of their own."""
    return {
        name: ", ".join(map(_name, values))
        for name, values in parameter_values(test).items()
        if not any(isinstance(getattr(value, "claim", None), Claim) for value in values)
    }


def _name(value: object) -> str:
    text = parameter_text(value)
    return type(value).__name__ if " at 0x" in text else text


# ---------------------------------------------------------------------------------------------------------------------
# The test's code


def _code(test: Callable[..., object]) -> Stated:
    """The inputs, the constants and the digest of the test's code; nothing of code that is part of mechtests.

    The version of mechtests says what a test does that it made itself.
    """
    test = inspect.unwrap(test)
    if test.__module__.partition(".")[0] == _PACKAGE:
        return {}
    with suppress(OSError, TypeError, SyntaxError):  # code that is in no file
        body = _body(ast.parse(textwrap.dedent(inspect.getsource(test))))
        return {"inputs": _inputs(body), "constants": _constants(body, test), "code": hashed(*map(_syntax, body))}
    return {}


def _body(module: ast.Module) -> list[ast.stmt]:
    """The statements of the function that ``module`` defines, without its docstring."""
    (statement,) = module.body
    return _without_docstring(statement) if isinstance(statement, _Defining) else module.body


def _without_docstring(node: _Defining) -> list[ast.stmt]:
    return node.body if ast.get_docstring(node, clean=False) is None else node.body[1:]


def _syntax(node: object) -> str:
    """A node of the syntax tree as text, the same in every version of Python that reads the code in the same way."""
    if isinstance(node, list):
        return f"[{','.join(map(_syntax, node))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    kind = type(node).__name__
    parts = {name: value for name, value in ast.iter_fields(node) if name not in _UNTOLD}
    if isinstance(node, _Defining):
        parts["body"] = _without_docstring(node)
    elif isinstance(node, ast.AnnAssign) and node.value is not None:
        kind, parts = "Assign", {"targets": [node.target], "value": node.value}
    fields = (f"{name}={_syntax(value)}" for name, value in parts.items() if value is not None and value != [])
    return f"{kind}({','.join(fields)})"


def _inputs(body: list[ast.stmt]) -> list[str]:
    """The family and the greatest number of units of every ``evidence.batches``, as they are written."""
    inputs = []
    for call in _nodes(body, ast.Call):
        if isinstance(call.func, ast.Attribute) and call.func.attr == "batches":
            chosen = [*map(ast.unparse, call.args[:1])]
            chosen += [f"{one.arg}={ast.unparse(one.value)}" for one in call.keywords if one.arg in ("family", "most")]
            inputs.append(", ".join(chosen))
    return inputs


def _constants(body: list[ast.stmt], test: Callable[..., object]) -> dict[str, str]:
    """The values of the names that the code reads from outside of itself, of those that are plain."""
    code, cells = test.__code__, test.__closure__ or ()
    outside: dict[str, Any] = dict(test.__globals__)
    for name, cell in zip(code.co_freevars, cells, strict=True):
        with suppress(ValueError):  # a cell that is still empty
            outside[name] = cell.cell_contents
    read = {name.id for name in _nodes(body, ast.Name) if isinstance(name.ctx, ast.Load)}
    own = {name.id for name in _nodes(body, ast.Name) if not isinstance(name.ctx, ast.Load)}
    own |= {argument.arg for argument in _nodes(body, ast.arg)} | {*inspect.signature(test).parameters}
    values = {name: outside[name] for name in sorted(read - own) if name in outside and not callable(outside[name])}
    return {name: text for name, value in values.items() if (text := plain_text(value)) is not None}


def _nodes(body: list[ast.stmt], kind: type[Any]) -> Iterator[Any]:
    return (node for statement in body for node in ast.walk(statement) if isinstance(node, kind))


# ---------------------------------------------------------------------------------------------------------------------
# Values as text


def plain_text(value: object) -> str | None:  # noqa: PLR0911 - one for each kind of value
    """A value as text, the same in every process and on every machine; ``None`` for one that has no such text.

    Numbers, texts, containers and dataclasses of them, families of inputs; functions and classes by name.
    """
    if isinstance(value, Enum):
        return f"{type(value).__name__}.{value.name}"
    if isinstance(value, bool | int | str | bytes | None):
        return repr(value)
    if isinstance(value, float):
        return f"{value:.9g}"
    if isinstance(value, list | tuple):
        return _listed(map(plain_text, value))
    if isinstance(value, set | frozenset):
        return _listed(map(plain_text, value), in_order=False)
    if isinstance(value, Mapping):
        return _listed(map(plain_text, value.items()))
    if is_dataclass(value) and not isinstance(value, type):
        return _called(value, _settings(value))
    if isinstance(value, Family):
        return _called(value, ((name, plain_text(one)) for name, one in value.parameters.items()))
    return getattr(value, "__qualname__", None) if callable(value) else None


def _listed(texts: Iterable[str | None], in_order: bool = True) -> str | None:
    known = list(texts)
    plain = [text for text in known if text is not None]
    if len(plain) < len(known):
        return None
    return f"({', '.join(plain if in_order else sorted(plain))})"


def _called(value: object, settings: Iterable[tuple[str, str | None]]) -> str | None:
    settings = list(settings)
    if any(text is None for _, text in settings):
        return None
    return f"{type(value).__name__}({', '.join(f'{name}={text}' for name, text in settings)})"


def _settings(value: Any, left_out: Collection[str] = ()) -> Iterator[tuple[str, str | None]]:
    """The fields of a dataclass that are not as they are by default, as text."""
    for one in fields(value):
        if one.name in left_out:
            continue
        default = one.default if one.default_factory is MISSING else one.default_factory()
        text = plain_text(getattr(value, one.name))
        if default is MISSING or text != plain_text(default):
            yield one.name, text
