"""What a result may depend on besides its arguments: the code that is loaded, the packages, the files that were read.

A body of claims is any Python. What it comes to can be kept from run to run only if all of this is the same.
"""

import os
import sys
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import torch

from mechtests.cache.fingerprint import PACKAGE, code_fingerprint, hashed

_PLACES = (sys.prefix, sys.base_prefix, *sysconfig.get_paths().values(), str(PACKAGE), "/proc", "/sys")
_ELSEWHERE = tuple({f"{path}{os.sep}" for path in _PLACES})
"""Where Python, the packages and the system live: told by their versions, by a fingerprint, or by no file at all."""
_TOOLS = {".git", ".hypothesis", ".pytest_cache", "__pycache__", "reports"}
"""Folders of tools, whose files say nothing of what a claim measures."""

_opened: list[str] = []


def _listen(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open":
        path, mode, _ = arguments
        if isinstance(path, str) and (mode is None or "r" in mode or "+" in mode):
            _opened.append(path)


sys.addaudithook(_listen)


@dataclass(frozen=True)
class Moment:
    """A moment of this process, told by how much it had opened and loaded."""

    opened: int
    loaded: int

    @classmethod
    def now(cls) -> "Moment":
        return cls(len(_opened), len(sys.modules))

    def nothing_since(self, apart_from: Path) -> bool:
        """Whether no code was loaded since, and no file read, other than tools' own files and those in a folder.

        Files that a library maps into memory without Python's knowledge are not seen.
        """
        loaded = list(sys.modules.values())[self.loaded :]
        return not any(map(_own, loaded)) and not _telling(_opened[self.opened :], apart_from)


def surroundings(apart_from: Path) -> str:
    """A sha256 of the code loaded, the packages' versions, the files read so far, and how torch is set up."""
    packages = sorted({f"{one.metadata['Name']} {one.version}" for one in distributions()})
    own = {file for module in sys.modules.copy().values() if (file := _own(module))}
    code = [f"{file}\0{hashed(Path(file).read_bytes())}" for file in sorted(own)]
    read = []
    for path in sorted(_telling(_opened, apart_from)):
        stat = os.stat(path)
        read.append(f"{path} {stat.st_size} {stat.st_mtime_ns}")
    return hashed(code_fingerprint(), sys.version, str(torch.get_num_threads()), *packages, *code, *read)


def _own(module: Any) -> str | None:
    """The file of a module that belongs to no installed package."""
    file = getattr(module, "__file__", None)
    return file if file and not file.startswith(_ELSEWHERE) and os.path.isfile(file) else None


def _telling(paths: Iterable[str], apart_from: Path) -> set[str]:
    return {path for path in set(paths) if _tells(Path(os.path.abspath(path)), apart_from)}


def _tells(path: Path, apart_from: Path) -> bool:
    return (
        path.suffix not in (".py", ".pyc", ".so")
        and not str(path).startswith(_ELSEWHERE)
        and _TOOLS.isdisjoint(path.parts)
        and apart_from not in path.parents
        and path.is_file()
    )
