"""The tier on disk: one safetensors file per tensor, in a folder that several processes may share.

Files are written under a temporary name and then renamed, so no reader sees an incomplete one; a process that is killed
leaves at most a temporary file. There is no ``fsync``: the operating system completes the writes of a killed process.
After a power failure a file may be damaged; a checksum over all its content detects this, and the file is not used.
"""

import json
import os
import re
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import torch
from torch import Tensor

from mechtests.cache.warning import warn
from mechtests.files import atomic_write

_FORM = "v1"
"""Version of the file format; files of another version are in another folder."""

_TAG = "CACHEDIR.TAG"
_SIGNATURE = """Signature: 8a477f597d28d172789f06886806bc55
# What mechtests computed and need not compute again. Removing the folder loses nothing else.
# For the form of this file see https://bford.info/cachedir/
"""

_ENDING = ".safetensors"
_NAME = re.compile(r"[0-9a-f]{64}(\.safetensors|\.[0-9a-f]{32}\.tmp)")
_DEAD = 60.0
"""Seconds without a write after which the writer of a temporary file is considered dead."""

_SHARE = 16
"""A process scans the folder after writing this fraction, 1/16, of the budget."""

_SMALL = 1 << 16
"""Bytes up to which a tensor is small: judgements and memoized results are, activations are not."""


class CacheError(Exception):
    """A folder that cannot be a cache: what was expected, what was found, what to do."""


@dataclass(frozen=True)
class Survey:
    """The contents of a cache folder.

    Attributes:
        entries: tensors.
        bytes: the total size of their files, in bytes.
        oldest, newest: last use of the least and of the most recently used entry, in seconds since 1970.
    """

    entries: int
    bytes: int
    oldest: float | None
    newest: float | None


class Disk:
    """Tensors by the text of their key in files under ``folder``.

    The folder is created when the first tensor is put. If it cannot be written, this is reported once, and existing
    entries are still read.

    Attributes:
        folder: where the files are.
        budget: the most bytes that the files may take. Large entries are evicted before small ones, and the least
            recently used first, whichever process wrote them. A large entry never evicts a small one, nor one that was
            used since this object was created: once a run has filled the disk with activations it keeps these, rather
            than the latest of an endless stream. A single process never exceeds the budget; each further one may, by a
            sixteenth or by one tensor.
    """

    def __init__(
        self,
        folder: Path,
        *,
        budget: int = 8 << 30,
        device: torch.device | None = None,
        tell: Callable[[str], None] = warn,
    ) -> None:
        """A tier on disk.

        Args:
            folder: where the files are: a folder that does not exist, is empty, or is a cache already.
            budget: the most bytes that the files may take.
            device: the device on which tensors that were put from another device than the CPU are returned; the CPU by
                default.
            tell: called with a line of text when something is wrong.

        Raises:
            CacheError: ``folder`` is something else.
        """
        self.folder, self.budget = folder, budget
        self._device, self._tell = device, tell
        self._began, self._room, self._full = time.time(), 0, False
        self._reading = self._writing = True
        if folder.exists() and not folder.is_dir():
            raise CacheError(f"{folder}: expected a folder for the cache, found a file. Name another place.")
        with suppress(OSError):  # reported when it is used
            if folder.exists() and not (folder / _TAG).exists() and any(folder.iterdir()):
                raise CacheError(
                    f"{folder}: contains other files than a mechtests cache (it has no {_TAG}). "
                    "Name an empty folder, or one that does not exist yet."
                )

    def get(self, text: str) -> Tensor | None:
        """The tensor whose key has the text ``text``; ``None`` if there is none, or its file is damaged."""
        if not self._reading:
            return None
        path = self._path(text)
        try:
            found, tensor = _read(path, self._device)
        except FileNotFoundError:
            return None  # never written, or evicted by another process
        except _DamagedError as error:
            self._tell(f"{path}: damaged ({error}). Its tensor is computed again.")
            return None
        except OSError as error:
            self._reading = self._writing = False
            self._tell(f"{path}: cannot be read ({error.strerror}). The run continues without the cache on disk.")
            return None
        if found != text:
            return None  # somebody renamed it
        with suppress(OSError):  # no permission, or a read-only disk: it is evicted earlier than it should be
            os.utime(path)
        return tensor

    def put(self, text: str, tensor: Tensor) -> None:
        """Store ``tensor``, which is dense in some order of its axes, under the key whose text is ``text``."""
        if not self._writing or tensor.nbytes > self.budget:
            return
        parts = _parts(text, tensor)
        try:
            if self._make_room(sum(map(len, parts))):
                self._write(self._path(text), parts)
        except FileNotFoundError:
            pass  # another process cleared the folder at this very moment
        except OSError as error:
            self._writing = False
            self._tell(
                f"{self.folder}: cannot be written ({error.strerror}). Nothing more is cached on disk in this run."
            )

    def survey(self) -> Survey:
        """The contents of the folder, whichever process wrote them."""
        files = [(file.stat, file.finished) for file in self._files()]
        used = [stat.st_mtime for stat, finished in files if finished]
        bytes_ = sum(stat.st_size for stat, _ in files)
        return Survey(len(used), bytes_, min(used, default=None), max(used, default=None))

    def clear(self) -> None:
        """Remove every tensor and every temporary file. A run that uses the folder continues."""
        for file in self._files():
            _remove(file.path)  # folders stay, because somebody may be about to write there

    def _path(self, text: str) -> str:
        name = sha256(text.encode()).hexdigest()
        return f"{self.folder}/{_FORM}/{name[:2]}/{name}{_ENDING}"

    def _write(self, path: str, parts: tuple[bytes, bytes, memoryview]) -> None:
        if not os.path.isdir(folder := os.path.dirname(path)):
            self._make_folder(folder)
        with atomic_write(Path(path), durable=False) as unfinished, unfinished.open("xb") as file:
            file.writelines(parts)

    def _make_folder(self, folder: str) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        # The tag comes first: by it later runs recognise the folder, and backup programs skip it; git ignores it, too.
        (self.folder / _TAG).write_text(_SIGNATURE)
        (self.folder / ".gitignore").write_text("*\n")
        os.makedirs(folder, exist_ok=True)

    def _make_room(self, size: int) -> bool:
        """Whether a file of ``size`` bytes may be written; evicts others to make room for it."""
        if size > self.budget or (self._full and size > _SMALL):
            return False
        if size > self._room:
            self._room = self._scan(size)
            if size > self._room:
                self._full = True
                return False
        self._room -= size
        return True

    def _scan(self, size: int) -> int:
        """Evict what must be evicted, and return how many bytes may be written before the next scan."""
        files, total, share = [], 0, self.budget // _SHARE
        for file in self._files():
            if not file.finished and time.time() - file.stat.st_mtime > _DEAD:
                _remove(file.path)
                continue
            files.append(file)
            total += file.stat.st_size
        if total + size > self.budget:
            evictable = [file for file in files if file.finished and self._evictable(file.stat, size)]
            # A whole share is freed, so that not every tensor that follows needs another scan.
            for file in sorted(evictable, key=lambda file: (file.stat.st_size <= _SMALL, file.stat.st_mtime)):
                if total + size <= self.budget - share:
                    break
                _remove(file.path)
                total -= file.stat.st_size
        return min(self.budget - total, max(size, share))

    def _evictable(self, stat: os.stat_result, size: int) -> bool:
        """Whether a file may be evicted for one of ``size`` bytes."""
        return size <= _SMALL or (stat.st_size > _SMALL and stat.st_mtime < self._began)

    def _files(self) -> Iterator["_File"]:
        for folder in _listed(self.folder / _FORM):
            for found in _listed(folder.path):
                if _NAME.fullmatch(found.name):
                    with suppress(FileNotFoundError):  # gone since
                        yield _File(found.path, found.stat(), found.name.endswith(_ENDING))


