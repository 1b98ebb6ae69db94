"""What a user did wrong."""


class CommandError(Exception):
    """What the user asked for cannot be done: what was expected, what was found, what to do."""
