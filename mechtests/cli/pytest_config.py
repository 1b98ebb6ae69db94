"""What several subcommands take and ask."""

from typing import Any

from mechtests.cli.error import CommandError
from mechtests.pytest_plugin.paths import ConfigurationError, Paths, paths_of_runs

Commands = Any
"""What :func:`argparse.ArgumentParser.add_subparsers` returns: ``commands.add_parser(name, help=…)`` adds one."""


def default_paths(option: str) -> Paths:
    """Where a run of ``pytest`` that is started here reads and writes.

    Args:
        option: what the user can give instead, named where pytest does not start.
    """
    try:
        return paths_of_runs()
    except ConfigurationError as error:
        raise CommandError(f"pytest does not start here ({error}). Name the place with {option}.") from error
