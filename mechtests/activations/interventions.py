"""Interventions: what is changed in a forward pass, and where, in one small vocabulary for every system.

``zero("tok_embed", position=[0, 2])``, ``mean("blocks.0.mlp.post", reference, neuron=mask)``,
``keep_only("blocks.0.attn.z", head=3)``: each gives an :class:`Edit`, edits are made in the order they are given, and
each prints as what it does.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from dataclasses import replace as _with
from typing import Any

import torch
from jaxtyping import Int, Shaped
from torch import Tensor

from mechtests.cache.digests import digest

Axes = Mapping[str, str]
"""From a site's name to the names of its activation's axes: ``{"tok_embed": "batch position model"}``."""

BATCH = "batch"
"""The axis of the inputs; every other axis is named by the system."""


class SiteError(Exception):
    """A site or an axis that does not exist, or a value that does not fit there."""


@dataclass(frozen=True, eq=False)
class Place:
    """A site, or the part of it that ``where`` selects.

    Attributes:
        site: the site's name.
        where: by axis, a boolean mask, the indices selected, or one index; sorted by axis.
    """

    site: str
    where: tuple[tuple[str, Tensor], ...] = ()

    def __str__(self) -> str:
        return " ".join([self.site, *(f"[{axis}: {_words(chosen)}]" for axis, chosen in self.where)])

    @property
    def key(self) -> str:
        """Tells this place from every other."""
        return digest(self.site, self.where)

    def mask(self, activation: Tensor, axes: str, rows: "Rows") -> Tensor:
        """A boolean tensor, broadcasting to ``activation``: what ``where`` selects of it.

        Raises:
            SiteError: an axis that the site does not have, or entries that the axis does not have.
        """
        mask = torch.ones((), dtype=torch.bool, device=activation.device)
        for axis, chosen in self.where:
            dimension = self._dimension(axis, axes)
            size = rows.total if axis == BATCH else activation.shape[dimension]
            one = torch.zeros(size, dtype=torch.bool).index_fill(0, self._entries(axis, chosen, size), True)
            one = (one[rows.slice] if axis == BATCH else one).to(activation.device)
            mask = mask & one.reshape([-1 if other == dimension else 1 for other in range(activation.ndim)])
        return mask

    def select(self, activation: Tensor, axes: str) -> Tensor:
        """The part of ``activation`` that ``where`` selects; an axis selected by one index is dropped.

        Raises:
            SiteError: as :meth:`mask`, or the axis is that of the inputs.
        """
        dropped = []
        for axis, chosen in self.where:
            if axis == BATCH:
                raise SiteError(f"{self}: to read some inputs only, give only those to the run.")
            dimension = self._dimension(axis, axes)
            entries = self._entries(axis, chosen, activation.shape[dimension])
            activation = activation.index_select(dimension, entries.to(activation.device))
            dropped += [] if chosen.ndim else [dimension]
        return activation.squeeze(dropped) if dropped else activation

    def axes_left(self, axes: str) -> str:
        """The axes of :meth:`select`'s result."""
        dropped = {axis for axis, chosen in self.where if not chosen.ndim}
        return " ".join(axis for axis in axes.split() if axis not in dropped)

    def _dimension(self, axis: str, axes: str) -> int:
        names = axes.split()
        if axis not in names:
            known = ", ".join(names) or "not named"
            raise SiteError(f"'{self}': site {self.site} has no axis {axis!r}. Its axes: {known}.")
        return names.index(axis)

    def _entries(self, axis: str, chosen: Tensor, size: int) -> Int[Tensor, " entry"]:
        try:
            return torch.arange(size)[chosen.cpu()].reshape(-1)
        except IndexError:
            raise SiteError(f"'{self}': axis {axis} of site {self.site} has {size} entries, and not these.") from None


@dataclass(frozen=True)
class Rows:
    """Which of all inputs a batch holds: those from ``first`` up to ``last``, of ``total``."""

    first: int
    last: int
    total: int

    @property
    def slice(self) -> slice:
        return slice(self.first, self.last)


