"""Keys: strings, and tuples of keys."""

from typing import TypeAlias

Key: TypeAlias = "str | tuple[Key, ...]"


def key_text(key: Key) -> str:
    """The key as one string that no other key has: its Python literal, in ASCII.

    Raises:
        TypeError: it contains anything but strings and tuples, whose text might not be unique.
    """
    if type(key) is str:
        return ascii(key)
    if type(key) is tuple:
        return f"({''.join(f'{key_text(part)},' for part in key)})"
    raise TypeError(f"cache key: expected a str or a tuple of such, found the {type(key).__name__} {key!r}.")
