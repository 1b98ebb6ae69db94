"""Ablations of components: heads, neurons, positions and whole sites, as edits."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from mechtests.activations.interventions import Edit, Place, at, mean, resample, zero
from mechtests.systems.head import Head

Ablation = Literal["zero", "mean", "resample"]
Component = Head | Place | str
"""A head, a part of a site (``at(site, neuron=mask)``, ``at(site, position=[0, 2])``), or a whole site by name."""


def places_of(components: Component | Iterable[Component], place_of: Callable[[Head], Place]) -> list[Place]:
    """Where components are, in their order; heads whose outputs are at the same site make one place.

    Args:
        components: one or several.
        place_of: where a head's output is, selected along one axis of its site.
    """
    several = [components] if isinstance(components, Head | Place | str) else components
    groups: dict[object, list[Place]] = {}
    for number, component in enumerate(several):
        if isinstance(component, Head):
            place = place_of(component)
            groups.setdefault(place.site, []).append(place)
        else:
            groups[number] = [at(component)]
    return [_together(group) for group in groups.values()]


def ablations(
    places: Sequence[Place],
    how: Ablation,
    reference: Callable[[Sequence[str]], Mapping[str, Tensor]] | None,
    generator: torch.Generator | None,
    inputs: int | None,
) -> list[Edit]:
    """An edit for each place; the arguments are those of :meth:`mechtests.systems.System.ablate`.

    ``reference`` gives, for sites, their activations ``[input ...]`` on the reference inputs.
    """
    if how not in ("zero", "mean", "resample"):
        raise ValueError(f"ablate: expected 'zero', 'mean' or 'resample', found {how!r}.")
    if how == "zero":
        return [zero(place) for place in places]
    if reference is None:
        raise ValueError(f"ablate: {how} ablation needs reference inputs. Give them, as in reference=tokens.")
    if how == "resample" and generator is None:
        raise ValueError(
            "ablate: resample ablation draws at random. Give generator=evidence.generator, or a seeded one."
        )
    activations = reference(list(dict.fromkeys(place.site for place in places)))
    if how == "mean":
        return [mean(place, activations[place.site]) for place in places]
    assert generator is not None
    if inputs is not None:
        available = min((len(activation) for activation in activations.values()), default=inputs)
        if available < inputs:
            raise ValueError(f"ablate: {available} reference inputs for a run of {inputs}. Give as many or more.")
        rows = torch.randperm(available, generator=generator)[:inputs]
        activations = {site: some[rows.to(some.device)] for site, some in activations.items()}
    return [resample(place, activations[place.site], generator) for place in places]


def _together(places: Sequence[Place]) -> Place:
    """One place for all of ``places``, which select along one and the same axis of one site."""
    first = places[0]
    if len(places) == 1:
        return first
    ((axis, _),) = first.where
    return at(first.site, **{axis: torch.cat([chosen.reshape(-1) for place in places for _, chosen in place.where])})
