"""The cache: tensors by key, on the device where they were computed, then in host memory, then on disk."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from mechtests.cache.disk import Disk
from mechtests.cache.key import Key, key_text
from mechtests.cache.warning import warn


class Cache:
    """Tensors by key, as many as fit: least recently used out first.

    What no longer fits on the device moves to host memory, and what no longer fits there is dropped. The disk has it
    from the start. A tensor larger than a tier's budget skips that tier. What is found is what was put, bit for bit and
    with the same strides, so that whatever is computed from it is the same too.

    Tensors are handed out, not copied: clone one before you change it. Torch itself refuses to change what was made in
    inference mode, as activations are. A change of any other tensor is noticed when it is next asked for, and it is
    dropped with a warning. Only what is written past torch, through ``.numpy()`` or ``.data``, goes unseen.

    Attributes:
        disk: the tier that outlasts the run, if there is one.
        passes: forward passes made by the systems that have this cache; they count themselves.
        from_memory, from_disk: how many tensors were found there.
    """

    def __init__(
        self, budget: int = 2 << 30, *, host: int = 0, disk: Disk | None = None, tell: Callable[[str], None] = warn
    ) -> None:
        """A cache.

        Args:
            budget: how many bytes may be kept where they were computed.
            host: how many bytes may be kept in host memory besides; of no use where models run on the CPU.
            disk: what outlasts the run.
            tell: called with a line of text when something is wrong.
        """
        self.disk = disk
        self.passes = self.from_memory = self.from_disk = 0
        self._device, self._host = _Memory(budget), _Memory(host)
        self._tell = tell

    def get(self, key: Key) -> Tensor | None:
        """The tensor kept under ``key``, on the device where it was put; ``None`` where there is none."""
        text = key_text(key)
        found = self._in_memory(text)
        if found is not None:
            self.from_memory += 1
        elif self.disk is not None and (found := self.disk.get(text)) is not None:
            self.from_disk += 1
            self._keep(text, _Held.of(found))
        return found

    def put(self, key: Key, tensor: Tensor) -> Tensor:
        """Keep ``tensor`` under ``key``, and return what is kept.

        That is the tensor itself, unless it is a view of a larger one, which a view would keep in memory: then it is a
        copy, whose strides may differ. Who goes on with what is returned computes with the same strides ever after.
        """
        text = key_text(key)
        if tensor.layout is not torch.strided or tensor.is_quantized:
            return tensor  # none of ours; whoever needs it computes it anew
        tensor = owned(tensor)
        for memory in (self._device, self._host):
            memory.drop(text)
        self._keep(text, _Held.of(tensor))
        if self.disk is not None:
            self.disk.put(text, tensor)
        return tensor

    def get_or(self, key: Key, compute: Callable[[], Tensor]) -> Tensor:
        """The tensor kept under ``key``, computed and kept where it is not there."""
        found = self.get(key)
        return self.put(key, compute()) if found is None else found

    def _in_memory(self, text: str) -> Tensor | None:
        held = self._device.find(text)
        if held is None and (held := self._host.find(text)) is not None and not held.changed:
            held = held.moved(held.origin)
            if self._device.fits(held):
                self._host.drop(text)
                self._keep(text, held)
        if held is None or not held.changed:
            return None if held is None else held.tensor
        for memory in (self._device, self._host):
            memory.drop(text)
        self._tell_changed(text)
        return None

    def _keep(self, text: str, held: "_Held") -> None:
        leaving = self._device.keep(text, held) if self._device.fits(held) else [(text, held)]
        for other, going in leaving:
            if going.changed:
                self._tell_changed(other)
            elif self._host.fits(going):
                self._host.keep(other, going.moved(torch.device("cpu")))

    def _tell_changed(self, text: str) -> None:
        self._tell(f"a tensor was changed in place after it was kept, and is dropped. Clone it first. Its key: {text}")


@dataclass(frozen=True, eq=False)
class _Held:
    """A tensor in memory.

    Attributes:
        tensor: what was put, here or on the CPU.
        origin: the device where it was put.
        version: how often it had been changed in place by then; torch does not count it for what nobody may change.
    """

    tensor: Tensor
    origin: torch.device
    version: int | None

    @classmethod
    def of(cls, tensor: Tensor) -> "_Held":
        return cls(tensor, tensor.device, None if tensor.is_inference() else tensor._version)

    @property
    def changed(self) -> bool:
        return self.version is not None and self.version != self.tensor._version

    def moved(self, device: torch.device) -> "_Held":
        if self.tensor.device == device:
            return self
        with torch.inference_mode(self.tensor.is_inference()):
            return _Held(moved := self.tensor.to(device), self.origin, None if self.version is None else moved._version)


class _Memory:
    """One tier in memory: what is held by key, least recently used first."""

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self._held: OrderedDict[str, _Held] = OrderedDict()
        self._bytes = 0

    def fits(self, held: _Held) -> bool:
        return 0 < self.budget >= held.tensor.nbytes

    def find(self, text: str) -> _Held | None:
        if text in self._held:
            self._held.move_to_end(text)
        return self._held.get(text)

    def drop(self, text: str) -> None:
        if (former := self._held.pop(text, None)) is not None:
            self._bytes -= former.tensor.nbytes

    def keep(self, text: str, held: _Held) -> list[tuple[str, _Held]]:
        """Hold one more, which fits, and return those that had to leave."""
        self.drop(text)
        self._held[text] = held
        self._bytes += held.tensor.nbytes
        leaving = []
        while self._bytes > self.budget:
            leaving.append(self._held.popitem(last=False))
            self._bytes -= leaving[-1][1].tensor.nbytes
        return leaving


def owned(tensor: Tensor) -> Tensor:
    """``tensor`` itself where its storage holds each of its elements once and nothing else, else a contiguous copy."""
    if type(tensor) is not Tensor or tensor.requires_grad or tensor.is_conj() or tensor.is_neg():
        tensor = tensor.detach().resolve_conj().resolve_neg()
    if _dense(tensor) and tensor.untyped_storage().nbytes() == tensor.nbytes:
        return tensor
    with torch.inference_mode(tensor.is_inference()):
        return tensor.clone(memory_format=torch.contiguous_format)


def _dense(tensor: Tensor) -> bool:
    """Whether the elements lie side by side in some order of the axes."""
    step = 1
    for stride, size in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if size != 1 and stride != step:
            return False
        step *= size
    return True