@dataclass(frozen=True)
class _File:
    path: str
    stat: os.stat_result
    finished: bool


class _DamagedError(Exception):
    pass


def _remove(path: str) -> None:
    with suppress(FileNotFoundError):
        os.remove(path)


def _listed(folder: Path | str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return list(found)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _parts(text: str, tensor: Tensor) -> tuple[bytes, bytes, memoryview]:
    """The parts of a tensor's file: the length of its header, the header, and the bytes in the order of its memory.

    The format is safetensors. It has fewer types than torch, and no strides, so both are stored in the metadata.
    """
    flat = tensor.as_strided((tensor.numel(),), (1,)).cpu()
    raw = flat.view(torch.uint8).numpy().data
    about = {
        "key": text,
        "dtype": str(tensor.dtype).removeprefix("torch."),
        "shape": tensor.shape,
        "stride": tensor.stride(),
        "device": tensor.device.type,
        "inference": tensor.is_inference(),
    }
    header = _header(json.dumps(about), raw)
    return len(header).to_bytes(8, "little"), header, raw


def _header(entry: str, raw: memoryview) -> bytes:
    """The only valid header of a file with this entry and these bytes."""
    # The fastest available that detects every flipped bit: SHA-256 and BLAKE2 take four times as long or more.
    checksum = f"{zlib.crc32(raw, zlib.crc32(entry.encode())):08x}"
    layout = {"dtype": "U8", "shape": [raw.nbytes], "data_offsets": [0, raw.nbytes]}
    header = json.dumps({"__metadata__": {"entry": entry, "crc32": checksum}, "bytes": layout}).encode()
    return header + b" " * (-len(header) % 8)


def _read(path: str, device: torch.device | None) -> tuple[str, Tensor]:
    """The key's text and the tensor in the file at ``path``.

    The library's reader opens a file twice, and between the two another process may replace or remove it.
    """
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        length = int.from_bytes(file.read(8), "little")
        if length > size - 8:
            raise _DamagedError("it is truncated")
        header = file.read(length)
        try:
            entry = json.loads(header)["__metadata__"]["entry"]
            about = json.loads(entry)
            dtype, inference = getattr(torch, about["dtype"]), bool(about["inference"])
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise _DamagedError("its header cannot be read") from error
        # As it was put: an inference tensor cannot be changed in place and records no gradient.
        with torch.inference_mode(inference):
            raw = torch.empty(size - 8 - length, dtype=torch.uint8)
            bytes_ = raw.numpy().data
            if file.readinto(bytes_) < len(bytes_) or header != _header(entry, bytes_):
                raise _DamagedError("its checksum does not match")
            if device is not None and about["device"] != "cpu":
                raw = raw.to(device)
            flat = raw.view(dtype)
            return about["key"], flat.as_strided(about["shape"], about["stride"])
