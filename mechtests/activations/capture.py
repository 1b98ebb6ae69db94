"""Running a module: activations read at named sites, and changed during the pass.

A site is a submodule, named by its dotted path, and its activation is what that submodule returns; with ``:input``
after the path, its input. Activations are read and changed by hooks, so any ``torch.nn.Module`` can be used, and all
hooks are removed after a run.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from dataclasses import replace as _with
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Shaped
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from mechtests.activations.interventions import BATCH, Axes, Edit, Place, Rows, SiteError

INPUT = ":input"
Inputs = tuple[Shaped[Tensor, "input ..."], ...]
"""The arguments of a module: tensors with a row per input."""

FEWEST = 16
"""Batches begin at multiples of this many rows, and none has fewer: a processor multiplies rows in small groups, and
remaining rows, or a single row or two, by other kernels that round differently."""


def run(
    module: nn.Module,
    inputs: Tensor | Inputs,
    sites: Collection[str | Place],
    edits: Sequence[Edit] = (),
    axes: Axes | None = None,
    *,
    forward: Callable[..., object] | None = None,
    given: Mapping[str, Tensor] | None = None,
    rows: int | None = None,
) -> dict[str | Place, Tensor]:
    """Activations at ``sites`` for ``inputs``, with ``edits`` applied during the pass.

    The pass ends as soon as all sites were read and all edits applied; if there is nothing to read it runs to the end.
    A site that is both edited and read is returned edited. Of a submodule that is called several times in a pass, the
    first call is read, and every call is edited.

    Args:
        module: the module that has the sites.
        inputs: what the module is called with; a row per input.
        sites: which activations, whole or in part.
        edits: changes, applied in their order.
        axes: by site, the names of its activation's axes; ``batch`` is that of the inputs.
        forward: how the module is called, if not as ``module(*inputs)``.
        given: submodules that are not run, and what each returns instead, a row per input.
        rows: about how many inputs to run at a time, split as by :func:`batches`; all at once if ``None``.

    Raises:
        SiteError: a site is no submodule or is not reached, or an edit or a part does not fit its site.
        ValueError: the inputs are not tensors with a row per input.
    """
    tensors = as_inputs(inputs)
    call = forward or module
    taken = _Taken(sites, axes or {})
    for batch in batches(len(tensors[0]), rows):
        hooks = _Hooks(batch, taken, edits)
        replaced = _in_place_of(module, given or {}, batch)
        with torch.inference_mode(), hooks.placed(module), replaced:
            try:
                call(*(tensor[batch.slice] for tensor in tensors))
            except _Enough as enough:
                if enough.hooks is not hooks:  # of a run around this one
                    raise
        if hooks.missing:
            raise SiteError(f"the pass never reached {', '.join(hooks.missing)}.")
    return taken.activations


def as_inputs(inputs: Tensor | Inputs) -> Inputs:
    """``inputs`` as a tuple of tensors.

    Raises:
        ValueError: they are not tensors, or have not as many rows each.
    """
    tensors = inputs if isinstance(inputs, tuple) else (inputs,)
    rows = {one.shape[:1] if isinstance(one, Tensor) else None for one in tensors}
    if len(rows) != 1 or not all(rows):
        given = ", ".join(str(tuple(one.shape)) if isinstance(one, Tensor) else type(one).__name__ for one in tensors)
        raise ValueError(f"expected tensors with a row for each input, as many rows each; found {given or 'none'}.")
    return tensors


def batches(many: int, rows: int | None) -> list[Rows]:
    """``many`` inputs cut into batches of ``rows``, rounded down to a multiple of :data:`FEWEST`, which is the least.

    Cut so, products round on a processor as they do uncut; sums of over 1,024 numbers may not. What is left over is
    a batch of its own, or where it is shorter than :data:`FEWEST`, a part of the last.
    """
    step = max(FEWEST, rows // FEWEST * FEWEST) if rows else max(many, 1)
    last = max(1, many - FEWEST + 1 if rows else 1)
    return [Rows(first, last, many) for first, last in pairwise([*range(0, last, step), many])]


def rows_within(budget: int, forward: Callable[..., object], inputs: Inputs) -> int:
    """How many inputs may be run at a time so that all tensors made in a pass stay within ``budget`` bytes.

    A pass over a few inputs is measured, and every tensor counts as if it stayed to the end.
    """
    few = tuple(tensor[:FEWEST] for tensor in inputs)
    with torch.inference_mode(), _Made() as made:
        forward(*few)
    return max(FEWEST, budget * len(few[0]) // max(made.bytes, 1))


@dataclass(frozen=True)
class Call:
    """A submodule's call in a pass.

    Attributes:
        start, end: when the first call began and ended, counted over all starts and ends of the pass.
        pure: whether a row of what it returns for each input is all there is to it: it is called once, returns a tensor
            with such rows, and does not change its arguments.
    """

    start: int
    end: int
    pure: bool


def calls(module: nn.Module, forward: Callable[..., object], inputs: Inputs) -> dict[str, Call]:
    """The first calls of every submodule in a pass, by dotted path; the module itself is ``""``."""
    order = _calls(module, forward, inputs)
    if len(inputs[0]) == 1:
        return order
    # A tensor may be as long as there are inputs by chance. It is not with one input fewer.
    fewer = _calls(module, forward, tuple(one[:-1] for one in inputs))
    return {name: _with(call, pure=call.pure and name in fewer and fewer[name].pure) for name, call in order.items()}


def _calls(module: nn.Module, forward: Callable[..., object], inputs: Inputs) -> dict[str, Call]:
    seen: dict[nn.Module, Call] = {}
    started: dict[nn.Module, tuple[int, list[Tensor]]] = {}
    hooked = {layer for layer in module.modules() if layer._forward_hooks}
    ticks = iter(range(2**62))

    def tensors(args: tuple[object, ...], kwargs: dict[str, object]) -> list[Tensor]:
        return [one for one in (*args, *kwargs.values()) if isinstance(one, Tensor)]

    def start(layer: nn.Module, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        started.setdefault(layer, (next(ticks), [one.clone() for one in tensors(args, kwargs)]))

    def end(layer: nn.Module, args: tuple[object, ...], kwargs: dict[str, object], output: object) -> None:
        if layer in seen:
            seen[layer] = _with(seen[layer], pure=False)
            return
        began, before = started[layer]
        # What is given in its place is contiguous, and would be changed by the layer's own hooks once more.
        rowwise = isinstance(output, Tensor) and output.shape[:1] == inputs[0].shape[:1] and output.is_contiguous()
        unchanged = all(one.equal(other) for one, other in zip(tensors(args, kwargs), before, strict=True))
        seen[layer] = Call(began, next(ticks), rowwise and unchanged and layer not in hooked)

    with ExitStack() as stack, torch.inference_mode():
        for layer in module.modules():
            stack.callback(layer.register_forward_pre_hook(start, with_kwargs=True).remove)
            stack.callback(layer.register_forward_hook(end, with_kwargs=True).remove)
        forward(*inputs)
    return {name: seen[layer] for name, layer in _named(module) if layer in seen}


def upstream(module: nn.Module, order: Mapping[str, Call], sites: Collection[str]) -> list[str]:
    """The submodules with weights whose work is over before any of ``sites`` is reached, the outermost of each."""
    first = min(reached(order, site) for site in sites)
    over = {
        name
        for name, call in order.items()
        if call.pure and call.end < first and next(module.get_submodule(name).parameters(), None) is not None
    }
    return sorted(name for name in over if not any(name.startswith(f"{outer}.") for outer in over))


def reached(order: Mapping[str, Call], site: str) -> int:
    """When a pass reaches ``site``.

    Raises:
        SiteError: it never does.
    """
    call = order.get(site.removesuffix(INPUT))
    if call is None:
        raise SiteError(f"the pass never reached {site}. It reached {', '.join(filter(None, order))}.")
    return call.start if site.endswith(INPUT) else call.end


class _Enough(BaseException):
    """Ends a pass once everything is read. Not an ``Exception``, so that no ``except Exception`` catches it."""

    def __init__(self, hooks: "_Hooks") -> None:
        super().__init__()
        self.hooks = hooks


class _Taken:
    """What was read so far: one tensor per site, filled batch by batch."""

    def __init__(self, sites: Collection[str | Place], axes: Axes) -> None:
        self.axes = axes
        self.activations: dict[str | Place, Tensor] = {}
        self.sites: dict[str, list[str | Place]] = {}
        for site in sites:
            self.sites.setdefault(site.site if isinstance(site, Place) else site, []).append(site)

    def take(self, site: str, activation: Tensor, batch: Rows) -> None:
        axes, many = self.axes.get(site, ""), batch.last - batch.first
        for asked in self.sites[site]:
            part = asked.select(activation, axes) if isinstance(asked, Place) else activation
            left = asked.axes_left(axes) if isinstance(asked, Place) else axes
            if many == batch.total or (axes and BATCH not in left.split()):
                # A copy, because later layers may work in place; laid out like that of many batches.
                self.activations[asked] = part.clone(memory_format=torch.contiguous_format)
                continue
            along = left.split().index(BATCH) if axes else 0
            if part.ndim <= along or part.shape[along] != many:
                raise SiteError(f"site {site} has no row for each input. Name its axes, or run all inputs at once.")
            if asked not in self.activations:
                shape = [batch.total if axis == along else size for axis, size in enumerate(part.shape)]
                self.activations[asked] = part.new_empty(shape)
            self.activations[asked].narrow(along, batch.first, many).copy_(part)


class _Hooks:
    """The hooks of one batch: they read what is to be read and change what is to be changed."""

    def __init__(self, batch: Rows, taken: _Taken, edits: Sequence[Edit]) -> None:
        self.batch, self.taken = batch, taken
        self.edits: dict[str, list[Edit]] = {}
        for edit in edits:
            self.edits.setdefault(edit.site, []).append(edit)
        self.missing = dict.fromkeys([*self.edits, *taken.sites])

    @contextmanager
    def placed(self, module: nn.Module) -> Iterator[None]:
        """With the hooks installed; they are removed afterwards, also after an exception."""
        with ExitStack() as stack:
            for site in {**self.edits, **self.taken.sites}:
                layer = _layer(module, site.removesuffix(INPUT))
                hooked = (
                    layer.register_forward_pre_hook(self._at_input(site))
                    if site.endswith(INPUT)
                    else layer.register_forward_hook(self._at_output(site))
                )
                stack.callback(hooked.remove)
            yield

    def _at_output(self, site: str) -> Callable[[nn.Module, object, object], object]:
        return lambda _module, _inputs, output: self._with(site, output)

    def _at_input(self, site: str) -> Callable[[nn.Module, object], object]:
        return lambda _module, inputs: self._with(site, inputs)

    def _with(self, site: str, value: object) -> object:
        """``value``, or its first element, read and changed."""
        several = value if isinstance(value, tuple | list) and value else None
        first = several[0] if several else value
        if not isinstance(first, Tensor):
            raise SiteError(
                f"site {site} is a {type(first).__name__}. Expected a tensor, or a tuple that begins with one: "
                "name a site further in or out."
            )
        activation, axes = first, self.taken.axes.get(site, "")
        if axes and first.ndim != len(axes.split()):
            raise SiteError(f"site {site} has the shape {tuple(first.shape)}, and its axes are named {axes!r}.")
        for edit in self.edits.get(site, ()):
            activation = edit.apply(activation, axes, self.batch)
        if site in self.missing:
            if site in self.taken.sites:
                self.taken.take(site, activation, self.batch)
            del self.missing[site]
            if not self.missing and self.taken.sites:
                raise _Enough(self)
        if activation is first:
            return None
        # A named tuple is made otherwise than other tuples and lists.
        made: Callable[[Sequence[object]], object] = getattr(type(several), "_make", type(several))
        return made([activation, *several[1:]]) if several else activation


@contextmanager
def _in_place_of(module: nn.Module, given: Mapping[str, Tensor], batch: Rows) -> Iterator[None]:
    """With the submodules in ``given`` returning their part of what is given, and doing nothing."""
    with ExitStack() as stack:
        for name, whole in given.items():
            layer = _layer(module, name)
            stack.callback(_restored, layer, layer.__dict__.get("forward"))
            layer.forward = _returning(whole[batch.slice])
        yield


def _returning(part: Tensor) -> Callable[..., Tensor]:
    return lambda *_, **__: part.clone()


def _restored(layer: nn.Module, own: Any) -> None:
    layer.__dict__.pop("forward", None)
    if own is not None:
        layer.forward = own


def _layer(module: nn.Module, name: str) -> nn.Module:
    try:
        return module.get_submodule(name)
    except AttributeError:
        known = ", ".join(name for name, _ in _named(module) if name)
        raise SiteError(f"{type(module).__name__} has no site {name!r}. It has: {known}.") from None


def _named(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    # A submodule in two places has two names.
    return module.named_modules(remove_duplicate=False)


class _Made(TorchDispatchMode):
    """Counts the bytes of every tensor made."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.bytes = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # By default torch imports its compiler at the first dispatch, which takes a second and is of no use here.
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        taken = {one.untyped_storage().data_ptr() for one in args if isinstance(one, Tensor)}
        for tensor in made if isinstance(made, tuple | list) else (made,):
            if isinstance(tensor, Tensor) and tensor.untyped_storage().data_ptr() not in taken:  # no view
                self.bytes += tensor.untyped_storage().nbytes()
        return made
