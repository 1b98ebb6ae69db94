"""What a result may depend on besides its arguments: the code that ran, the packages, the files that were read.

The body of a claim test is arbitrary Python. Its result can be reused in a later run only if everything that it depends
on is the same. So an audit hook records the code that the process runs, the files that it opens, and its use of other
processes and databases; if any of this cannot be described, nothing is cached.

Not recorded are files that a library opens without Python's knowledge, the names of files in a folder that is listed,
and what is read while a package is imported, because the package's version identifies it.
"""

import os
import stat
import sys
import sysconfig
import threading
import time
import uuid
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib.metadata import distributions
from pathlib import Path
from types import CodeType
from typing import Any, Literal

import torch

from mechtests.cache.fingerprint import PACKAGE, code_fingerprint, hashed, value_fingerprint


def _with_separator(paths: Iterable[str]) -> tuple[str, ...]:
    return tuple({f"{path}{os.sep}" for one in paths for path in (one, os.path.realpath(one))})


_PLACES = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
_PLACES += [path for path in sys.path if os.path.basename(path) in ("site-packages", "dist-packages")]
_ELSEWHERE = _with_separator([*_PLACES, str(PACKAGE), "/proc", "/sys", "/dev"])
"""Folders of Python, the packages and the system: identified by versions or a fingerprint, or no files at all."""
_SCRIPTS = _with_separator([sysconfig.get_path("scripts")])
_TOOLS = {".git", ".hypothesis", ".pytest_cache", "__pycache__", "reports"}
"""Folders of tools: what these read there, not requested by the project's code, has no effect on a measurement."""
_IMPORT = "<frozen importlib"
_FRAMEWORK = (f"{os.sep}pluggy{os.sep}", f"{os.sep}_pytest{os.sep}")
"""Parts of the file names of code that calls hooks, on behalf of nobody in the project."""

_OUTSIDE = {
    *("sqlite3.connect", "socket.connect", "subprocess.Popen"),
    *("os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.system"),
}
"""Events by which the project's code may obtain information that is in no recorded file."""

_ENVIRONMENT = {"environ", "environb", "getenv", "getenvb"}
_OF_LIBRARIES = (
    *("ATEN_", "BLIS_", "CUBLAS_", "CUDA_", "CUDNN_", "HF_", "KMP_", "MKL_", "NUMEXPR_", "NVIDIA_", "OMP_"),
    *("OPENBLAS_", "PYTORCH_", "TORCH_", "TRANSFORMERS_", "VECLIB_"),
)
"""Prefixes of variables that libraries read, whatever the project's code does."""
_OF_THE_RUN = ("PYTEST_CURRENT_TEST", "PYTEST_XDIST_", "_", "OLDPWD", "SHLVL")

_BEGAN = time.time()
_YOUNG = 60.0
"""Seconds by which a file must be older than this module's import to have been loaded before it."""


Asker = Literal["project", "import", "framework"]


@dataclass(eq=False)
class _Event:
    """A recorded event: a file was opened, code ran, or another process or a database was used.

    Attributes:
        kind: ``file``, ``code`` or ``outside``.
        path: of the file; for ``outside``, the name of the audit event.
        subject: the file's state when it was opened, ``None`` if it did not exist; or the code.
        asked: whether code of the project caused it.
        of_a_model: whether the file belongs to one model, and has no effect on others.
    """

    kind: str
    path: str
    subject: Any
    asked: bool
    of_a_model: bool = field(default=False)

    @cached_property
    def is_input(self) -> bool:
        """Whether it is an input, and not a tool's own file, a folder or a device."""
        own = self.asked or _TOOLS.isdisjoint(Path(self.path).parts)
        return own and (self.subject is None or stat.S_ISREG(self.subject[0]) or stat.S_ISFIFO(self.subject[0]))

    @cached_property
    def reads_environment(self) -> bool:
        """Whether it is code that refers to environment variables."""
        return self.kind == "code" and bool(_names(self.subject) & _ENVIRONMENT)


_events: list[_Event] = []
_here = threading.local()
"""Has ``reads`` set while files are opened that count for nothing."""


