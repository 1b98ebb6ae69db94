"""Identities of a module's weights and architecture, and modules with other weights."""

import copy
import hashlib
from collections.abc import Callable

import torch
from torch import nn

from mechtests.cache.digests import digest


def architecture_of(module: nn.Module) -> str:
    """Equal for modules made of the same layers with the same weight shapes."""
    layers = [(name, type(layer).__qualname__, layer.extra_repr()) for name, layer in module.named_modules()]
    shapes = sorted((name, tuple(weight.shape)) for name, weight in module.named_parameters())
    return f"{type(module).__qualname__}:{hashlib.sha256(repr((layers, shapes)).encode()).hexdigest()[:16]}"


def identity_of(module: nn.Module) -> str:
    """A sha256 of the architecture and of every weight and buffer."""
    return digest(architecture_of(module), dict(module.state_dict()))


def version_of(module: nn.Module) -> list[tuple[int, int]]:
    """Where each weight is, and how often it was changed in place; changes through ``.data`` are not counted.

    It is called before every pass, and ``module.parameters()`` takes three times as long.
    """
    versions = [
        (weight.data_ptr(), 0 if weight.is_inference() else weight._version)
        for weight in module._parameters.values()
        if weight is not None
    ]
    for layer in module._modules.values():
        if layer is not None:
            versions += version_of(layer)
    return versions


def redrawn(module: nn.Module, owner: str) -> nn.Module:
    """A copy with newly initialised weights, by ``reset_parameters`` of every layer that has weights.

    Raises:
        NotImplementedError: some layer with weights has no ``reset_parameters``; ``owner`` is the system's class.
    """
    module = copy.deepcopy(module)
    for path, layer in module.named_modules():
        if next(layer.parameters(recurse=False), None) is not None:
            reset: Callable[[], None] | None = getattr(layer, "reset_parameters", None)
            if reset is None:
                raise NotImplementedError(
                    f"{owner} cannot make an untrained twin: {path or type(layer).__name__} has "
                    "weights and no reset_parameters. Override fresh_module to return a module with new weights."
                )
            reset()
    return module


def permuted(module: nn.Module, seed: int) -> nn.Module:
    """A copy in which the entries of each weight are permuted among themselves."""
    generator = torch.Generator().manual_seed(seed)
    module = copy.deepcopy(module)
    with torch.no_grad():
        for weight in module.parameters():
            order = torch.randperm(weight.numel(), generator=generator).to(weight.device)
            weight.copy_(weight.flatten()[order].reshape(weight.shape))
    return module
