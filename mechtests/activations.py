"""Reading and changing activations at named sites of any ``torch.nn.Module``.

A site is a submodule, named by its dotted path, and its activation is what that submodule returns. An edit changes an
activation where a site's axes say so: ``zero("tok_embed", position=[0, 2])``, ``scale("blocks.0.mlp.post", 0.5,
neuron=mask)``.
"""

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

Axes = Mapping[str, str]
"""From a site's name to the names of its activation's axes: ``{"tok_embed": "batch position model"}``."""


class SiteError(Exception):
    """A site or an axis that does not exist."""


@dataclass(frozen=True, eq=False)
class Edit:
    """One change of the activation at a site, on the part that ``where`` selects; everywhere when it is empty.

    Attributes:
        site: the site's name.
        operation: a word for the report and the cache: ``zero``, ``scale 0.5``, ``replace linear fit``.
        change: from the activation to what stands in its place where selected.
        where: by axis, a boolean mask or the indices selected.
        value: what the change depends on besides its words, for the cache.
    """

    site: str
    operation: str
    change: Callable[[Tensor], Tensor]
    where: tuple[tuple[str, Tensor], ...] = ()
    value: Tensor | None = None

    def __str__(self) -> str:
        return " ".join([self.operation, self.site, *(f"[{axis}: {_selected(chosen)}]" for axis, chosen in self.where)])

    @property
    def key(self) -> str:
        """Tells this edit from every other: two edits with one key do the same."""
        digest = hashlib.sha256(f"{self.site}\0{self.operation}".encode())
        for axis, chosen in self.where:
            digest.update(
                f"\0{axis}\0{chosen.dtype}\0{tuple(chosen.shape)}\0".encode() + chosen.cpu().numpy().tobytes()
            )
        if self.value is not None:
            shape = tuple(self.value.shape)
            digest.update(f"\0{self.value.dtype}\0{shape}\0".encode() + raw_bytes(self.value))
        return digest.hexdigest()


def zero(site: str, **where: Any) -> Edit:
    """Zero ablation of the part of a site that ``where`` selects, by axis name."""
    return Edit(site, "zero", torch.zeros_like, _where(where))


def scale(site: str, factor: float, **where: Any) -> Edit:
    """Multiply the part of a site that ``where`` selects by ``factor``."""
    return Edit(
        site,
        f"scale {factor:g}",
        lambda activation: activation * factor,
        _where(where),
        torch.tensor(factor, dtype=torch.float64),
    )


def replace(site: str, value: Tensor, label: str, **where: Any) -> Edit:
    """Put ``value``, called ``label`` in the report, in the place of a site's activation; it must broadcast to it."""
    # A copy, because the layers after the site may work in place; so are the activations that are captured.
    return Edit(
        site, f"replace with {label}", lambda activation: value.expand_as(activation).clone(), _where(where), value
    )


def run(
    module: nn.Module,
    forward: Callable[[], object],
    sites: Collection[str],
    edits: Sequence[Edit] = (),
    axes: Axes | None = None,
) -> dict[str, Tensor]:
    """Call ``forward`` and return the activations at ``sites``, with ``edits`` made on the way.

    Hooks are removed afterwards, also after an exception. A site that is both edited and asked for comes back edited.

    Raises:
        SiteError: a site is no submodule, or an edit selects on an axis that its site does not have.
    """
    found: dict[str, Tensor] = {}

    def hook(site: str) -> Callable[[nn.Module, object, Tensor], Tensor]:
        changes = [_applied(edit, axes or {}) for edit in edits if edit.site == site]

        def at_site(_module: nn.Module, _inputs: object, activation: Tensor) -> Tensor:
            for change in changes:
                activation = change(activation)
            if site in sites:
                found[site] = activation.clone()
            return activation

        return at_site

    wanted = {site: hook(site) for site in {*sites, *(edit.site for edit in edits)}}
    with torch.inference_mode(), _hooks(module, wanted):
        forward()
    return found


@contextmanager
def _hooks(module: nn.Module, hooks: Mapping[str, Callable[..., Tensor]]) -> Iterator[None]:
    handles = []
    try:
        for site, hook in hooks.items():
            try:
                place = module.get_submodule(site)
            except AttributeError:
                known = ", ".join(name for name, _ in module.named_modules() if name)
                raise SiteError(f"{type(module).__name__} has no site {site!r}. It has: {known}.") from None
            handles.append(place.register_forward_hook(hook))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _applied(edit: Edit, axes: Axes) -> Callable[[Tensor], Tensor]:
    if not edit.where:
        return edit.change
    names = axes.get(edit.site, "").split()
    for axis, _ in edit.where:
        if axis not in names:
            raise SiteError(
                f"edit '{edit}': site {edit.site} has no axis {axis!r}. Its axes: {', '.join(names) or 'not named'}."
            )

    def change(activation: Tensor) -> Tensor:
        mask = torch.ones((), dtype=torch.bool, device=activation.device)
        for axis, chosen in edit.where:
            place = names.index(axis)
            one = torch.zeros(activation.shape[place], dtype=torch.bool, device=activation.device)
            one[chosen.to(activation.device)] = True
            mask = mask & one.reshape([-1 if other == place else 1 for other in range(activation.ndim)])
        return torch.where(mask, edit.change(activation), activation)

    return change


def _where(where: Mapping[str, Any]) -> tuple[tuple[str, Tensor], ...]:
    return tuple((axis, _indices(chosen)) for axis, chosen in sorted(where.items()))


def _indices(chosen: Any) -> Tensor:
    found = torch.as_tensor(chosen).reshape(-1)
    return found if len(found) else found.long()


def raw_bytes(tensor: Tensor) -> bytes:
    """The bytes of a tensor's values, of any precision, from wherever it is."""
    return tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()


def _selected(chosen: Tensor) -> str:
    if chosen.dtype == torch.bool:
        return f"{int(chosen.sum())} of {len(chosen)}"
    return ", ".join(map(str, chosen.tolist()))
