"""Errors of the user."""


class CommandError(Exception):
    """The request cannot be carried out: what was expected, what was found, what to do."""
