"""The tier on disk: one safetensors file a tensor, in a folder that several processes may share.

A file appears whole or not at all, because it is written under another name and then renamed. Whoever is killed on the
way leaves at most a file under such a name. Nothing is forced to the disk itself: the system has what a killed process
wrote. When the machine loses power a file may be damaged; a checksum over all that it says tells, and it is not used.
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
"""Names the form of the files; those of another form lie in another folder."""

_TAG = "CACHEDIR.TAG"
_SIGNATURE = """Signature: 8a477f597d28d172789f06886806bc55
# What mechtests computed and need not compute again. Removing the folder loses nothing else.
# For the form of this file see https://bford.info/cachedir/
"""

_ENDING = ".safetensors"
_NAME = re.compile(r"[0-9a-f]{64}(\.safetensors|\.[0-9a-f]{32}\.tmp)")
_DEAD = 60.0
"""Seconds after which a file that nothing more was written to has lost its writer."""

_SHARE = 16
"""A process looks at what the others wrote after each such part of the budget that it writes itself."""

_SMALL = 1 << 16
"""Bytes up to which a tensor is small: judgements are, and what was worked out of a system; activations are not."""


class CacheError(Exception):
    """A folder that cannot be a cache: what was expected, what was found, what to do."""


@dataclass(frozen=True)
class Survey:
    """What a folder holds.

    Attributes:
        entries: tensors.
        bytes: their files' size together, in bytes.
        oldest, newest: when the least and the most recently used was used, in seconds since 1970.
    """

    entries: int
    bytes: int
    oldest: float | None
    newest: float | None


class Disk:
    """Tensors by the text of their key in files under ``folder``.

    The folder is made when the first tensor is put. Where it cannot be written, or no more can be, that is told once,
    and what is there is still read.

    Attributes:
        folder: where the files are.
        budget: how many bytes they may take. Large ones go before small ones, and of each the least recently used
            first, whoever wrote them. For a large one no small one goes, and none that was used since this began: once
            a run has filled the disk with activations it keeps these, and not the latest of an endless stream. One
            process keeps to the budget at any time; several may exceed it by a sixteenth or a tensor each before
            they look again.
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
            folder: where to keep the files; it is made, or is empty, or was made so before.
            budget: how many bytes they may take.
            device: where tensors that were not put on the CPU are given back; the CPU by default.
            tell: called with a line of text when something is wrong.

        Raises:
            CacheError: there is something else at ``folder``.
        """
        self.folder, self.budget = folder, budget
        self._device, self._tell = device, tell
        self._began, self._room, self._full = time.time(), 0, False
        self._reading = self._writing = True
        if folder.exists() and not folder.is_dir():
            raise CacheError(f"{folder}: expected a folder for the cache, found a file. Name another place.")
        with suppress(OSError):  # told when it is used
            if folder.exists() and not (folder / _TAG).exists() and any(folder.iterdir()):
                raise CacheError(
                    f"{folder}: holds other things than a cache of mechtests (it has no {_TAG}). "
                    "Name an empty folder, or one that does not exist yet."
                )

    def get(self, text: str) -> Tensor | None:
        """The tensor whose key reads ``text``; ``None`` where there is none, or none that can be trusted."""
        if not self._reading:
            return None
        path = self._path(text)
        try:
            found, tensor = _read(path, self._device)
        except FileNotFoundError:
            return None  # never written, or another process made room
        except _DamagedError as error:
            self._tell(f"{path}: damaged ({error}). What it held is computed anew.")
            return None
        except OSError as error:
            self._reading = self._writing = False
            self._tell(f"{path}: cannot be read ({error.strerror}). The run goes on without the cache on disk.")
            return None
        if found != text:
            return None  # somebody renamed it
        with suppress(OSError):  # not ours, or on a disk that cannot be written: it leaves sooner than it might
            os.utime(path)
        return tensor

    def put(self, text: str, tensor: Tensor) -> None:
        """Keep ``tensor``, whose elements lie side by side in some order, for the key that reads ``text``."""
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
            self._tell(f"{self.folder}: cannot be written ({error.strerror}). The run keeps no more on disk.")

    def survey(self) -> Survey:
        """What there is, whoever wrote it."""
        files = [(file.stat, file.finished) for file in self._files()]
        used = [stat.st_mtime for stat, finished in files if finished]
        bytes_ = sum(stat.st_size for stat, _ in files)
        return Survey(len(used), bytes_, min(used, default=None), max(used, default=None))

    def clear(self) -> None:
        """Remove every tensor, and what writers left unfinished. A run that uses the folder goes on."""
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
        # Before all else it says that it is a cache: a later run knows it as its own, backups and git leave it alone.
        (self.folder / _TAG).write_text(_SIGNATURE)
        (self.folder / ".gitignore").write_text("*\n")
        os.makedirs(folder, exist_ok=True)

    def _make_room(self, size: int) -> bool:
        """Whether a file of ``size`` bytes may be written, now that others made room for it."""
        if size > self.budget or (self._full and size > _SMALL):
            return False
        if size > self._room:
            self._room = self._look(size)
            if size > self._room:
                self._full = True
                return False
        self._room -= size
        return True

    def _look(self, size: int) -> int:
        """How many bytes may be written before looking again."""
        files, total, share = [], 0, self.budget // _SHARE
        for file in self._files():
            if not file.finished and time.time() - file.stat.st_mtime > _DEAD:
                _remove(file.path)
                continue
            files.append(file)
            total += file.stat.st_size
        if total + size > self.budget:
            may_go = [file for file in files if file.finished and self._may_go(file.stat, size)]
            # A whole share is freed, so that not every tensor that follows needs another look.
            for file in sorted(may_go, key=lambda file: (file.stat.st_size <= _SMALL, file.stat.st_mtime)):
                if total + size <= self.budget - share:
                    break
                _remove(file.path)
                total -= file.stat.st_size
        return min(self.budget - total, max(size, share))

    def _may_go(self, stat: os.stat_result, size: int) -> bool:
        """Whether a file may leave for one of ``size`` bytes."""
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

    The form is that of safetensors. It knows fewer types than torch, and no strides, so they are told beside it.
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
    """The one header that a file with this entry and these bytes may have."""
    # The fastest at hand that sees every flipped bit: SHA-256 and BLAKE2 take four times as long or more.
    checksum = f"{zlib.crc32(raw, zlib.crc32(entry.encode())):08x}"
    layout = {"dtype": "U8", "shape": [raw.nbytes], "data_offsets": [0, raw.nbytes]}
    header = json.dumps({"__metadata__": {"entry": entry, "crc32": checksum}, "bytes": layout}).encode()
    return header + b" " * (-len(header) % 8)


def _read(path: str, device: torch.device | None) -> tuple[str, Tensor]:
    """The key's text and the tensor that the file at ``path`` holds.

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
        # A tensor as it was put: what was made in inference mode cannot be changed and records no gradient.
        with torch.inference_mode(inference):
            raw = torch.empty(size - 8 - length, dtype=torch.uint8)
            bytes_ = raw.numpy().data
            if file.readinto(bytes_) < len(bytes_) or header != _header(entry, bytes_):
                raise _DamagedError("its checksum is another")
            if device is not None and about["device"] != "cpu":
                raw = raw.to(device)
            flat = raw.view(dtype)
            return about["key"], flat.as_strided(about["shape"], about["stride"])
