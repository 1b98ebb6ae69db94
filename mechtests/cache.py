"""Activations kept for the run: least recently used out first, within a budget of bytes."""

from collections import OrderedDict
from collections.abc import Callable, Hashable

from torch import Tensor


class RunCache:
    """Tensors by key, as many as fit.

    Attributes:
        budget: how many bytes may be kept; a tensor larger than that is not kept.
        hits, misses: how often a key was there, and was not.
    """

    def __init__(self, budget: int = 2 << 30) -> None:
        self.budget, self.hits, self.misses = budget, 0, 0
        self._kept: OrderedDict[Hashable, Tensor] = OrderedDict()
        self._bytes = 0

    def get(self, key: Hashable) -> Tensor | None:
        """The tensor kept under ``key``, or ``None``."""
        found = self._kept.get(key)
        if found is None:
            self.misses += 1
            return None
        self.hits += 1
        self._kept.move_to_end(key)
        return found

    def put(self, key: Hashable, tensor: Tensor) -> None:
        """Keep ``tensor`` under ``key``, dropping the least recently used until it fits."""
        if (former := self._kept.pop(key, None)) is not None:
            self._bytes -= former.nbytes
        if tensor.nbytes > self.budget:
            return
        self._kept[key] = tensor
        self._bytes += tensor.nbytes
        while self._bytes > self.budget:
            self._bytes -= self._kept.popitem(last=False)[1].nbytes

    def get_or(self, key: Hashable, compute: Callable[[], Tensor]) -> Tensor:
        """The tensor kept under ``key``, computed and kept where it is not there."""
        found = self.get(key)
        if found is None:
            found = compute()
            self.put(key, found)
        return found
