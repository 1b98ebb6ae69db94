"""Results that need not be computed again: tensors by key, in memory and on disk."""

from mechtests.cache.disk import CacheError, Disk
from mechtests.cache.environment import Moment, side_files, since, surroundings, unheard
from mechtests.cache.fingerprint import code_fingerprint, value_fingerprint
from mechtests.cache.key import Key
from mechtests.cache.memoized import memoized
from mechtests.cache.tiers import Cache
from mechtests.cache.warning import CacheWarning

__all__ = [
    "Cache",
    "CacheError",
    "CacheWarning",
    "Disk",
    "Key",
    "Moment",
    "code_fingerprint",
    "memoized",
    "side_files",
    "since",
    "surroundings",
    "unheard",
    "value_fingerprint",
]
