"""Forward passes of a module: activations read at named sites, changed on the way, and cached."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from mechtests.activations.capture import Inputs, as_inputs, calls, reached, rows_within, run, upstream
from mechtests.activations.interventions import Axes, Edit, Place, SiteError, at, record
from mechtests.cache import Cache, code_fingerprint
from mechtests.cache.digests import DigestError, digest
from mechtests.systems.derived import Derived, sites_of
from mechtests.systems.weights import architecture_of, version_of

_FEW = 64
"""Up to this many inputs are run in one batch without measuring their memory."""


class ChangedWeightsError(Exception):
    """The weights of a system are no longer those that it was made with."""


class ForwardPasses:
    """What can be read from a module, and changed in it, while it runs; see :class:`mechtests.systems.System`.

    Attributes:
        name: the system's name.
        module: the model, in evaluation mode.
        identity: identifies the weights.
        cache: activations already computed in this run.
        axes: by site, the names of its activation's axes, which edits and parts select on.
        derived: sites that are computed from others.
        batch_bytes: the most bytes that the tensors made in one batch of a forward pass may take together.
    """

    name: str
    identity: str
    axes: ClassVar[Axes] = {}
    derived: ClassVar[Mapping[str, Derived]] = {}

    def __init__(self, module: nn.Module, cache: Cache | None) -> None:
        self.module = module.eval().requires_grad_(False)
        self.cache = Cache() if cache is None else cache
        # A processor is fastest while a batch stays near its caches, a GPU while a batch fills it.
        self.batch_bytes = 64 << 20 if self.device.type == "cpu" else 1 << 30
        self._rows_known: dict[object, int] = {}
        self._version = version_of(self.module)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        first = next(self.module.parameters(), None)
        return torch.device("cpu") if first is None else first.device

    @cached_property
    def architecture(self) -> str:
        """Identifies the layers and the shapes of their weights."""
        return architecture_of(self.module)

    def forward(self, *inputs: Tensor, **arguments: Any) -> object:
        """Call the module with inputs; a system whose module is called in another way overrides this."""
        return self.module(*inputs, **arguments)

    def sites(self) -> dict[str, str]:
        """The sites that :meth:`activations` can read, in the pass's order, and the names of their activations' axes.

        Submodules come first, then their inputs (``PATH:input``) if the system names their axes, then derived sites.
        If no names are known, the axes are ``""`` and parts cannot be selected. A pass need not reach every site.
        """
        return sites_of(self.module, self.axes, self.derived)

    def output(self, *inputs: Tensor, **arguments: Any) -> Any:
        """The module's own output for ``inputs``: without hooks, batches or the cache.

        For checking that :meth:`activations` returns what the model computes.
        """
        with torch.inference_mode():
            return self._called(arguments)(*inputs)

    def activations(
        self,
        inputs: Tensor | Inputs,
        sites: Iterable[str | Place],
        *edits: Edit,
        keep: bool = True,
        **arguments: Any,
    ) -> dict[str | Place, Tensor]:
        """Activations at ``sites`` for ``inputs``, from the cache or one forward pass.

        The pass ends at the last requested site. It is split into batches by ``batch_bytes``, which does not change the
        numbers under the conditions of :func:`~mechtests.activations.capture.batches`. The cache is keyed
        by content: the same weights, inputs, edits and arguments, whatever they are called.

        Args:
            inputs: what the module is called with: tensors with a row per input.
            sites: which activations, whole or in part; submodules or derived ones.
            edits: changes made on the way, in their order.
            keep: whether the activations are looked up in the cache and stored there; ``False`` if they are large and
                only a summary of them is needed again.
            arguments: further arguments of the module's forward, the same for every input.

        Raises:
            SiteError: a site is not reached, or an edit or a part does not fit its site.
            ChangedWeightsError: the weights were changed after the system was made.
        """
        return self._activations(as_inputs(inputs), _listed(sites), edits, arguments, {}, keep=keep)

    def sweep(
        self,
        inputs: Tensor | Inputs,
        sites: Iterable[str | Place],
        ablations: Iterable[Edit | Sequence[Edit]],
        **arguments: Any,
    ) -> Iterator[dict[str | Place, Tensor]]:
        """The activations at ``sites`` under each of ``ablations``.

        They are those of :meth:`activations`, bit for bit. Submodules that finish before the first changed site is
        reached run once for all ablations, provided that they return a row per input and pass nothing on except by
        what they return.
        """
        tensors, asked = as_inputs(inputs), _listed(sites)
        order = calls(self.module, self._called(arguments), tuple(tensor[:_FEW] for tensor in tensors))
        given: dict[str | Place, Tensor] = {}
        for ablation in ablations:
            edits = (ablation,) if isinstance(ablation, Edit) else tuple(ablation)
            if not edits:
                yield self._activations(tensors, asked, (), arguments, {})
                continue
            changed = {edit.site for edit in edits}
            over = upstream(self.module, order, changed)
            if given.keys() != set(over):
                given = self._activations(tensors, tuple(over), (), arguments, {})
            first = min(reached(order, site) for site in changed)
            early = {site for site in asked if all(reached(order, at(one).site) < first for one in self._sources(site))}
            before = tuple(site for site in asked if site in early)
            after = tuple(site for site in asked if site not in early)
            yield {
                **(self._activations(tensors, before, (), arguments, {}) if before else {}),
                **self._activations(tensors, after, edits, arguments, {str(name): one for name, one in given.items()}),
            }

    def _activations(
        self,
        inputs: Inputs,
        sites: Sequence[str | Place],
        edits: Sequence[Edit],
        arguments: Mapping[str, Any],
        given: Mapping[str, Tensor],
        *,
        keep: bool = True,
    ) -> dict[str | Place, Tensor]:
        for edit in edits:
            if (rule := self.derived.get(edit.site)) is not None:
                raise SiteError(f"{edit}: this site is derived and not part of the pass. Change {rule.sources}.")
        record(edits)
        self._check_weights()
        key = self._key(inputs, edits, arguments) if keep else None
        activations: dict[str | Place, Tensor] = {}
        for site in sites:
            cached = None if key is None else self.cache.get((*key, at(site).key))
            if cached is not None:
                activations[site] = cached
        missing = [site for site in sites if site not in activations]
        if missing:
            needed = dict.fromkeys(source for site in missing for source in self._sources(site))
            rows = self._rows(inputs, arguments)
            call = self._called(arguments)
            self.cache.passes += 1
            computed = run(self.module, inputs, list(needed), edits, self.axes, forward=call, given=given, rows=rows)
            for site in missing:
                with torch.inference_mode():  # so that nobody can change in place what is cached
                    activations[site] = self._derived(site, computed)
                if key is not None:
                    activations[site] = self.cache.put((*key, at(site).key), activations[site])
        return {site: activations[site] for site in sites}

    def _reduced(self, inputs: Inputs, site: str, edits: Sequence[Edit], reduce: Callable[..., Tensor]) -> Tensor:
        """``reduce(activation, *inputs)``, cached in the activation's place, which may be far larger.

        ``reduce`` is a function of mechtests, or of the file that defines the system's class.
        """
        record(edits)
        self._check_weights()
        key = self._key(inputs, edits, {})

        def reduced() -> Tensor:
            activation = self._activations(inputs, (site,), edits, {}, {}, keep=False)[site]
            with torch.inference_mode():
                return reduce(activation, *inputs)

        return reduced() if key is None else self.cache.get_or((*key, site, reduce.__qualname__), reduced)

    def _sources(self, site: str | Place) -> tuple[str | Place, ...]:
        """The submodules that a pass must read to compute ``site``."""
        rule = self.derived.get(at(site).site)
        return (site,) if rule is None else tuple(one for source in rule.sources for one in self._sources(source))

    def _derived(self, site: str | Place, computed: Mapping[str | Place, Tensor]) -> Tensor:
        if site in computed:
            return computed[site]
        place = at(site)
        rule = self.derived[place.site]
        return place.select(rule.compute(self, *(self._derived(one, computed) for one in rule.sources)), rule.axes)

    def _called(self, arguments: Mapping[str, Any]) -> Callable[..., object]:
        return lambda *inputs: self.forward(*(one.to(self.device) for one in inputs), **arguments)

    def _check_weights(self) -> None:
        if self._version != version_of(self.module):
            raise ChangedWeightsError(
                f"the weights of {self.name} were changed or moved after the system was made, so what is cached is of "
                "other weights. Change a copy of the module and wrap that: System(module, name)."
            )

    def _key(self, inputs: Inputs, edits: Sequence[Edit], arguments: Mapping[str, Any]) -> tuple[str, ...] | None:
        """The cache key of a pass; ``None`` if an argument has no digest."""
        try:
            inputs_digest = digest(inputs, [edit.key for edit in edits], dict(arguments))
        except DigestError:
            return None
        return *self.kind, inputs_digest

    @property
    def kind(self) -> tuple[str, ...]:
        """Identifies everything that a measurement depends on: the weights, their dtype and device, and the code."""
        weights = next(self.module.parameters(), torch.empty(0))
        # Two kinds of system may call the same weights differently, and derive sites of the same name differently.
        adapter = f"{type(self).__module__}.{type(self).__qualname__}"
        return self.identity, adapter, self._code, str(weights.dtype), weights.device.type

    @cached_property
    def _code(self) -> str:
        """Identifies the code of this kind of system and of its layers."""
        kinds: dict[type, None] = dict.fromkeys([type(self), *map(type, self.module.modules())])
        return code_fingerprint(*kinds)

    def _rows(self, inputs: Inputs, arguments: Mapping[str, Any]) -> int | None:
        if len(inputs[0]) <= _FEW:
            return None
        shapes = [(tuple(one.shape[1:]), one.dtype) for one in inputs]
        given = {name: (one.shape, one.dtype) if isinstance(one, Tensor) else one for name, one in arguments.items()}
        key = (self.architecture, self.batch_bytes, repr((shapes, given)))
        if key not in self._rows_known:
            self._rows_known[key] = rows_within(self.batch_bytes, self._called(arguments), inputs)
        return self._rows_known[key]


def _listed(sites: Iterable[str | Place]) -> tuple[str | Place, ...]:
    if isinstance(sites, str | Place):  # a string is a list of its characters
        raise SiteError(f"sites: expected a list, found the one site '{sites}'. Write ['{sites}'].")
    return tuple(sites)