@dataclass(frozen=True, eq=False)
class Edit:
    """One change of an activation: ``factor · activation + value`` at a place.

    Attributes:
        place: where.
        operation: a word for the report: ``zero``, ``scale by 0.5``, ``replace with its linear fit``.
        factor: how much of the activation stays; broadcasts to it.
        value: what is added; broadcasts to the activation over all inputs.
        elsewhere: whether the change is made everywhere at the site but at the place.
        over_inputs: whether ``value`` was made over the first axis of a reference, so that it must be that of inputs.
    """

    place: Place
    operation: str
    factor: float | Tensor = 0.0
    value: Tensor | None = None
    elsewhere: bool = False
    over_inputs: bool = False

    @property
    def site(self) -> str:
        return self.place.site

    def __str__(self) -> str:
        return f"{self.operation} {'all but ' if self.elsewhere else ''}{self.place}"

    @property
    def key(self) -> str:
        """Tells this edit from every other: two edits with one key do the same."""
        return digest(self.place.site, self.place.where, self.operation, self.factor, self.value, self.elsewhere)

    def everywhere_else(self) -> "Edit":
        """The same change on all of the site that this one leaves as it is, and on nothing else."""
        if not self.place.where:
            raise SiteError(f"{self}: it changes the whole of {self.site}. Say which part is left out, as in head=3.")
        return _with(self, elsewhere=not self.elsewhere)

    def apply(self, activation: Tensor, axes: str = "", rows: Rows | None = None) -> Tensor:
        """The activation with the change made.

        Args:
            activation: at the site, for the inputs in ``rows``.
            axes: the names of its axes.
            rows: which inputs these are; all of them when ``None``.

        Raises:
            SiteError: the place or the value does not fit the activation.
        """
        names = axes.split()
        batch = names.index(BATCH) if BATCH in names else None if names else 0
        if self.over_inputs and batch != 0:
            raise SiteError(
                f"{self}: the first axis of site {self.site} is not that of the inputs. Its axes: {axes}. "
                "Work the value out and use replace(site, value, label)."
            )
        if rows is None:
            many = 1 if batch is None or not activation.ndim else activation.shape[batch]
            rows = Rows(0, many, many)
        changed = self._changed(activation, batch, rows)
        if not torch.can_cast(changed.dtype, activation.dtype):
            raise SiteError(f"{self}: gives {changed.dtype}, and the activation at {self.site} is {activation.dtype}.")
        if self.place.where:
            mask = self.place.mask(activation, axes, rows)
            changed = torch.where(~mask if self.elsewhere else mask, changed, activation)
        # A tensor of its own, because later layers may work in place; laid out in memory as the activation is, because
        # sums and products over another layout round otherwise.
        return torch.empty_like(activation).copy_(changed)

    def _changed(self, activation: Tensor, batch: int | None, rows: Rows) -> Tensor:
        added = None if self.value is None else self._fitted(self.value, activation, batch, rows)
        if isinstance(self.factor, Tensor):
            kept = activation * self._fitted(self.factor, activation, batch, rows)
        elif self.factor:
            kept = activation * self.factor
        else:
            return activation.new_zeros(()) if added is None else added
        return kept if added is None else kept + added

    def _fitted(self, value: Tensor, activation: Tensor, batch: int | None, rows: Rows) -> Tensor:
        shape = list(activation.shape)
        if batch is not None and value.ndim == len(shape) > batch and shape[batch] == rows.last - rows.first:
            # It is made for all inputs, of which this batch has some.
            shape[batch] = rows.total
        try:
            fitted = value.to(activation.device).expand(shape)
        except RuntimeError:
            raise SiteError(
                f"{self}: its value has the shape {tuple(value.shape)}, and the activation at {self.site} "
                f"{tuple(shape)}. Give one that broadcasts to it."
            ) from None
        return fitted if shape == list(activation.shape) else fitted[(slice(None),) * (batch or 0) + (rows.slice,)]


def at(site: str | Place, /, **where: Any) -> Place:
    """The part of a site that ``where`` selects by axis name: an index, a list of indices or a boolean mask."""
    place = site if isinstance(site, Place) else Place(site)
    if twice := where.keys() & dict(place.where).keys():
        raise SiteError(f"{place}: axis {', '.join(sorted(twice))} is selected already.")
    chosen = [*place.where, *((axis, _indices(one)) for axis, one in where.items())]
    return Place(place.site, tuple(sorted(chosen, key=lambda pair: pair[0])))


