"""How the cache reports problems. None is an error: a tensor that is not found is computed."""

import warnings


class CacheWarning(UserWarning):
    """The cache could not store or read a tensor, or found it damaged."""


def warn(message: str) -> None:
    """Report ``message`` as a warning. The pytest plugin reports it at the end of the run instead."""
    warnings.warn(message, CacheWarning, stacklevel=2)
