"""``mechtests cache``: the cache on disk."""

import argparse
import time
from pathlib import Path

from mechtests.cache import Disk
from mechtests.cli.error import CommandError
from mechtests.cli.pytest_config import Commands, default_paths


def add_cache(commands: Commands) -> None:
    """``mechtests cache info``, ``mechtests cache clear``: the cache on disk."""
    actions = commands.add_parser("cache", help="inspect or clear the cache on disk").add_subparsers(
        required=True, metavar="ACTION"
    )
    for name, run, does in [
        ("info", cache_info, "show its folder and its contents"),
        ("clear", cache_clear, "remove its contents"),
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


def _disk(folder: Path | None) -> Disk:
    if folder is not None and not folder.exists():
        raise CommandError(f"{folder}: no such folder. Leave --dir out for the cache of pytest's runs here.")
    return Disk(folder or default_paths("--dir").cache)


def _size(count: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


def _date(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