def zero(site: str | Place, /, **where: Any) -> Edit:
    """Zero ablation."""
    return Edit(at(site, **where), "zero")


def mean(site: str | Place, reference: Shaped[Tensor, "input *activation"], /, **where: Any) -> Edit:
    """Mean ablation: the mean over the inputs of ``reference``, which are activations at the whole site."""
    value = _some(site, reference).mean(0, keepdim=True)
    return Edit(at(site, **where), f"mean of {len(reference):,} inputs", value=value, over_inputs=True)


def resample(
    site: str | Place, reference: Shaped[Tensor, "input *activation"], generator: torch.Generator, /, **where: Any
) -> Edit:
    """Resample ablation: each input gets the activation of another, drawn from all others with replacement.

    ``reference`` holds an activation at the whole site for each input of the run that is changed. Row by row it may be
    of the same inputs: none gets its own row.

    Raises:
        SiteError: there are fewer than two rows.
    """
    many = len(_some(site, reference))
    if many < 2:
        raise SiteError(f"{site}: one input has no other to be resampled from. Give the activations of two or more.")
    steps = torch.randint(1, many, (many,), generator=generator, device=generator.device).to(reference.device)
    drawn = (torch.arange(many, device=reference.device) + steps) % many
    return Edit(at(site, **where), f"resample from {many:,} inputs", value=reference[drawn], over_inputs=True)


def patch(site: str | Place, source: Shaped[Tensor, "input *activation"], /, **where: Any) -> Edit:
    """Activation patching: each input gets its activation in ``source``, another run of as many inputs."""
    return Edit(at(site, **where), "patch", value=source)


def scale(site: str | Place, factor: float | Tensor, /, **where: Any) -> Edit:
    """Multiply by ``factor``, which broadcasts to the activation."""
    words = "by a factor each" if isinstance(factor, Tensor) and factor.numel() > 1 else f"by {float(factor):g}"
    return Edit(at(site, **where), f"scale {words}", factor)


def replace(site: str | Place, value: float | Tensor, label: str, /, **where: Any) -> Edit:
    """Put ``value``, called ``label`` in the report, in the activation's place; it must broadcast to it."""
    return Edit(at(site, **where), f"replace with {label}", value=torch.as_tensor(value))


def keep_only(site: str | Place, /, **where: Any) -> Edit:
    """Zero all of a site but the part that ``where`` selects. For another ablation: ``mean(…).everywhere_else()``."""
    return zero(site, **where).everywhere_else()


def _some(site: str | Place, reference: Tensor) -> Tensor:
    if not reference.ndim or not len(reference):
        raise SiteError(f"{site}: the reference has the shape {tuple(reference.shape)}. Expected a row for each input.")
    return reference


def _indices(chosen: Any) -> Tensor:
    try:
        none = isinstance(chosen, list | tuple) and not chosen
        found = torch.as_tensor(chosen, dtype=torch.long if none else None)
    except (TypeError, ValueError, RuntimeError):
        found = torch.zeros(())
    mask = found.dtype == torch.bool
    if found.ndim > 1 or found.is_floating_point() or found.is_complex() or (mask and not found.ndim):
        raise SiteError(f"a part is selected by an index, a list of indices or a boolean mask, not by {chosen!r}.")
    # Bytes would be taken for a mask.
    return found if mask else found.long()


def _words(chosen: Tensor) -> str:
    if chosen.dtype == torch.bool:
        return f"{int(chosen.sum())} of {len(chosen)}"
    numbers = [str(number) for number in chosen.reshape(-1).tolist()] or ["none"]
    return ", ".join(numbers if len(numbers) <= 8 else [*numbers[:6], f"… {len(numbers)} in all"])


_NOTED: ContextVar[dict[str, None] | None] = ContextVar("interventions noted", default=None)


@contextmanager
def record_edits() -> Iterator[dict[str, None]]:
    """Gathers the words of every edit made in the meantime, in their order, each once."""
    words: dict[str, None] = {}
    token = _NOTED.set(words)
    try:
        yield words
    finally:
        _NOTED.reset(token)


def note(edits: Iterable[Edit]) -> None:
    """Say that ``edits`` are made, to whoever gathers them."""
    if (words := _NOTED.get()) is not None:
        words.update((str(edit), None) for edit in edits)
