"""What several subcommands take and ask."""

from typing import Any

import pytest

from mechtests.cli.error import CommandError

Commands = Any
"""What :func:`argparse.ArgumentParser.add_subparsers` returns: ``commands.add_parser(name, help=…)`` adds one."""


def config_of_runs(option: str) -> pytest.Config:
    """The settings that ``pytest`` would have if it were started here.

    Args:
        option: what the user can give instead, told where pytest does not start.
    """
    # The settings alone: no conftest is run, and pytest does not get ready to rewrite or capture anything.
    options = ["-p", "mechtests", "--noconftest", "--assert=plain", "--capture=no"]
    try:
        return pytest.Config.fromdictargs({}, options)
    except pytest.UsageError as error:
        raise CommandError(f"pytest does not start here ({error}). Name the place with {option}.") from error
