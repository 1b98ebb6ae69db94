"""Where a run reads and writes. Imported without pytest, which only :func:`paths_of_runs` needs."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

RESULTS = "reports/latest/results.json"
HTML = "reports/latest/index.html"
CACHE = ".mechtests_cache"
HISTORY = "reports/history.db"


class ConfigurationError(Exception):
    """A folder in which pytest does not start."""


@dataclass(frozen=True)
class Paths:
    """Where one run reads and writes.

    Attributes:
        results: the results file.
        html: the report.
        cache: the folder of cached activations and judgements.
        history: the ledger: a file, or a database's URL.
        baseline: the recorded verdicts; ``None`` where there are none.
    """

    results: Path
    html: Path
    cache: Path
    history: str
    baseline: Path | None

    @classmethod
    def of(cls, config: "pytest.Config") -> "Paths":
        """The paths that the command line, the ini file and the defaults give, in this order.

        A path on the command line is relative to the folder in which pytest was started, any other to the root.
        """
        option, started, root = config.option, config.invocation_params.dir, config.rootpath

        def path(option: str | None, default: str) -> Path:
            return started / option if option else root / default

        history = option.claims_history or ""
        baseline = config.getini("claims_baseline")
        return cls(
            results=path(option.claims_results, RESULTS),
            html=path(option.claims_html, HTML),
            cache=path(option.claims_cache_dir, config.getini("claims_cache_dir") or CACHE),
            history=history if "://" in history else str(path(history, HISTORY)),
            baseline=path(option.claims_baseline, baseline) if option.claims_baseline or baseline else None,
        )


def paths_of_runs() -> Paths:
    """The paths of a run of pytest that is started in the current folder.

    Raises:
        ConfigurationError: pytest does not start here.
    """
    import pytest  # noqa: PLC0415 - not needed for the names above

    # The settings alone: no conftest is run, and pytest does not get ready to rewrite or capture anything.
    options = ["-p", "mechtests", "--noconftest", "--assert=plain", "--capture=no"]
    try:
        return Paths.of(pytest.Config.fromdictargs({}, options))
    except pytest.UsageError as error:
        raise ConfigurationError(str(error)) from error


def why_unwritable(path: Path) -> str | None:
    """Why no file can be written at ``path``, or ``None``; tried in the nearest folder that exists, leaving nothing."""
    try:
        if path.is_dir():
            return "it is a folder"
        nearest = next(folder for folder in path.parents if folder.exists())
        if not nearest.is_dir():
            return f"{nearest} is a file"
        with tempfile.TemporaryFile(dir=nearest) as probe:
            probe.write(b"probe")
    except OSError as error:
        return error.strerror or str(error)
    return None
