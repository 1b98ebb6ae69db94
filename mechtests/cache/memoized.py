"""Results that depend on a system, alone or with given inputs, and that many claims use: computed once and cached."""

import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar, get_args, get_origin

from torch import Tensor

from mechtests.cache.digests import digest
from mechtests.cache.fingerprint import folder_fingerprint
from mechtests.cache.tiers import Cache


class _System(Protocol):
    """The parts of a system that are used here."""

    cache: Cache

    @property
    def kind(self) -> tuple[str, ...]: ...


S = TypeVar("S", bound=_System)
P = ParamSpec("P")
R = TypeVar("R")


def memoized(function: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
    """Cache what ``function`` computes from a system in that system's cache, and on disk if the cache has that tier.

    The function takes the system and at most one more argument, such as the inputs to measure on, and must depend on
    nothing else. That argument is text, a number, a tensor, or a list, tuple, dict or dataclass of such; a result is
    cached for each value of it. The function says what it returns: a tensor, or a dataclass, a named tuple or a tuple
    of tensors. It is run again for other weights, other types of weights and another kind of device, and when a Python
    file changes: one in its own folder, one of mechtests, or one that defines the system's class or a layer. Code that
    lies elsewhere is not watched.

    Raises:
        TypeError: the function takes other arguments, or its return annotation is none of these.
    """
    form = _Form.of(function)
    name, code = f"{function.__module__}.{function.__qualname__}", folder_fingerprint(function)

    @wraps(function)
    def cached(system: S, /, *given: P.args, **named: P.kwargs) -> R:
        of = tuple(digest(_by_fields(value)) for value in (*given, *named.values()))
        key = ("memoized", (name, code, *of), system.kind)
        found = [system.cache.get((*key, part)) for part in form.parts]
        if any(tensor is None for tensor in found):
            tensors = form.take(function(system, *given, **named))
            found = [system.cache.put((*key, part), one) for part, one in zip(form.parts, tensors, strict=True)]
        return form.build(found)

    return cached


def _by_fields(value: Any) -> Any:
    """``value`` with each dataclass in it as its class and its fields, which a digest can be made of."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: _by_fields(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return f"{type(value).__module__}.{type(value).__qualname__}", fields
    if isinstance(value, Mapping):
        return {name: _by_fields(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        parts = [_by_fields(part) for part in value]
        return tuple(parts) if isinstance(value, tuple) else parts
    return value


@dataclasses.dataclass(frozen=True)
class _Form:
    """The tensors that a function's result consists of.

    Attributes:
        function: the function's name.
        parts: the tensors' names; the empty string if the result is itself a tensor.
        build: from the tensors to the result.
    """

    function: str
    parts: tuple[str, ...]
    build: Callable[[Sequence[Any]], Any]

    @classmethod
    def of(cls, function: Callable[..., object]) -> "_Form":
        name = function.__qualname__
        try:
            signature = inspect.signature(function, eval_str=True)
        except NameError as error:
            raise TypeError(f"@memoized {name}: its annotations cannot be read here ({error}).") from error
        if len(signature.parameters) not in (1, 2):
            raise TypeError(
                f"@memoized {name}: expected the system, and at most one parameter more. Found {signature}."
            )
        made: Any = signature.return_annotation
        if isinstance(made, type) and dataclasses.is_dataclass(made):
            parts = tuple(field.name for field in dataclasses.fields(made) if field.init)
            return cls(name, parts, lambda tensors: made(**dict(zip(parts, tensors, strict=True))))
        if isinstance(made, type) and issubclass(made, tuple) and hasattr(made, "_fields"):
            return cls(name, made._fields, lambda tensors: made(*tensors))
        if get_origin(made) is tuple and ... not in get_args(made):
            return cls(name, tuple(map(str, range(len(get_args(made))))), tuple)
        # jaxtyping's Float[Tensor, "unit"] is a type with the attribute array_type.
        if isinstance(made, type) and issubclass(getattr(made, "array_type", made), Tensor):
            return cls(name, ("",), lambda tensors: tensors[0])
        raise TypeError(
            f"@memoized {name}: expected a return type that is a tensor, or a dataclass, a named tuple or a tuple of "
            f"tensors (as in tuple[Tensor, Tensor]). Found {signature}."
        )

    def take(self, result: Any) -> list[Tensor]:
        """The tensors of ``result``, in the order of the parts."""
        if self.parts == ("",):
            tensors = [result]
        elif isinstance(result, tuple):
            tensors = list(result)
        else:
            tensors = [getattr(result, part, None) for part in self.parts]
        if len(tensors) != len(self.parts) or not all(isinstance(tensor, Tensor) for tensor in tensors):
            raise TypeError(
                f"@memoized {self.function}: expected {len(self.parts)} tensors, as its annotation says. "
                f"Found {', '.join(type(tensor).__name__ for tensor in tensors)}."
            )
        return tensors
