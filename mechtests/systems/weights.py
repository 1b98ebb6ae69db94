"""What tells the weights and the architecture of a module from all others."""

import hashlib

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

    It is asked before every pass, and ``module.parameters()`` takes three times as long.
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
