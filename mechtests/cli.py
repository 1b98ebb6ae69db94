"""The command line: ``mechtests SUBCOMMAND``. Each subcommand is a function here that adds its parser."""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from mechtests.cache import CacheError, Disk
from mechtests.checkpoints import CheckpointError
from mechtests.plugin import cache_folder
from mechtests.report import ResultsError, read_results, write_html
from mechtests.systems.odeformer_published import ADDRESS as PUBLISHED_ADDRESS
from mechtests.systems.odeformer_published import SIZE as PUBLISHED_SIZE
from mechtests.systems.odeformer_published import import_published

Commands = Any
"""What :func:`argparse.ArgumentParser.add_subparsers` returns: ``commands.add_parser(name, help=…)`` adds one."""


class CommandError(Exception):
    """What the user asked for cannot be done: what was expected, what was found, what to do."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0, or 2 after an error, told in one line."""
    parser = argparse.ArgumentParser(prog="mechtests", description="Mechanistic claims about models, put to the test.")
    commands = parser.add_subparsers(required=True, metavar="SUBCOMMAND")
    for add in SUBCOMMANDS:
        add(commands)
    given = parser.parse_args(arguments)
    try:
        given.run(given)
    except (CommandError, CacheError, CheckpointError, ResultsError) as error:
        print(f"mechtests: {error}", file=sys.stderr)
        return 2
    return 0


def add_cache(commands: Commands) -> None:
    """``mechtests cache info``, ``mechtests cache clear``: what runs keep on disk."""
    actions = commands.add_parser("cache", help="what runs keep on disk").add_subparsers(
        required=True, metavar="ACTION"
    )
    for name, run, does in [
        ("info", cache_info, "tell where it is and what it holds"),
        ("clear", cache_clear, "remove all that it holds"),
    ]:
        action = actions.add_parser(name, help=does)
        action.add_argument(
            "--dir", type=Path, metavar="DIR", help="the cache's folder (default: that of pytest's runs here)"
        )
        action.set_defaults(run=run)


def cache_info(given: argparse.Namespace) -> None:
    disk = _disk(given.dir)
    found = disk.survey()
    print(f"folder   {disk.folder}")
    print(f"entries  {found.entries:,}")
    print(f"size     {_size(found.bytes)} of {_size(disk.budget)}")
    if found.oldest and found.newest:
        print(f"used     {_date(found.oldest)} to {_date(found.newest)}")


def cache_clear(given: argparse.Namespace) -> None:
    disk = _disk(given.dir)
    found = disk.survey()
    disk.clear()
    print(f"removed {found.entries:,} entries, {_size(found.bytes)}, from {disk.folder}")


def add_report(commands: Commands) -> None:
    """``mechtests report RESULTS.json… -o DIR``: the page of one or several results files."""
    report = commands.add_parser("report", help="write the page to read of results files")
    report.add_argument("results", nargs="+", type=Path, metavar="RESULTS.json", help="a file that a run wrote")
    report.add_argument(
        "-o", "--output", type=Path, default=Path(), metavar="DIR", help="where index.html goes (default: here)"
    )
    report.set_defaults(run=write_report)


def write_report(given: argparse.Namespace) -> None:
    page = given.output / "index.html"
    try:
        write_html(page, [read_results(path) for path in given.results])
    except OSError as error:
        raise CommandError(f"{page}: {error.strerror}. Name a folder that can be written to with -o.") from error
    print(page)


def add_import(commands: Commands) -> None:
    """``mechtests import odeformer PATH [-o FILE]``: published weights as a checkpoint that is safe to read."""
    systems = commands.add_parser("import", help="turn published weights into a checkpoint").add_subparsers(
        required=True, metavar="SYSTEM"
    )
    odeformer = systems.add_parser("odeformer", help="odeformer.pt, as the odeformer package downloads it")
    odeformer.add_argument("path", type=Path, metavar="PATH", help="the file; nothing in it is run")
    odeformer.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="the checkpoint (default: beside PATH, .safetensors)"
    )
    odeformer.set_defaults(run=import_odeformer)


def import_odeformer(given: argparse.Namespace) -> None:
    target = given.output or given.path.with_suffix(".safetensors")
    if target.suffix != ".safetensors":
        raise CommandError(f"{target}: expected a name that ends in .safetensors.")
    import_published(given.path, target)
    print(f"{target}\njudge it with: pytest claims/odeformer --checkpoint odeformer={target}")


def add_fetch(commands: Commands) -> None:
    """``mechtests fetch odeformer [-o FILE]``: download published weights and import them."""
    systems = commands.add_parser("fetch", help="download published weights and import them").add_subparsers(
        required=True, metavar="SYSTEM"
    )
    odeformer = systems.add_parser("odeformer", help=f"odeformer.pt, {PUBLISHED_SIZE} from Google Drive")
    odeformer.add_argument(
        "-o", "--output", type=Path, default=Path("odeformer.safetensors"), metavar="FILE", help="the checkpoint"
    )
    odeformer.set_defaults(run=fetch_odeformer)


def fetch_odeformer(given: argparse.Namespace) -> None:
    given.path = given.output.with_suffix(".pt")
    if given.path.exists():
        print(f"{given.path} is there already and is not downloaded again")
    else:
        print(f"downloading {PUBLISHED_SIZE} from {PUBLISHED_ADDRESS} to {given.path}", flush=True)
        _download(PUBLISHED_ADDRESS, given.path)
    import_odeformer(given)


def _download(address: str, target: Path) -> None:
    try:
        import gdown  # noqa: PLC0415 - an optional dependency
    except ImportError:
        raise CommandError(
            f"downloads from Google Drive need gdown: pip install gdown. Or download {address} yourself and run: "
            f"mechtests import odeformer {target}"
        ) from None
    unfinished = target.with_suffix(".part")
    try:
        done = gdown.download(address, str(unfinished), quiet=False)
    except Exception as error:  # gdown and what it is made of raise all kinds
        done, reason = None, str(error).strip().splitlines()[:1]
    else:
        reason = []
    if not done:
        unfinished.unlink(missing_ok=True)
        raise CommandError(
            f"{address} cannot be downloaded{''.join(f' ({one})' for one in reason)}. Is this machine online? Or "
            f"download it elsewhere and run: mechtests import odeformer {target}"
        )
    unfinished.replace(target)


SUBCOMMANDS: list[Callable[[Commands], None]] = [add_cache, add_report, add_import, add_fetch]


def _disk(folder: Path | None) -> Disk:
    if folder is not None and not folder.exists():
        raise CommandError(f"{folder}: no such folder. Leave --dir out for the cache of pytest's runs here.")
    return Disk(folder or _folder_of_runs())


def _folder_of_runs() -> Path:
    """The folder that ``pytest`` would use if it were started here."""
    # The settings alone: no conftest is run, and pytest does not get ready to rewrite or capture anything.
    options = ["-p", "mechtests", "--noconftest", "--assert=plain", "--capture=no"]
    try:
        return cache_folder(pytest.Config.fromdictargs({}, options))
    except pytest.UsageError as error:
        raise CommandError(f"pytest does not start here ({error}). Name the folder with --dir.") from error


def _size(count: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


def _date(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
