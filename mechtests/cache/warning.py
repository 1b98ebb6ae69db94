"""How the cache tells what went wrong. Nothing that does is an error: a tensor that is not found is computed."""

import warnings


class CacheWarning(UserWarning):
    """The cache could not keep, find or trust a tensor."""


def warn(message: str) -> None:
    """Tell ``message`` to whoever uses the library. The plugin tells it at the end of the run instead, see there."""
    warnings.warn(message, CacheWarning, stacklevel=2)
