"""What every system offers: a module, where its weights came from, and twins of it to compare with."""

import copy
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from mechtests.activations.capture import Inputs, as_inputs, calls, reached, rows_within, run, upstream
from mechtests.activations.interventions import Axes, Edit, Place, SiteError, at, note
from mechtests.cache import Cache, code_fingerprint
from mechtests.cache.digests import DigestError, digest
from mechtests.checkpoints import Checkpoint

_FEW = 64
"""Inputs that are run at once without asking how much memory they take."""


@dataclass(frozen=True, order=True)
class Head:
    """An attention head, printed ``L2H7``: layer 2, head 7, both counted from 0."""

    layer: int
    index: int

    def __str__(self) -> str:
        return f"L{self.layer}H{self.index}"


@dataclass(frozen=True)
class Derived:
    """A site that no submodule returns, worked out from others when it is asked for.

    Attributes:
        sources: the sites that it is worked out from, which may be derived themselves.
        compute: from the system and the activations there to this one's.
        axes: the names of its axes.
    """

    sources: tuple[str, ...]
    compute: Callable[..., Tensor]
    axes: str = ""


class ChangedWeightsError(Exception):
    """The weights of a system are no longer those that it was made with."""


class System:
    """A trained model and the task it does. Wrap any ``torch.nn.Module``, or derive an adapter that knows its insides.

    The module is put into evaluation mode and its weights stop asking for gradients. Two systems are equal when their
    weights and architecture are.

    Attributes:
        name: the system's name, the first part of its claims' ids.
        module: the model, in evaluation mode.
        checkpoint: where the weights came from; ``None`` for weights that are in no file.
        identity: tells these weights from all others: a sha256, or how a twin was made.
        cache: activations already computed in this run.
        axes: by site, the names of its activation's axes, which edits and parts select on.
        derived: sites that are worked out from others.
        batch_bytes: what the tensors made in one batch of a forward pass may take together.
    """

    axes: ClassVar[Axes] = {}
    derived: ClassVar[Mapping[str, Derived]] = {}

    def __init__(
        self,
        module: nn.Module,
        name: str,
        *,
        checkpoint: Checkpoint | None = None,
        identity: str | None = None,
        cache: Cache | None = None,
    ) -> None:
        self.module = module.eval().requires_grad_(False)
        self.name = name
        self.checkpoint = checkpoint
        self.cache = Cache() if cache is None else cache
        # A processor is fastest while a batch stays near its caches, a GPU while a batch fills it.
        self.batch_bytes = 64 << 20 if self.device.type == "cpu" else 1 << 30
        self._untrained: dict[int, Self] = {}
        self._rows_known: dict[object, int] = {}
        self._version = _version(self.module)
        self.identity = identity or (checkpoint.sha256 if checkpoint else _weights(module))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, System) and self.identity == other.identity

    def __hash__(self) -> int:
        return hash(self.identity)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        first = next(self.module.parameters(), None)
        return torch.device("cpu") if first is None else first.device

    @cached_property
    def architecture(self) -> str:
        """Tells modules made of the same layers with the same weight shapes from all others."""
        return _architecture(self.module)

    @property
    def heads(self) -> Sequence[Head]:
        """The attention heads; a system that has some overrides this."""
        return ()

    def fresh_module(self) -> nn.Module:
        """The same architecture with weights drawn anew, as before training.

        This one calls ``reset_parameters`` of every layer. Override it where the architecture initialises otherwise.

        Raises:
            NotImplementedError: some layer with weights has no ``reset_parameters``.
        """
        module = copy.deepcopy(self.module)
        for path, layer in module.named_modules():
            if next(layer.parameters(recurse=False), None) is not None:
                reset: Callable[[], None] | None = getattr(layer, "reset_parameters", None)
                if reset is None:
                    raise NotImplementedError(
                        f"{type(self).__name__} cannot make an untrained twin: {path or type(layer).__name__} has "
                        "weights and no reset_parameters. Override fresh_module to return a module with new weights."
                    )
                reset()
        return module

    def untrained(self, seed: int) -> Self:
        """A twin of the same architecture with freshly drawn weights; the seed decides them, whatever the device.

        Twins are kept: every claim about this system is compared with the same ones.
        """
        if seed not in self._untrained:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                module = self.fresh_module()
            self._untrained[seed] = self._twin(module.to(self.device), f"untrained:{self.architecture}:{seed}")
        return self._untrained[seed]

    def shuffled(self, seed: int) -> Self:
        """A twin in which the entries of each weight are permuted among themselves."""
        generator = torch.Generator().manual_seed(seed)
        module = copy.deepcopy(self.module)
        with torch.no_grad():
            for weight in module.parameters():
                order = torch.randperm(weight.numel(), generator=generator).to(weight.device)
                weight.copy_(weight.flatten()[order].reshape(weight.shape))
        return self._twin(module, f"shuffled:{self.identity}:{seed}")

    def forward(self, *inputs: Tensor, **arguments: Any) -> object:
        """How the module is called with inputs; a system whose module is called otherwise overrides this."""
        return self.module(*inputs, **arguments)

    def head(self, head: Head) -> Place:
        """Where a head's output is, to be read or changed: ``zero(system.head(Head(2, 7)))``.

        Raises:
            SiteError: the system has no heads.
        """
        raise SiteError(f"{self.name} has no attention heads, so there is no {head}.")

    def activations(
        self, inputs: Tensor | Inputs, sites: Iterable[str | Place], *edits: Edit, **arguments: Any
    ) -> dict[str | Place, Tensor]:
        """Activations at ``sites`` for ``inputs``, from the cache or one forward pass.

        The pass goes no further than the last site asked for. It is cut into batches by the system's ``batch_bytes``,
        which changes no number where :func:`~mechtests.activations.capture.batches` says so. What comes from the
        cache is what the same weights gave for the same inputs, edits and arguments, whatever they are called.

        Args:
            inputs: what the module is called with: tensors with a row for each input.
            sites: which activations, whole or in part; submodules or derived ones.
            edits: changes made on the way, in their order.
            arguments: further arguments of the module's forward, the same for every input.

        Raises:
            SiteError: a site is not reached, or an edit or a part does not fit its site.
            ChangedWeightsError: the weights were changed after the system was made.
        """
        return self._activations(as_inputs(inputs), tuple(sites), edits, arguments, {})

    def sweep(
        self,
        inputs: Tensor | Inputs,
        sites: Iterable[str | Place],
        ablations: Iterable[Edit | Sequence[Edit]],
        **arguments: Any,
    ) -> Iterator[dict[str | Place, Tensor]]:
        """For each of ``ablations``, the activations at ``sites`` with it made.

        They are those of :meth:`activations`, bit for bit. Submodules whose work is over before the first changed site
        is reached are run once for all, and not again for each ablation; only where they return a row for each input,
        and hand nothing on but by what they return.
        """
        tensors, asked = as_inputs(inputs), tuple(sites)
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
                raise SiteError(f"{edit}: this site is worked out, and no part of the pass. Change {rule.sources}.")
        note(edits)
        key = self._key(inputs, edits, arguments) if keep else None
        found: dict[str | Place, Tensor] = {}
        for site in sites:
            kept = None if key is None else self.cache.get((*key, at(site).key))
            if kept is not None:
                found[site] = kept
        missing = [site for site in sites if site not in found]
        if missing:
            needed = dict.fromkeys(source for site in missing for source in self._sources(site))
            rows = self._rows(inputs, arguments)
            call = self._called(arguments)
            self.cache.passes += 1
            computed = run(self.module, inputs, list(needed), edits, self.axes, forward=call, given=given, rows=rows)
            for site in missing:
                with torch.inference_mode():  # so that nobody can change in place what is kept
                    found[site] = self._derived(site, computed)
                if key is not None:
                    found[site] = self.cache.put((*key, at(site).key), found[site])
        return {site: found[site] for site in sites}

    def _reduced(self, inputs: Inputs, site: str, edits: Sequence[Edit], reduce: Callable[..., Tensor]) -> Tensor:
        """``reduce(activation, *inputs)``, kept in the activation's place, which may be far larger.

        ``reduce`` is a function of mechtests, or of the file that defines the system's class.
        """
        note(edits)
        key = self._key(inputs, edits, {})

        def reduced() -> Tensor:
            activation = self._activations(inputs, (site,), edits, {}, {}, keep=False)[site]
            with torch.inference_mode():
                return reduce(activation, *inputs)

        return reduced() if key is None else self.cache.get_or((*key, site, reduce.__qualname__), reduced)

    def _sources(self, site: str | Place) -> tuple[str | Place, ...]:
        """What a pass must read to give ``site``."""
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

    def _key(self, inputs: Inputs, edits: Sequence[Edit], arguments: Mapping[str, Any]) -> tuple[str, ...] | None:
        """Tells a pass from all others; ``None`` where there is no telling."""
        if self._version != _version(self.module):
            raise ChangedWeightsError(
                f"the weights of {self.name} were changed or moved after the system was made, so what is kept of it is "
                "of other weights. Change a copy of the module and wrap that: System(module, name)."
            )
        try:
            told = digest(inputs, [edit.key for edit in edits], dict(arguments))
        except DigestError:
            return None
        return *self.kind, told

    @property
    def kind(self) -> tuple[str, ...]:
        """Tells this system from every other that may measure otherwise: by weights, their type and place, and code."""
        weights = next(self.module.parameters(), torch.empty(0))
        # Two kinds of system may call the same weights in two ways, and derive otherwise what they call the same.
        adapter = f"{type(self).__module__}.{type(self).__qualname__}"
        return self.identity, adapter, self._code, str(weights.dtype), weights.device.type

    @cached_property
    def _code(self) -> str:
        """Tells the code of this kind of system and of its layers from any other."""
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

    def _twin(self, module: nn.Module, identity: str) -> Self:
        twin = copy.copy(self)
        twin.module = module.eval().requires_grad_(False)
        twin.checkpoint, twin.identity, twin._version = None, identity, _version(module)
        return twin


def _architecture(module: nn.Module) -> str:
    layers = [(name, type(layer).__qualname__, layer.extra_repr()) for name, layer in module.named_modules()]
    shapes = sorted((name, tuple(weight.shape)) for name, weight in module.named_parameters())
    return f"{type(module).__qualname__}:{hashlib.sha256(repr((layers, shapes)).encode()).hexdigest()[:16]}"


def _weights(module: nn.Module) -> str:
    return digest(_architecture(module), dict(module.state_dict()))


def _version(module: nn.Module) -> list[tuple[int, int]]:
    """Where each weight is, and how often it was changed in place; changes through ``.data`` are not counted.

    It is asked before every pass, and ``module.parameters()`` takes three times as long.
    """
    found = [
        (weight.data_ptr(), 0 if weight.is_inference() else weight._version)
        for weight in module._parameters.values()
        if weight is not None
    ]
    for layer in module._modules.values():
        if layer is not None:
            found += _version(layer)
    return found
