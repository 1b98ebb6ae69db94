"""Writing a file so that a reader sees the old content or the new, never a part of it."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def atomic_write(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """Replace ``path`` by what the block writes, or leave it as it is when the block raises.

    The block writes to another file in the same folder, whose name ends in 32 hexadecimal digits and ``.tmp``, so that
    several threads and processes can write the same file at once: one of them comes last, and nobody sees a mixture.

    Args:
        path: the file to write; its folder must exist.
        durable: whether the content is forced to the disk before the file gets its name, so that a power failure leaves
            the old content or the new. Without it, only a killed process does.

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
    """Write ``content`` to ``path`` atomically and durably; folders that are missing are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as unfinished:
        unfinished.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` in UTF-8 to ``path`` atomically and durably, its line ends as they are; makes missing folders."""
    write_bytes(path, text.encode("utf-8"))
