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
    """Tensors by key, as many as fit; the least recently used is evicted first.

    Tensors that no longer fit on the device move to host memory, and those that no longer fit there are dropped. They
    are written to disk as soon as they are put. A tensor larger than a tier's budget skips that tier. A tensor is
    returned as it was put, bit for bit and with the same strides, so that everything computed from it is the same, too.

    Tensors are not copied when they are returned: clone one before you change it. Torch refuses to change tensors made
    in inference mode, such as activations. A change of any other tensor is detected when it is next requested, and the
    tensor is dropped with a warning. Changes that bypass torch, through ``.numpy()`` or ``.data``, are not detected.

    Attributes:
        disk: the tier that persists after the run, if there is one.
        passes: forward passes made by the systems that use this cache; they increment it themselves.
        from_memory, from_disk: how many tensors were found there.
    """

    def __init__(
        self, budget: int = 2 << 30, *, host: int = 0, disk: Disk | None = None, tell: Callable[[str], None] = warn
    ) -> None:
        """A cache.

        Args:
            budget: the most bytes to hold on the device where they were computed.
            host: the most bytes to hold in host memory in addition; useless where models run on the CPU.
            disk: the tier on disk.
            tell: called with a line of text when something is wrong.
        """
        self.disk = disk
        self.passes = self.from_memory = self.from_disk = 0
        self._device, self._host = _Memory(budget), _Memory(host)
        self._tell = tell

    def get(self, key: Key) -> Tensor | None:
        """The tensor under ``key``, on the device where it was put; ``None`` if there is none."""
        text = key_text(key)
        found = self._in_memory(text)
        if found is not None:
            self.from_memory += 1
        elif self.disk is not None and (found := self.disk.get(text)) is not None:
            self.from_disk += 1
            self._keep(text, _Held.of(found))
        return found

    def put(self, key: Key, tensor: Tensor) -> Tensor:
        """Store ``tensor`` under ``key``, and return the stored tensor.

        That is the tensor itself, unless it is a view of a larger one, which the view would keep in memory: then it is
        a copy, whose strides may differ. Continue with the returned tensor, so that later uses have the same strides.
        """
        text = key_text(key)
        if tensor.layout is not torch.strided or tensor.is_quantized:
            return tensor  # not supported: it is computed again when it is needed
        tensor = owned(tensor)
        for memory in (self._device, self._host):
            memory.drop(text)
        self._keep(text, _Held.of(tensor))
        if self.disk is not None:
            self.disk.put(text, tensor)
        return tensor

    def get_or(self, key: Key, compute: Callable[[], Tensor]) -> Tensor:
        """The tensor under ``key``, computed and stored if there is none."""
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
        self._tell(f"a cached tensor was changed in place and is dropped. Clone it before changing it. Its key: {text}")


@dataclass(frozen=True, eq=False)
class _Held:
    """A tensor in memory.

    Attributes:
        tensor: what was put, here or on the CPU.
        origin: the device where it was put.
        version: torch's version counter when it was put; ``None`` for inference tensors, which have none.
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
    """One tier in memory: tensors by key, least recently used first."""

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
        """Add one that fits, and return those that were evicted."""
        self.drop(text)
        self._held[text] = held
        self._bytes += held.tensor.nbytes
        leaving = []
        while self._bytes > self.budget:
            leaving.append(self._held.popitem(last=False))
            self._bytes -= leaving[-1][1].tensor.nbytes
        return leaving


def owned(tensor: Tensor) -> Tensor:
    """``tensor`` itself if its storage contains exactly its elements, each once; otherwise a contiguous copy."""
    if type(tensor) is not Tensor or tensor.requires_grad or tensor.is_conj() or tensor.is_neg():
        tensor = tensor.detach().resolve_conj().resolve_neg()
    if _dense(tensor) and tensor.untyped_storage().nbytes() == tensor.nbytes:
        return tensor
    with torch.inference_mode(tensor.is_inference()):
        return tensor.clone(memory_format=torch.contiguous_format)


def _dense(tensor: Tensor) -> bool:
    """Whether the elements are contiguous in some order of the axes."""
    step = 1
    for stride, size in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if size != 1 and stride != step:
            return False
        step *= size
    return True
