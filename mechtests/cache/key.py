"""Keys: texts, and tuples of keys."""

from typing import TypeAlias

Key: TypeAlias = "str | tuple[Key, ...]"


def key_text(key: Key) -> str:
    """The key as one text, which no other key has: it is written as Python writes it, in ASCII.

    Raises:
        TypeError: there is something other than texts and tuples in it, whose text might be that of another thing.
    """
    if type(key) is str:
        return ascii(key)
    if type(key) is tuple:
        return f"({''.join(f'{key_text(part)},' for part in key)})"
    raise TypeError(f"cache key: expected a str or a tuple of such, found the {type(key).__name__} {key!r}.")
