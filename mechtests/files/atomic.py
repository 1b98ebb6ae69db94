"""Atomic writing: a reader sees the old content of a file or the new, never a part of it."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def atomic_write(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """Replace ``path`` by what the block writes, or leave it as it is when the block raises.

    The block writes to another file in the same folder, whose name ends in 32 hexadecimal digits and ``.tmp``, so that
    several threads and processes can write the same file at once: the last one wins, and no reader sees a mixture.

    Args:
        path: the file to write; its folder must exist.
        durable: whether the content is forced to the disk before the file is renamed, so that the file is intact even
            after a power failure. Otherwise it is intact only after the process is killed.

    Yields:
        The path to write to.
    """
    unfinished = path.with_suffix(f".{uuid.uuid4().hex}.tmp")
    try:
        yield unfinished
        if durable:
            with unfinished.open("rb") as file:
                os.fsync(file.fileno())
        os.replace(unfinished, path)
    finally:
        with suppress(OSError):
            unfinished.unlink()


def write_bytes(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path`` atomically and durably; creates missing folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as unfinished:
        unfinished.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` in UTF-8 to ``path`` atomically and durably, line ends unchanged; creates missing folders."""
    write_bytes(path, text.encode("utf-8"))
