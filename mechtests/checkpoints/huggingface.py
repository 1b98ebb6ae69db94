"""Models of ``transformers`` on disk: a directory as ``save_pretrained`` writes it, read without running any of it.

The configuration and the weights are read here, as JSON and safetensors. Nothing else in the directory is opened.
"""

import json
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from torch import Tensor

from mechtests.checkpoints import Checkpoint, CheckpointError, Provenance, provenance_in, read_weights

CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"

_REFUSED = {
    "auto_map": "its modelling code lies beside it and would have to be run. Convert it to a family that transformers "
    "has itself",
    "quantization_config": "its weights are quantised. Save it dequantised, in float32 or bfloat16",
}
"""Entries of a configuration with which the weights are not all there is to the model."""


@dataclass(frozen=True, eq=False)
class Pretrained:
    """What a directory holds.

    Attributes:
        checkpoint: where it is; its sha256 covers the configuration and the weights.
        config: the configuration, as in ``config.json``.
        tensors: the weights by name, on the CPU, as they are stored.
    """

    checkpoint: Checkpoint
    config: dict[str, Any]
    tensors: dict[str, Tensor]


def read_pretrained(path: Path, system: str) -> Pretrained:
    """The model in the directory at ``path``, with the provenance in the header of its weights, where there is one.

    Args:
        path: of the directory.
        system: the kind of checkpoint that the provenance must name.

    Raises:
        CheckpointError: something is missing, damaged or a pickle, or the model needs code or a decoder of its own.
    """
    if not path.is_dir():
        raise CheckpointError(
            f"{path}: expected a directory with {CONFIG} and {WEIGHTS}, as save_pretrained of transformers writes it."
        )
    config = _json(path / CONFIG)
    for entry, reason in _REFUSED.items():
        if config.get(entry):
            raise CheckpointError(f"{path}: {CONFIG} has {entry!r}: {reason}.")
    files = _files(path)
    hashed = sha256((path / CONFIG).read_bytes())
    tensors: dict[str, Tensor] = {}
    metadata: dict[str, str] = {}
    for file in files:
        weights = read_weights(file)
        if twice := tensors.keys() & weights.tensors.keys():
            raise CheckpointError(f"{file}: weight {min(twice)} is in another file of this model too. Save it again.")
        tensors |= weights.tensors
        metadata |= weights.metadata
        hashed.update(f"{file.name}\0{weights.sha256}".encode())
    made = provenance_in(metadata, files[0]) if "mechtests" in metadata else Provenance(system, {})
    if made.system != system:
        raise CheckpointError(f"{path}: holds a model of the system {made.system!r}, expected {system!r}.")
    return Pretrained(Checkpoint(path, hashed.hexdigest(), made), config, tensors)


def _files(path: Path) -> list[Path]:
    """The files of the weights: one, or the shards that the index names, in the order of their names."""
    if (path / WEIGHTS).is_file():
        return [path / WEIGHTS]
    if (path / INDEX).is_file():
        shards = _json(path / INDEX).get("weight_map")
        names = set(shards.values()) if isinstance(shards, dict) else set()
        if not names or not all(isinstance(name, str) for name in names):
            raise CheckpointError(f"{path / INDEX}: expected a weight_map from weights to files. Fetch it again.")
        for name in sorted(names):
            if name != Path(name).name or not name.endswith(".safetensors"):
                raise CheckpointError(
                    f"{path / INDEX}: names the file {name!r}. Expected .safetensors files beside it and nowhere else."
                )
            if not (path / name).is_file():
                raise CheckpointError(f"{path}: {name} is missing, one of {len(names)} files. Fetch it again.")
        return [path / name for name in sorted(names)]
    if pickles := sorted(one.name for one in path.iterdir() if one.suffix in (".bin", ".pt", ".pth", ".ckpt")):
        raise CheckpointError(
            f"{path}: its weights are pickles ({', '.join(pickles)}), which can run code when they are read, so they "
            "are refused. Expected safetensors: save the model with save_pretrained of transformers."
        )
    raise CheckpointError(f"{path}: no weights. Expected {WEIGHTS}, or {INDEX} and the files that it names.")


def _json(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text())
        if not isinstance(found, dict):
            raise TypeError(f"{type(found).__name__} in place of an object")
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{file}: no such file. Expected a directory as save_pretrained of transformers writes it."
        ) from error
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise CheckpointError(f"{file}: not a JSON object ({error}). Fetch it again.") from error
    return found
