"""Checkpoints on disk: one safetensors file of weights, with its provenance in the header.

Nothing here ever unpickles. Any problem with a file is reported as a :class:`CheckpointError`.
"""

import hashlib
import json
import re
import reprlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load as tensors_in
from safetensors.torch import save_file
from torch import Tensor, nn

from mechtests.files import atomic_write

SCHEMA = "mechtests-checkpoint/1"
"""Names the form of the header; a file with another one is refused."""

_SYSTEM = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
"""Names of systems become folders and words of a command line, so a file may not choose just any."""

_PICKLE_STARTS = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


M = TypeVar("M", bound=nn.Module)


class CheckpointError(Exception):
    """A checkpoint that cannot be used: what was expected, what was found, what to do."""


@dataclass(frozen=True)
class Provenance:
    """Where a set of weights came from.

    Attributes:
        system: the kind of model, as in ``subtraction``.
        config: the architecture's sizes, as the system's config class takes them.
        recipe: the name of the training recipe.
        seed: the training seed.
        step: optimiser steps taken.
        final: whether this is the end of its training run.
        commit: the git commit of the training script.
        metrics: what the training script measured at the end, for instance ``sign_accuracy``.
    """

    system: str
    config: dict[str, int]
    recipe: str = ""
    seed: int = 0
    step: int = 0
    final: bool = True
    commit: str = ""
    metrics: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Checkpoint:
    """Weights on disk, in one file or a directory.

    Attributes:
        path: of the file or the directory.
        sha256: of all bytes that were read of it.
        provenance: where the weights came from.
        files: what the sha256 covers; the file at ``path`` where none is named.
    """

    path: Path
    sha256: str
    provenance: Provenance
    files: tuple[Path, ...] = ()

    @property
    def name(self) -> str:
        """The file's name without its ending, or the directory's whole one: ``Llama-3.2-1B`` has no ending."""
        return self.path.resolve().name if self.path.is_dir() else self.path.stem


def save(path: Path, module: nn.Module, provenance: Provenance) -> None:
    """Write ``module``'s weights and their provenance to ``path`` atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header = json.dumps({"schema": SCHEMA, **asdict(provenance)}, sort_keys=True)
    # Copies, because safetensors takes no two weights that share their memory.
    tensors = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in module.state_dict().items()}
    with atomic_write(path) as unfinished:
        save_file(tensors, unfinished, metadata={"mechtests": header})


def read(path: Path) -> tuple[Checkpoint, dict[str, Tensor]]:
    """The checkpoint at ``path`` and its tensors, on the CPU.

    Raises:
        CheckpointError: the file is missing, truncated, a pickle, without provenance, or holds NaN or infinite weights.
    """
    weights = read_weights(path)
    return Checkpoint(path, weights.sha256, provenance_in(weights.metadata, path)), weights.tensors


@dataclass(frozen=True, eq=False)
class Weights:
    """What one safetensors file holds: the sha256 of its bytes, its header's metadata, and its tensors on the CPU."""

    sha256: str
    metadata: Mapping[str, str]
    tensors: dict[str, Tensor]


def read_weights(path: Path) -> Weights:
    """What the safetensors file at ``path`` holds.

    Raises:
        CheckpointError: the file is missing, truncated, a pickle, or holds NaN or infinite weights.
    """
    if not path.is_file():
        raise CheckpointError(
            f"{path}: no such checkpoint. Give the path of a .safetensors file, or train one with training/."
        )
    # One reading, of which come both the identity and the weights: another process may write the file meanwhile.
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(
            f"{path}: cannot be read ({error.strerror}). Check the file and its permissions."
        ) from error
    # The first 8 bytes of safetensors are its header's length, which may read as a pickle's; its header opens with {.
    if content.startswith(_PICKLE_STARTS) and content[8:9] != b"{":
        raise CheckpointError(
            f"{path}: this is a pickle, which can run code when it is read, so it is refused. "
            "Expected safetensors: save the weights with mechtests.checkpoints.save."
        )
    try:
        tensors = tensors_in(content)
    except SafetensorError as error:
        raise CheckpointError(
            f"{path}: not a complete safetensors file ({error}). It may be truncated: fetch or train it again."
        ) from error
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    sha256, metadata = hashlib.sha256(content).hexdigest(), header.get("__metadata__") or {}
    for name, tensor in tensors.items():
        if not _finite(tensor):
            raise CheckpointError(
                f"{path}: weight {name} holds NaN or infinite values, so every measurement would be meaningless. "
                "Train it again or use an earlier step."
            )
    return Weights(sha256, metadata, tensors)


def _finite(tensor: Tensor) -> bool:
    if not tensor.is_floating_point() or not tensor.numel():
        return True
    return bool(torch.isfinite(torch.stack(tensor.aminmax())).all())  # a NaN is both; no mask as large as the tensor


def load(path: Path, system: str, config: type[Any], build: Callable[[Any], M]) -> tuple[Checkpoint, M]:
    """The checkpoint at ``path``, and the module that it is of, with its weights.

    Args:
        path: of the file.
        system: the system that it must belong to.
        config: the dataclass of the architecture's sizes.
        build: from the sizes to the module.

    Raises:
        CheckpointError: as :func:`read` and :func:`fill`, or it belongs to another system, or its sizes are not those
            of this one.
    """
    checkpoint, tensors = read(path)
    provenance = checkpoint.provenance
    if provenance.system != system:
        raise CheckpointError(
            f"{path}: holds a model of the system {provenance.system!r}, expected {system!r}. "
            f"Give it as --checkpoint {provenance.system}={path}."
        )
    try:
        module = build(config(**provenance.config))
    except (TypeError, ValueError, RuntimeError, AssertionError) as error:
        raise CheckpointError(
            f"{path}: the architecture in the header is not one of the system {system} ({error}). "
            f"Expected sizes {', '.join(field.name for field in fields(config))}."
        ) from error
    fill(module, tensors, path)
    return checkpoint, module


def fill(module: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Put ``tensors`` into ``module``, whose weights they must match by name and shape.

    Raises:
        CheckpointError: a weight is missing, unknown, or of another shape.
    """
    expected = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise CheckpointError(
                f"{path}: wrong architecture. Weight {name}: expected {expected.get(name, 'none')}, "
                f"found {found.get(name, 'none')}. Check that the file belongs to this system."
            )
    module.load_state_dict(dict(tensors))


def provenance_in(metadata: Mapping[str, str], path: Path) -> Provenance:
    """The provenance that the header of the file at ``path`` holds.

    Raises:
        CheckpointError: it holds none, one of another form, or one with a name of a system that cannot be one.
    """
    try:
        header: Any = json.loads(metadata["mechtests"])
        if not isinstance(header, dict):
            raise TypeError(f"{type(header).__name__} in place of an object")
        schema = header.pop("schema")
        if schema != SCHEMA:
            raise ValueError(f"schema {schema!r}")
        made = Provenance(**header)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{path}: no provenance in the header ({error!r}). Expected the form {SCHEMA}: "
            "save the weights with mechtests.checkpoints.save."
        ) from error
    if not isinstance(made.system, str) or not _SYSTEM.fullmatch(made.system):
        raise CheckpointError(
            f"{path}: its header names the system {reprlib.repr(made.system)}. Expected lower-case letters, digits and "
            "hyphens, as in 'subtraction'. Do not use the file unless you know who wrote it."
        )
    return made
