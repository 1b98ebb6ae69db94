"""Digests: short texts that identify tensors and plain values."""

import hashlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor


class DigestError(TypeError):
    """A value of a kind that cannot be digested without missing some differences."""


def digest(*things: Any) -> str:
    """A sha256 over ``things``: tensors by type, shape and every bit; tuples, lists and dicts by their parts.

    Raises:
        DigestError: a value is none of these, nor text, a number, a dtype, a device or ``None``; or a tensor is not
            strided, such as a sparse one.
    """
    found = hashlib.sha256()
    for part in _parts(things):
        # Its length first, so that no two lists of parts read the same one after another.
        found.update(len(part).to_bytes(8, "big"))
        found.update(part)
    return found.hexdigest()


def _parts(thing: Any) -> Iterator[bytes | memoryview]:
    if isinstance(thing, Tensor) and thing.layout == torch.strided and not (thing.is_meta or thing.is_quantized):
        yield f"tensor {thing.dtype} {tuple(thing.shape)}".encode()
        # A clone, because a tensor of one entry counts as contiguous whatever its stride, and then has no bytes to see.
        entries = thing.detach().cpu().resolve_conj().resolve_neg().clone(memory_format=torch.contiguous_format)
        yield entries.flatten().view(torch.uint8).numpy().data
    elif isinstance(thing, tuple | list):
        yield f"{type(thing).__name__} {len(thing)}".encode()
        for one in thing:
            yield from _parts(one)
    elif isinstance(thing, dict):
        yield f"dict {len(thing)}".encode()
        for pair in sorted(thing.items(), key=lambda pair: repr(pair[0])):
            yield from _parts(pair)
    elif thing is None or isinstance(thing, str | int | float | bool | torch.dtype | torch.device):
        yield f"{type(thing).__qualname__} {thing!r}".encode()
    else:
        raise DigestError(f"no digest of a {type(thing).__qualname__}: expected tensors, text, numbers or lists.")
