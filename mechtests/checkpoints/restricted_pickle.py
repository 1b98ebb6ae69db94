"""Reading what ``torch.save`` wrote of a whole object, without making the object: nothing that the file names is run.

A pickle is a program: it names functions and classes, and calls them. Here no name is looked up. Those on an explicit
list stand for an :class:`Inert` record of what was to be built, tensors are records too and are read from the file
afterwards, and any other name is refused.
"""

import io
import math
import pickle
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mechtests.checkpoints import CheckpointError

_TYPES = {
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "DoubleStorage": torch.float64,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "BoolStorage": torch.bool,
    "ByteStorage": torch.uint8,
}


class Inert:
    """What was to be an object: the class or function that was to make it, and the state it was to have.

    Attributes:
        made_by: the full name of the class or function.
        state: the attributes that it was to get, for most a dict.
    """

    made_by = ""
    state: Any = None

    def __new__(cls, *_: object, **__: object) -> "Inert":
        return super().__new__(cls)

    def __init__(self, *_: object, **__: object) -> None:
        """Whatever the file calls it with is left aside."""

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __setitem__(self, key: object, value: object) -> None:
        """Entries of inert containers are left aside."""

    def append(self, item: object) -> None:
        """Entries of inert containers are left aside."""


@dataclass(frozen=True, slots=True)
class Weights:
    """Where in the file a tensor is."""

    storage: str
    dtype: torch.dtype
    count: int
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    def __setstate__(self, state: object) -> None:
        raise pickle.UnpicklingError("a tensor's state is set")


class InertFile:
    """A file of ``torch.save``, read as records.

    Attributes:
        root: the whole object.

    Args:
        path: the file.
        allowed: full names of classes and functions that may occur; with ``.*`` at the end, all of a module.

    Raises:
        CheckpointError: the file is none of ``torch.save``, is damaged, or names what is not allowed.
    """

    def __init__(self, path: Path, allowed: Iterable[str]) -> None:
        self.path = path
        try:
            self._archive = zipfile.ZipFile(path)
        except FileNotFoundError:
            raise CheckpointError(f"{path}: no such file. Give the path of the file that torch.save wrote.") from None
        except (zipfile.BadZipFile, OSError) as error:
            raise CheckpointError(
                f"{path}: not a file of torch.save, which is a zip archive since torch 1.6 ({error}). Fetch it again; "
                "a download page of a few kilobytes is a sign that the download was refused."
            ) from error
        names = self._archive.namelist()
        programs = [name for name in names if name.endswith("/data.pkl")]
        if len(programs) != 1 or any(name.endswith("/constants.pkl") for name in names):
            raise CheckpointError(f"{path}: not a file of torch.save: expected one data.pkl in it and no TorchScript.")
        self._folder = programs[0].removesuffix("data.pkl")
        if self._folder + "byteorder" in names and self._archive.read(self._folder + "byteorder") != b"little":
            raise CheckpointError(f"{path}: its numbers are stored big end first. Save it again on a usual machine.")
        try:
            self.root = _Reader(self._archive.read(programs[0]), frozenset(allowed)).load()
        except _RefusedError as error:
            raise CheckpointError(
                f"{path}: refused. It asks for {error}, which has no place in such a file and may do harm when it is "
                "loaded the usual way. Nothing of it was run. Fetch the file from its authors again."
            ) from None
        except Exception as error:  # of whatever kind: a damaged pickle may fail in any way
            raise CheckpointError(f"{path}: its data.pkl cannot be read ({error}). Fetch the file again.") from error

    def tensor(self, weights: Weights) -> Tensor:
        """The tensor of a record.

        Raises:
            CheckpointError: the file holds too little for it.
        """
        entry = f"{self._folder}data/{weights.storage}"
        size = weights.count * weights.dtype.itemsize
        last = weights.offset + sum((n - 1) * step for n, step in zip(weights.shape, weights.stride, strict=True))
        try:
            fits = weights.offset >= 0 and min((*weights.shape, *weights.stride), default=0) >= 0
            fits &= not math.prod(weights.shape) or last < weights.count
            if not fits or self._archive.getinfo(entry).file_size != size:
                raise ValueError("it does not hold so many numbers")
            content = self._archive.read(entry)
        except (KeyError, ValueError, zipfile.BadZipFile, OSError) as error:
            raise CheckpointError(f"{self.path}: its part {entry} is damaged ({error}). Fetch it again.") from error
        numbers = torch.frombuffer(bytearray(content), dtype=weights.dtype)
        return numbers.as_strided(weights.shape, weights.stride, weights.offset).clone()


class _RefusedError(Exception):
    """The full name that was refused."""


class _Reader(pickle.Unpickler):
    def __init__(self, content: bytes, allowed: frozenset[str]) -> None:
        super().__init__(io.BytesIO(content))
        self._allowed = allowed

    def find_class(self, module: str, name: str) -> Any:
        full = f"{module}.{name}"
        if module == "torch" and name in _TYPES:
            return name
        if full in _BUILDERS:
            return _BUILDERS[full]
        if full in self._allowed or f"{module}.*" in self._allowed:
            return type(name, (Inert,), {"made_by": full})
        raise _RefusedError(full)

    def persistent_load(self, told: Any) -> Any:
        match told:
            case ("storage", str() as kind, str() as key, _, int() as count) if kind in _TYPES and count >= 0:
                return Weights(key, _TYPES[kind], count, 0, (count,), (1,))
        raise pickle.UnpicklingError("a storage of an unknown kind")


class _Builder:
    """A function that the file may call. Its attributes cannot be set."""

    __slots__ = ("_make",)
    _make: Callable[..., Any]

    def __init__(self, make: Callable[..., Any]) -> None:
        object.__setattr__(self, "_make", make)

    def __call__(self, *arguments: Any) -> Any:
        return self._make(*arguments)

    def __setattr__(self, name: str, value: object) -> None:
        raise pickle.UnpicklingError(f"the attribute {name} of a function is set")

    def __setstate__(self, state: object) -> None:
        raise pickle.UnpicklingError("a function's state is set")


def _rebuilt(storage: Weights, offset: int, shape: tuple[int, ...], stride: tuple[int, ...], *_: object) -> Weights:
    numbers = (offset, *shape, *stride)
    if (
        not isinstance(storage, Weights)
        or not all(isinstance(one, int) for one in numbers)
        or len(shape) != len(stride)
    ):
        raise pickle.UnpicklingError("a tensor without a storage or a shape")
    return Weights(storage.storage, storage.dtype, storage.count, offset, tuple(shape), tuple(stride))


_BUILDERS: dict[str, Any] = {
    "collections.OrderedDict": _Builder(dict),
    "torch._utils._rebuild_tensor_v2": _Builder(_rebuilt),
    "torch._utils._rebuild_parameter": _Builder(lambda weights, *_: weights),
}
