"""What every system offers: a module, where its weights came from, and twins of it to compare with."""

import copy
import hashlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from mechtests.activations import Axes, Edit, raw_bytes, run
from mechtests.cache import Cache
from mechtests.checkpoints import Checkpoint


@dataclass(frozen=True, order=True)
class Head:
    """An attention head, printed ``L2H7``: layer 2, head 7, both counted from 0."""

    layer: int
    index: int

    def __str__(self) -> str:
        return f"L{self.layer}H{self.index}"


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
        axes: by site, the names of its activation's axes, which edits select on.
    """

    axes: ClassVar[Axes] = {}

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
        self._untrained: dict[int, Self] = {}
        self.identity = identity or (checkpoint.sha256 if checkpoint else _digest(module))

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

    def activations(
        self, inputs: Tensor, sites: Collection[str], *edits: Edit, key: str | None = None, **arguments: Any
    ) -> dict[str, Tensor]:
        """Activations at ``sites`` for ``inputs``, from the cache or one forward pass.

        Args:
            inputs: what the module is called with.
            sites: which activations.
            edits: changes made on the way.
            key: tells these inputs, and the further arguments, from all others; without one nothing is cached.
            arguments: further arguments of the module's forward.
        """
        made = tuple(edit.key for edit in edits)
        kept = {site: self.cache.get((self.identity, key, site, made)) for site in sites} if key is not None else {}
        found = {site: activation for site, activation in kept.items() if activation is not None}
        if missing := [site for site in sites if site not in found]:
            moved = inputs.to(self.device)
            self.cache.passes += 1
            computed = run(self.module, lambda: self.module(moved, **arguments), missing, edits, self.axes)
            for site, activation in computed.items():
                if key is not None:
                    self.cache.put((self.identity, key, site, made), activation)
            found |= computed
        return found

    def _twin(self, module: nn.Module, identity: str) -> Self:
        twin = copy.copy(self)
        twin.module = module.eval().requires_grad_(False)
        twin.checkpoint, twin.identity = None, identity
        return twin


def _architecture(module: nn.Module) -> str:
    layers = [(name, type(layer).__qualname__, layer.extra_repr()) for name, layer in module.named_modules()]
    shapes = sorted((name, tuple(weight.shape)) for name, weight in module.named_parameters())
    return f"{type(module).__qualname__}:{hashlib.sha256(repr((layers, shapes)).encode()).hexdigest()[:16]}"


def _digest(module: nn.Module) -> str:
    digest = hashlib.sha256(_architecture(module).encode())
    for name, tensor in module.state_dict().items():
        digest.update(name.encode() + raw_bytes(tensor))
    return digest.hexdigest()
