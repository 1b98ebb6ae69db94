"""The published ODEFormer: a pickle of a whole object, turned into a checkpoint that can be read safely."""

from collections.abc import Iterator
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mechtests.checkpoints import CheckpointError, Provenance, fill, save
from mechtests.checkpoints.restricted_pickle import Inert, InertFile, Weights
from mechtests.systems.odeformer.modules import OdeformerModules
from mechtests.systems.odeformer.package import OdeformerConfig, OdeformerMissingError, environment

ADDRESS = "https://drive.google.com/uc?id=1L_UZ0qgrBVkRuhg5j3BQoGxlvMk_Pm1W"
"""Where the package itself downloads its weights from."""

SIZE = "465 MB"

ALLOWED = (
    "argparse.Namespace",
    "collections.defaultdict",
    # Bound methods and sets of the environment; it is not made, so none of them is either.
    "__builtin__.float",
    "__builtin__.getattr",
    "__builtin__.set",
    "builtins.float",
    "builtins.getattr",
    "builtins.set",
    "_codecs.encode",
    # Tables of its generator, under the names of old and new NumPy.
    "numpy.dtype",
    "numpy.ndarray",
    "numpy.core.multiarray._reconstruct",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray._reconstruct",
    "numpy._core.multiarray.scalar",
    "numpy.random._pickle.__randomstate_ctor",
    "numpy.random._pickle.__bit_generator_ctor",
    "numpy.random._mt19937.MT19937",
    "odeformer.envs.encoders.*",
    "odeformer.envs.environment.*",
    "odeformer.envs.generators.*",
    "odeformer.envs.simplifiers.*",
    "odeformer.model.embedders.*",
    "odeformer.model.model_wrapper.*",
    "odeformer.model.transformer.*",
    "torch.device",
    "torch.float16",
    "torch.float32",
    "torch.nn.functional.silu",
    "torch.nn.modules.container.ModuleList",
    "torch.nn.modules.linear.Linear",
    "torch.nn.modules.normalization.LayerNorm",
    "torch.nn.modules.sparse.Embedding",
)
"""Whatever the published file may name. None of it is looked up or run."""

_NEEDED = {"activation": "silu", "use_cross_attention": True, "use_two_hot": False, "float_descriptor_length": 3}
"""Settings that change what the modules do and leave no trace in their weights."""


def import_published(source: Path, target: Path) -> Provenance:
    """Write the model that the package saved as ``source`` to ``target``, in safetensors with its sizes.

    Raises:
        CheckpointError: the file is damaged, hostile or of another kind, or the package is not installed.
    """
    file = InertFile(source, ALLOWED)
    config = _config(source, file.root)
    tensors = {name: file.tensor(weights) for name, weights in _weights(file.root) if not name.startswith("env")}
    try:
        module = OdeformerModules(config)
        _check_words(source, file.root, config)
    except OdeformerMissingError as error:
        raise CheckpointError(str(error)) from error
    except (AssertionError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{source}: no ODEFormer has the sizes that it tells ({error}).") from error
    fill(module, tensors, source)
    _check_numbers(source, tensors)
    provenance = Provenance("odeformer", asdict(config), recipe="published")
    try:
        save(target, module, provenance)
    except OSError as error:
        raise CheckpointError(f"{target}: {error.strerror}. Name a file that can be written with -o.") from error
    return provenance


def _config(source: Path, root: object) -> OdeformerConfig:
    if not isinstance(root, Inert) or root.made_by != "odeformer.model.model_wrapper.ModelWrapper":
        found = root.made_by if isinstance(root, Inert) else type(root).__name__
        raise CheckpointError(
            f"{source}: expected a ModelWrapper of the odeformer package, found {found}. "
            "Give the file odeformer.pt that the package downloads."
        )
    params = _state(source, _state(source, root, "_modules")["embedder"], "params").state
    sizes = [field.name for field in fields(OdeformerConfig) if field.name != "smooth_start"]
    if not isinstance(params, dict) or (missing := [name for name in sizes if not isinstance(params.get(name), int)]):
        raise CheckpointError(f"{source}: it does not tell its sizes: {', '.join(missing)}.")
    for name, expected in _NEEDED.items():
        if params.get(name, expected) != expected:
            raise CheckpointError(
                f"{source}: {name} is {params[name]!r}, expected {expected!r}: another kind of ODEFormer."
            )
    return OdeformerConfig(**{name: params[name] for name in sizes}, smooth_start=False)


def _check_words(source: Path, root: Any, config: OdeformerConfig) -> None:
    """That the file's words have the numbers that the installed package gives them."""
    modules, here = _state(source, root, "_modules"), environment(config)
    for stack, expected in (("encoder", here.float_id2word), ("decoder", here.equation_id2word)):
        if _state(source, modules[stack], "id2word") != expected:
            raise CheckpointError(
                f"{source}: the {stack}'s words are not those of the installed odeformer package, so nothing that it "
                "reads or writes would be understood. Install odeformer==0.1.7."
            )


def _check_numbers(source: Path, tensors: dict[str, Tensor]) -> None:
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise CheckpointError(f"{source}: weight {name} holds NaN or infinite values. Fetch the file again.")
    if not tensors["decoder.proj.weight"].equal(tensors["decoder.embeddings.weight"]):
        raise CheckpointError(f"{source}: its decoder reads and writes words by two tables, expected one for both.")


def _weights(module: Inert, prefix: str = "") -> Iterator[tuple[str, Weights]]:
    """Every weight of a module and of those within, by the name that it has in a state dict."""
    state = module.state if isinstance(module.state, dict) else {}
    for kind in ("_parameters", "_buffers"):
        for name, weights in (state.get(kind) or {}).items():
            if isinstance(weights, Weights):
                yield f"{prefix}{name}", weights
    for name, inner in (state.get("_modules") or {}).items():
        if isinstance(inner, Inert):
            yield from _weights(inner, f"{prefix}{name}.")


def _state(source: Path, record: Any, name: str) -> Any:
    try:
        return record.state[name]
    except (AttributeError, KeyError, TypeError):
        raise CheckpointError(f"{source}: a part of the model has no {name}. Fetch the file again.") from None
