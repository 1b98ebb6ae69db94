"""Running a module: activations read at named sites, and changed on the way.

A site is a submodule, named by its dotted path, and its activation is what that submodule returns; with ``:input``
after the path, what it is given. Hooks do the reading and the changing, so any ``torch.nn.Module`` will do, and nothing
of them stays after a run.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Shaped
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from mechtests.interventions import BATCH, Axes, Edit, Place, Rows, SiteError

INPUT = ":input"
Inputs = tuple[Shaped[Tensor, "input ..."], ...]
"""What a module is called with: tensors with a row for each input."""

FEWEST = 16
"""Fewest rows of a batch. Products of a row or two take another path through the processor, and round otherwise."""


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
    """Activations at ``sites`` for ``inputs``, with ``edits`` made on the way.

    The pass ends as soon as the last of the sites was reached. A site that is both edited and asked for comes back
    edited; of a submodule that is called several times in a pass, the first call counts.

    Args:
        module: the module that has the sites.
        inputs: what the module is called with; a row an input.
        sites: which activations, whole or in part.
        edits: changes, made in their order.
        axes: by site, the names of its activation's axes; ``batch`` is that of the inputs.
        forward: how the module is called, where it is not ``module(*inputs)``.
        given: submodules that are not run: each returns what is given here, for all inputs.
        rows: the most inputs to run at a time; all at once when ``None``.

    Raises:
        SiteError: a site is no submodule or is not reached, or an edit or a part does not fit its site.
    """
    tensors = inputs if isinstance(inputs, tuple) else (inputs,)
    call = forward or module
    taken = _Taken(sites, axes or {})
    for batch in batches(len(tensors[0]), rows):
        hooks = _Hooks(batch, taken, edits)
        replaced = _in_place_of(module, given or {}, batch)
        with torch.inference_mode(), hooks.placed(module), replaced, suppress(_Enough):
            call(*(tensor[batch.slice] for tensor in tensors))
        if hooks.missing:
            raise SiteError(f"the pass never reached {', '.join(map(str, hooks.missing))}.")
    return taken.activations


def batches(many: int, rows: int | None) -> list[Rows]:
    """``many`` inputs cut into batches of at most ``rows``, as even as can be."""
    count = max(1, -(-many // rows)) if rows else 1
    edges = [many * batch // count for batch in range(count + 1)]
    return [Rows(first, last, many) for first, last in pairwise(edges)]


def rows_within(budget: int, forward: Callable[..., object], inputs: Inputs) -> int:
    """How many inputs may be run at a time so that all tensors made in a pass stay within ``budget`` bytes.

    A pass over a few inputs is measured, and every tensor counts as if it were kept to the end.
    """
    few = tuple(tensor[:FEWEST] for tensor in inputs)
    with torch.inference_mode(), _Made() as made:
        forward(*few)
    return max(FEWEST, budget * len(few[0]) // max(made.bytes, 1))


@dataclass(frozen=True)
class Call:
    """A submodule's call in a pass.

    Attributes:
        start, end: when, counted over all starts and ends of the pass.
        rowwise: whether it returns a tensor with a row for each input, and is called once.
    """

    start: int
    end: int
    rowwise: bool


def calls(module: nn.Module, forward: Callable[..., object], inputs: Inputs) -> dict[str, Call]:
    """The calls of every submodule in one pass, by dotted path."""
    found: dict[str, Call] = {}
    starts: dict[str, int] = {}
    ticks = iter(range(2**62))

    def starting(name: str) -> Callable[..., None]:
        return lambda *_: starts.update({name: next(ticks)})

    def ending(name: str) -> Callable[..., None]:
        def end(_module: nn.Module, _inputs: object, output: object) -> None:
            rowwise = isinstance(output, Tensor) and output.ndim > 0 and len(output) == len(inputs[0])
            found[name] = Call(starts[name], next(ticks), rowwise and name not in found)

        return end

    with ExitStack() as stack, torch.inference_mode():
        for name, layer in module.named_modules():
            if name:
                stack.callback(layer.register_forward_pre_hook(starting(name)).remove)
                stack.callback(layer.register_forward_hook(ending(name)).remove)
        forward(*inputs)
    return found


def upstream(module: nn.Module, order: Mapping[str, Call], sites: Collection[str]) -> list[str]:
    """The submodules with weights whose work is over before any of ``sites`` is reached, the outermost of each."""
    first = min(reached(order, site) for site in sites)
    over = {
        name
        for name, call in order.items()
        if call.rowwise and call.end < first and next(module.get_submodule(name).parameters(), None) is not None
    }
    return sorted(name for name in over if not any(name.startswith(f"{outer}.") for outer in over))


def reached(order: Mapping[str, Call], site: str) -> int:
    """When a pass reaches ``site``.

    Raises:
        SiteError: it never does.
    """
    call = order.get(site.removesuffix(INPUT))
    if call is None:
        raise SiteError(f"the pass never reached {site}. It reached {', '.join(order)}.")
    return call.start if site.endswith(INPUT) else call.end


class _Enough(BaseException):
    """Ends a pass once all is found. No error, so that no ``except Exception`` on the way takes it for one."""


class _Taken:
    """What was read so far: one tensor a site, filled batch by batch."""

    def __init__(self, sites: Collection[str | Place], axes: Axes) -> None:
        self.axes = axes
        self.activations: dict[str | Place, Tensor] = {}
        self.sites: dict[str, list[str | Place]] = {}
        for site in sites:
            self.sites.setdefault(site.site if isinstance(site, Place) else site, []).append(site)

    def take(self, site: str, activation: Tensor, batch: Rows) -> None:
        axes, many = self.axes.get(site, ""), batch.last - batch.first
        if axes and activation.ndim != len(axes.split()):
            raise SiteError(f"site {site} has the shape {tuple(activation.shape)}, and its axes are named {axes!r}.")
        for asked in self.sites[site]:
            part = asked.select(activation, axes) if isinstance(asked, Place) else activation
            left = asked.axes_left(axes) if isinstance(asked, Place) else axes
            if many == batch.total or (axes and BATCH not in left.split()):
                # A copy, because later layers may work in place.
                self.activations[asked] = part.clone() if part is activation else part
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
        self.missing = set(taken.sites)

    @contextmanager
    def placed(self, module: nn.Module) -> Iterator[None]:
        """With the hooks in place; they are gone afterwards, also after an exception."""
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

    def _with(self, site: str, found: object) -> object:
        """``found``, or its first element, read and changed."""
        several = found if isinstance(found, tuple | list) and found else None
        first = several[0] if several else found
        if not isinstance(first, Tensor):
            raise SiteError(
                f"site {site} is a {type(first).__name__}. Expected a tensor, or a tuple that begins with one: "
                "name a site further in or out."
            )
        activation = first
        for edit in self.edits.get(site, ()):
            activation = edit.apply(activation, self.taken.axes.get(site, ""), self.batch)
        if site in self.missing:
            self.taken.take(site, activation, self.batch)
            self.missing.remove(site)
            if not self.missing:
                raise _Enough
        if activation is first:
            return None
        return (activation, *several[1:]) if several else activation


@contextmanager
def _in_place_of(module: nn.Module, given: Mapping[str, Tensor], batch: Rows) -> Iterator[None]:
    """With the submodules in ``given`` returning their part of what is given, and doing nothing."""
    with ExitStack() as stack:
        for name, whole in given.items():
            layer = _layer(module, name)
            part = whole if len(whole) != batch.total else whole[batch.slice]
            stack.callback(_restored, layer, layer.__dict__.get("forward"))
            layer.forward = _returning(part)
        yield


def _returning(part: Tensor) -> Callable[..., Tensor]:
    return lambda *_, **__: part.clone()


def _restored(layer: nn.Module, own: Any) -> None:
    del layer.__dict__["forward"]
    if own is not None:
        layer.forward = own


def _layer(module: nn.Module, name: str) -> nn.Module:
    try:
        return module.get_submodule(name)
    except AttributeError:
        known = ", ".join(name for name, _ in module.named_modules() if name)
        raise SiteError(f"{type(module).__name__} has no site {name!r}. It has: {known}.") from None


class _Made(TorchDispatchMode):
    """Counts the bytes of every tensor made."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        taken = {one.untyped_storage().data_ptr() for one in args if isinstance(one, Tensor)}
        for tensor in made if isinstance(made, tuple | list) else (made,):
            if isinstance(tensor, Tensor) and tensor.untyped_storage().data_ptr() not in taken:  # no view
                self.bytes += tensor.untyped_storage().nbytes()
        return made
