"""The base of all systems: a module, the provenance of its weights, and twins of it to compare with."""

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from mechtests.activations.interventions import Edit, Place, SiteError, scale
from mechtests.cache import Cache
from mechtests.checkpoints import Checkpoint
from mechtests.systems.ablation import Ablation, Component, ablations, places_of
from mechtests.systems.derived import Derived
from mechtests.systems.forward import ChangedWeightsError, ForwardPasses
from mechtests.systems.head import Head
from mechtests.systems.weights import identity_of, permuted, redrawn, version_of

__all__ = ["ChangedWeightsError", "Derived", "Head", "System"]


class System(ForwardPasses):
    """A trained model and the task it does. Wrap any ``torch.nn.Module``, or derive an adapter for its internals.

    The module is put into evaluation mode and its weights no longer require gradients. Two systems are equal when their
    weights and architecture are.

    Attributes:
        name: the system's name, the first part of its claims' ids.
        module: the model, in evaluation mode.
        checkpoint: the provenance of the weights; ``None`` for weights that are in no file.
        identity: identifies the weights: a sha256, or how a twin was made.
        cache: activations already computed in this run.
        axes: by site, the names of its activation's axes, which edits and parts select on.
        derived: sites that are computed from others.
        batch_bytes: the most bytes that the tensors made in one batch of a forward pass may take together.
    """

    def __init__(
        self,
        module: nn.Module,
        name: str,
        *,
        checkpoint: Checkpoint | None = None,
        identity: str | None = None,
        cache: Cache | None = None,
    ) -> None:
        if not isinstance(module, nn.Module):
            raise TypeError(
                f"System: expected a torch.nn.Module, found {type(module).__name__}. Wrap the model itself, not its "
                "path or its state dict: System(module, name)."
            )
        super().__init__(module, cache)
        self.name = name
        self.checkpoint = checkpoint
        self._untrained: dict[int, Self] = {}
        self.identity = identity or (checkpoint.sha256 if checkpoint else identity_of(module))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, System) and self.identity == other.identity

    def __hash__(self) -> int:
        return hash(self.identity)

    def __repr__(self) -> str:
        """One line: kind, checkpoint or how the twin was made, size, device."""
        size = sum(weight.numel() for weight in self.module.parameters())
        kind = type(self).__name__ if type(self) is not System else f"System({type(self.module).__name__})"
        made, *_, seed = self.identity.split(":") * 2
        twin = f"{made} twin, seed {seed}" if made in ("untrained", "shuffled") else self.identity[:12]
        weights = self.checkpoint.name if self.checkpoint else twin
        return f"<{kind} {self.name!r}: {weights}, {size:,} parameters on {self.device}>"

    @property
    def heads(self) -> Sequence[Head]:
        """The attention heads; a system that has some overrides this."""
        return ()

    def fresh_module(self) -> nn.Module:
        """The same architecture with newly initialised weights, as before training.

        This one calls ``reset_parameters`` of every layer. Override it if the initialisation differs.

        Raises:
            NotImplementedError: some layer with weights has no ``reset_parameters``.
        """
        return redrawn(self.module, type(self).__name__)

    def untrained(self, seed: int) -> Self:
        """A twin with newly initialised weights; the seed determines them, whatever the device.

        Twins are cached: every claim about this system is compared with the same ones.
        """
        if seed not in self._untrained:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                module = self.fresh_module()
            self._untrained[seed] = self._twin(module.to(self.device), f"untrained:{self.architecture}:{seed}")
        return self._untrained[seed]

    def shuffled(self, seed: int) -> Self:
        """A twin in which the entries of each weight are permuted among themselves."""
        return self._twin(permuted(self.module, seed), f"shuffled:{self.identity}:{seed}")

    def head(self, head: Head) -> Place:
        """The place of a head's output, to be read or changed: ``zero(system.head(Head(2, 7)))``.

        Raises:
            SiteError: the system has no heads.
        """
        raise SiteError(f"{self.name} has no attention heads, so there is no {head}.")

    def ablate(
        self,
        components: Component | Iterable[Component],
        how: Ablation,
        reference: Any = None,
        generator: torch.Generator | None = None,
        *,
        inputs: int | None = None,
    ) -> list[Edit]:
        """Edits that ablate components, one for each site or part of it; heads at the same site share one.

        ``system.ablate(heads, "zero")``, ``system.ablate(at(site, neuron=mask), "mean", reference)``.

        Args:
            components: heads, parts of sites or sites, one or several.
            how: ``zero``; ``mean``, the mean over the reference inputs; ``resample``, for each input the activation on
                another of the reference inputs, drawn with replacement, the same one for all heads of a site.
            reference: inputs of the system's own kind, for ``mean`` and ``resample``.
            generator: draws for ``resample``.
            inputs: how many inputs the ablated run has: for ``resample``, as many of the reference inputs are drawn
                first, without replacement. Without it, the reference has as many as the run.

        Raises:
            ValueError: no reference, no generator, or fewer reference inputs than the run has.
            SiteError: a head or a site that does not exist.
        """
        read = None if reference is None else lambda sites: self._on_reference(reference, sites)
        return ablations(places_of(components, self.head), how, read, generator, inputs)

    def scale(self, components: Component | Iterable[Component], factor: float) -> list[Edit]:
        """Edits that multiply components by ``factor``, one for each site or part of it."""
        return [scale(place, factor) for place in places_of(components, self.head)]

    def _on_reference(self, reference: Any, sites: Sequence[str]) -> Mapping[str, Tensor]:
        """Activations at whole sites for inputs of the system's own kind, which a subclass may have."""
        return {str(site): values for site, values in self.activations(reference, sites).items()}

    def _twin(self, module: nn.Module, identity: str) -> Self:
        twin = copy.copy(self)
        twin.module = module.eval().requires_grad_(False)
        twin.checkpoint, twin.identity, twin._version = None, identity, version_of(module)
        return twin
