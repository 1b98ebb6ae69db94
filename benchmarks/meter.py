"""What a computation takes, counted and not timed: floating-point operations, and the most memory at one time."""

import weakref

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode


class Meter(TorchDispatchMode):
    """Counts while it is entered: ``with Meter() as meter: …``, then ``meter.peak_bytes`` and ``meter.operations``.

    Memory is that of tensors made inside, not of those there before; operations are those of matrix products.
    """

    def __enter__(self):
        self.bytes = self.peak_bytes = 0
        self._known = set()
        self._flops = FlopCounterMode(display=False)
        self._flops.__enter__()
        return super().__enter__()

    def __exit__(self, *args):
        super().__exit__(*args)
        self._flops.__exit__(*args)

    @property
    def operations(self):
        return self._flops.get_total_flops()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        for given in torch.utils._pytree.tree_leaves((args, kwargs)):
            if isinstance(given, torch.Tensor):
                self._known.add(given.untyped_storage()._cdata)
        made = func(*args, **(kwargs or {}))
        for tensor in torch.utils._pytree.tree_leaves(made):
            if isinstance(tensor, torch.Tensor):
                self._count(tensor.untyped_storage())
        return made

    def _count(self, storage):
        if storage._cdata in self._known:
            return
        self._known.add(storage._cdata)
        self.bytes += storage.nbytes()
        self.peak_bytes = max(self.peak_bytes, self.bytes)
        weakref.finalize(storage, self._freed, storage._cdata, storage.nbytes())

    def _freed(self, key, size):
        self._known.discard(key)
        self.bytes -= size
