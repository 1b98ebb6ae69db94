"""Errors in the user's code, shown by the user's own lines."""

import sysconfig
import traceback
from pathlib import Path
from types import TracebackType

import pytest

PACKAGE = Path(__file__).parents[1]

_STANDARD_LIBRARY = Path(sysconfig.get_path("stdlib"))
_INSTALLED = {"site-packages", "dist-packages"}
"""Folders of installed packages."""


def is_ours(error: BaseException) -> bool:
    """Whether the package itself raised ``error``, so that its message says all there is to say."""
    frames = traceback.extract_tb(error.__traceback__)
    raised_here = bool(frames) and Path(frames[-1].filename).is_relative_to(PACKAGE)
    return isinstance(error, Exception) and (_is_of_the_package(type(error)) or raised_here)


def in_one_message(error: BaseException, root: Path, otherwise: str) -> str:
    """``file:line: Error: message`` and the innermost line of the user's that led to ``error``.

    Args:
        error: what was raised.
        root: the folder that files are named from.
        otherwise: the place to name where none of the user's lines led to it.
    """
    message = f"{type(error).__name__}: {error}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_the_users(frame.filename)]
    if not frames:
        return f"{otherwise}: {message}"
    path = Path(frames[-1].filename)
    place = path.relative_to(root) if path.is_relative_to(root) else path
    return f"{place}:{frames[-1].lineno}: {message}\n    {frames[-1].line}"


def cut_tracebacks(error: BaseException) -> None:
    """Leave the user's own lines in the traceback of ``error`` and of the errors that led to it."""
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        one.__traceback__ = _cut(one.__traceback__)
        one = one.__cause__ or one.__context__


def shown(excinfo: pytest.ExceptionInfo[BaseException], item: pytest.Item) -> pytest.ExceptionInfo[BaseException]:
    """``excinfo`` as a claim test's report shows it: an error of ours in one message, another by the user's lines."""
    error = excinfo.value
    if item.config.getoption("fulltrace") or not isinstance(error, Exception):
        return excinfo
    if is_ours(error):
        message = in_one_message(error, item.config.rootpath, item.nodeid)
        failure = pytest.fail.Exception(message, pytrace=False).with_traceback(error.__traceback__)
        return pytest.ExceptionInfo.from_exception(failure)
    cut_tracebacks(error)
    return pytest.ExceptionInfo.from_exception(error)


def show_in_collection(report: pytest.CollectReport, collector: pytest.Collector) -> None:
    """Let ``report`` show an error of ours, made by what a file states, in one message."""
    excinfo = report.call.excinfo if report.call else None
    if excinfo and is_ours(excinfo.value) and not collector.config.getoption("fulltrace"):
        report.longrepr = in_one_message(excinfo.value, collector.config.rootpath, collector.nodeid)


def _is_of_the_package(kind: type) -> bool:
    return kind.__module__.partition(".")[0] == PACKAGE.name


def _is_the_users(filename: str) -> bool:
    path = Path(filename)
    libraries = (PACKAGE, _STANDARD_LIBRARY)
    return path.is_file() and not _INSTALLED & {*path.parts} and not any(map(path.is_relative_to, libraries))


def _cut(whole: TracebackType | None) -> TracebackType | None:
    entries, entry = [], whole
    while entry is not None:
        if _is_the_users(entry.tb_frame.f_code.co_filename):
            entries.append(entry)
        entry = entry.tb_next
    cut: TracebackType | None = None
    for entry in reversed(entries):
        cut = TracebackType(cut, entry.tb_frame, entry.tb_lasti, entry.tb_lineno)
    return cut or whole
