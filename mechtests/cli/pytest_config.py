"""pytest's configuration, which several subcommands need."""

from typing import Any

from mechtests.cli.error import CommandError
from mechtests.pytest_plugin.paths import ConfigurationError, Paths, paths_of_runs

Commands = Any
"""What :func:`argparse.ArgumentParser.add_subparsers` returns: ``commands.add_parser(name, help=…)`` adds one."""


def default_paths(option: str) -> Paths:
    """The paths that a run of ``pytest`` in the current folder reads and writes.

    Args:
        option: the option that the user can give instead; named in the error.
    """
    try:
        return paths_of_runs()
    except ConfigurationError as error:
        raise CommandError(f"pytest does not start here ({error}). Give the path with {option}.") from error