def _listen(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and not getattr(_here, "reads", False):
        path, mode, flags = arguments
        made = flags & (os.O_EXCL | os.O_TRUNC)  # then there is nothing in it to be read
        reads = flags & os.O_ACCMODE != os.O_WRONLY if mode is None else "r" in mode or "+" in mode
        if isinstance(path, str | bytes | os.PathLike) and reads and not made:
            name = os.fsdecode(path)
            # A name in brackets is one by which Python looks for code that is in no file.
            if not (name.startswith("<") and name.endswith(">")) and (asker := _asker()) != "import":
                _heard_file(os.path.abspath(name), asker)
    elif event == "exec":
        (code,) = arguments
        if isinstance(code, CodeType) and code.co_filename and not code.co_filename.startswith("<"):
            path = os.path.abspath(code.co_filename)
            if not path.startswith(_ELSEWHERE):
                _events.append(_Event("code", path, code, True))
    elif event == "import":
        if isinstance(arguments[1], str):  # of an extension module
            _heard_file(os.path.abspath(arguments[1]), "import")
    elif event in _OUTSIDE and _asker() == "project":
        _events.append(_Event("outside", event, None, True))


def _heard_file(path: str, asker: Asker) -> None:
    if not path.startswith(_ELSEWHERE):
        _events.append(_Event("file", path, _state(path), asker == "project"))


def _asker() -> Asker:
    """The cause of the event: code of the project, the import of a module, or pytest, a plugin or a script."""
    frame = sys._getframe(2)
    while frame is not None:
        name = frame.f_code.co_filename
        if name.startswith(_IMPORT) and frame.f_code.co_name != "get_data":  # which pkgutil.get_data calls for data
            return "import"
        if any(part in name for part in _FRAMEWORK):
            return "framework"
        if not name.startswith(("<", *_ELSEWHERE)):
            is_script = frame.f_globals.get("__name__") == "__main__" and name.startswith(_SCRIPTS)
            return "framework" if is_script else "project"
        frame = frame.f_back  # type: ignore[assignment]
    return "framework"


def _state(path: str) -> tuple[int, ...] | None:
    """Attributes that change when the file does; ``None`` if it does not exist."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return stat.S_IFMT(found.st_mode), found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


sys.addaudithook(_listen)


@dataclass(frozen=True)
class Moment:
    """A moment of this process, as the number of events recorded by then."""

    heard: int

    @classmethod
    def now(cls) -> "Moment":
        return cls(len(_events))

    def nothing_since(self, apart_from: Path) -> bool:
        """Whether nothing was recorded since, apart from tools' own files and files in the given folder."""
        return not any(True for _ in _relevant(_events[self.heard :], apart_from))


class _UnknownError(Exception):
    """Something that a result may depend on cannot be described."""


def surroundings(apart_from: Path) -> str | None:
    """A sha256 of the events so far, the packages' versions, and torch's settings; ``None`` if unknown."""
    packages = sorted(set().union(*(_packages(folder, _state(folder)) for folder in map(os.path.abspath, sys.path))))
    try:
        heard = [*_described(_events, apart_from), *_loaded_before()]
    except _UnknownError:
        return None
    return hashed(code_fingerprint(), sys.version, str(torch.get_num_threads()), *packages, *heard)


@cache
def _packages(folder: str, _folder_state: tuple[int, ...] | None) -> frozenset[str]:
    """The distributions installed in a folder, with their versions; read again only when the folder has changed.

    Reading the metadata of a few hundred distributions takes a tenth of a second.
    """
    return frozenset(f"{one.metadata['Name']} {one.version}" for one in distributions(path=[folder]))


def since(moment: Moment, apart_from: Path) -> str | None:
    """A sha256 of the events since ``moment``, and of environment variables; ``None`` if unknown."""
    try:
        return hashed(*_described(_events[moment.heard :], apart_from), *_environment())
    except _UnknownError:
        return None


def side_files(moment: Moment, covered: Collection[Path], apart_from: Path | None) -> str | None:
    """A sha256 of the files read since ``moment`` to load a model; ``None`` if all of them are in ``covered``.

    From now on they are attributed to that model alone.
    """
    known = {os.path.abspath(path) for path in covered}
    files = [event for event in _relevant(_events[moment.heard :], apart_from) if event.kind == "file"]
    for event in files:
        event.of_a_model = True
    try:
        contents = _contents(event for event in files if event.path not in known)
    except _UnknownError:
        return uuid.uuid4().hex
    return hashed(*contents) if contents else None


def _relevant(events: Iterable[_Event], apart_from: Path | None) -> Iterator[_Event]:
    executed = {event.path for event in _events if event.kind == "code"}
    left_out = os.path.join(apart_from, "") if apart_from else None
    for event in events:
        if event.kind == "file":
            if not event.is_input or event.of_a_model or event.path in executed:
                continue
            if left_out and event.path.startswith(left_out):
                continue
        yield event


def _described(events: Iterable[_Event], apart_from: Path) -> list[str]:
    found = list(_relevant(events, apart_from))
    if any(event.kind == "outside" for event in found):
        raise _UnknownError
    code = {f"{event.path}\0{value_fingerprint(event.subject)}" for event in found if event.kind == "code"}
    return [*sorted(code), *_contents(event for event in found if event.kind == "file")]


def _contents(files: Iterable[_Event]) -> list[str]:
    """Paths and digests of files as they were when they were opened.

    Raises:
        _UnknownError: one was changed since, or can be read only once.
    """
    described = set()
    for event in files:
        if event.subject is not None and not stat.S_ISREG(event.subject[0]):
            raise _UnknownError
        try:
            content = _hashed_file(event.path) if event.subject else "none"
        except OSError as error:
            raise _UnknownError from error
        if _state(event.path) != event.subject:
            raise _UnknownError
        described.add(f"{event.path}\0{content}")
    return sorted(described)


def _loaded_before() -> list[str]:
    """The files of the project's modules that were loaded before the audit hook was installed."""
    executed = {event.path for event in _events if event.kind == "code"}
    described = []
    for name, module in sys.modules.copy().items():
        path = os.path.abspath(getattr(module, "__file__", None) or "/dev/null")
        script = name == "__main__" and path.startswith(_SCRIPTS)
        if path in executed or script or path.startswith(_ELSEWHERE) or not os.path.isfile(path):
            continue
        found = os.stat(path)
        if max(found.st_mtime, found.st_ctime) > _BEGAN - _YOUNG:
            raise _UnknownError
        described.append(f"{path}\0{_hashed_file(path)}")
    return sorted(described)


def _hashed_file(path: str) -> str:
    with unheard():
        return hashed(Path(path).read_bytes())


@contextmanager
def unheard() -> Iterator[None]:
    """Files that the block opens say nothing of what a claim measures."""
    before, _here.reads = getattr(_here, "reads", False), True
    try:
        yield
    finally:
        _here.reads = before


def _environment() -> list[str]:
    """The variables that libraries read; all variables if the project's code reads any."""
    reads = any(event.reads_environment for event in _events)
    return sorted(
        f"{name}={value}"
        for name, value in os.environ.items()
        if name.startswith(_OF_LIBRARIES) or (reads and not name.startswith(_OF_THE_RUN))
    )


def _names(code: CodeType) -> set[str]:
    inner = (_names(one) for one in code.co_consts if isinstance(one, CodeType))
    return {*code.co_names}.union(*inner)
