"""The sites of a system: its submodules, and those that are derived from them."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from mechtests.activations.capture import INPUT
from mechtests.activations.interventions import Axes


@dataclass(frozen=True)
class Derived:
    """A site that no submodule returns, computed from others when it is read.

    Attributes:
        sources: the sites that it is computed from, which may be derived themselves.
        compute: from the system and the activations there to this one's.
        axes: the names of its axes.
    """

    sources: tuple[str, ...]
    compute: Callable[..., Tensor]
    axes: str = ""


def sites_of(module: nn.Module, axes: Axes, derived: Mapping[str, Derived]) -> dict[str, str]:
    """By site, the names of its axes: submodules in their order, inputs of submodules with named axes, derived sites.

    Lists and dictionaries of submodules are left out, because no pass calls them. Of ``axes`` and ``derived``, sites
    of layers that ``module`` does not have are left out.
    """
    submodules = [name for name, one in module.named_modules(remove_duplicate=False) if name and _called(one)]
    known = set(submodules)
    inputs = [site for site in axes if site.endswith(INPUT) and site.removesuffix(INPUT) in known]

    def exists(site: str) -> bool:
        if site in derived:
            return all(map(exists, derived[site].sources))
        return site.removesuffix(INPUT) in known

    def rows() -> Iterator[tuple[str, str]]:
        for site in (*submodules, *inputs):
            yield site, axes.get(site, "")
        for site, rule in derived.items():
            if exists(site):
                yield site, rule.axes

    return dict(rows())


def _called(module: nn.Module) -> bool:
    return not isinstance(module, nn.ModuleList | nn.ModuleDict | nn.ParameterList | nn.ParameterDict)
