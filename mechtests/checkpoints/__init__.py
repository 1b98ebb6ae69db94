"""Checkpoints: weights with their provenance, read without running anything that a file names."""

from mechtests.checkpoints.checkpoint import (
    Checkpoint,
    CheckpointError,
    Provenance,
    fill,
    load,
    provenance_in,
    read,
    read_weights,
    save,
)

__all__ = [
    "Checkpoint",
    "CheckpointError",
    "Provenance",
    "fill",
    "load",
    "provenance_in",
    "read",
    "read_weights",
    "save",
]
