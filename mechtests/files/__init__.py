"""Atomic writing of files."""

from mechtests.files.atomic import atomic_write, write_bytes, write_text

__all__ = ["atomic_write", "write_bytes", "write_text"]
