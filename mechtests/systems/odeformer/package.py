"""The installed ``odeformer`` package: its modules, unchanged, at any size. The only place that imports it."""

import argparse
import math
import warnings
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


class OdeformerMissingError(ImportError):
    """The ``odeformer`` package is not installed."""


@dataclass(frozen=True)
class OdeformerConfig:
    """Sizes of an ODEFormer, under the package's own names; the defaults are those of the small one trained here.

    One is not the package's: ``smooth_start``, whether number words start close to their neighbours before training.
    """

    emb_emb_dim: int = 64
    enc_emb_dim: int = 128
    dec_emb_dim: int = 128
    n_emb_layers: int = 1
    emb_expansion_factor: int = 1
    n_enc_layers: int = 4
    n_dec_layers: int = 12
    n_enc_heads: int = 16
    n_dec_heads: int = 16
    n_enc_hidden_layers: int = 1
    n_dec_hidden_layers: int = 1
    max_dimension: int = 2
    float_precision: int = 2
    max_exponent: int = 100
    max_int: int = 10
    smooth_start: bool = True


PUBLISHED = OdeformerConfig(
    emb_emb_dim=256,
    enc_emb_dim=256,
    dec_emb_dim=512,
    max_dimension=6,
    float_precision=3,
    smooth_start=False,
)
"""The sizes of the published model."""


def build(config: OdeformerConfig) -> nn.Module:
    """A ``ModelWrapper`` of these sizes with its environment and freshly drawn weights, as the package makes it.

    Raises:
        OdeformerMissingError: the package is not installed.
    """
    _, model = _package()
    env = environment(config)
    wrapper = model.ModelWrapper(env=env, **model.build_modules(env, env.params))
    if config.smooth_start:
        _start_smooth(wrapper, config)
    return wrapper


@cache
def environment(config: OdeformerConfig) -> Any:
    """The package's ``FunctionEnvironment`` for these sizes: its vocabularies, and its reader of equations.

    Raises:
        OdeformerMissingError: the package is not installed.
    """
    package, _ = _package()
    parser = argparse.ArgumentParser()
    package.FunctionEnvironment.register_args(parser)
    params = parser.parse_args([])
    sizes = asdict(config)
    del sizes["smooth_start"]
    for name, value in (sizes | _FIXED).items():
        setattr(params, name, value)
    return package.FunctionEnvironment(params)


def _start_smooth(model: Any, config: OdeformerConfig) -> None:
    """Number words start close to their neighbours: embeddings are waves of the value, at many wavelengths."""

    def waves(values: Tensor, width: int) -> Tensor:
        lengths = torch.logspace(math.log10(4), math.log10(0.02), width // 2)
        angles = 2 * math.pi * values[:, None] / lengths
        return torch.cat([angles.sin(), angles.cos()], 1) * width**-0.5

    for table, word2id in (
        (model.embedder.embeddings.weight, model.env.float_word2id),
        (model.decoder.embeddings.weight, model.env.equation_word2id),
    ):
        width = table.shape[1]
        digits = 10 ** (config.float_precision + 1)
        mantissas = [word2id[f"N{i:0{config.float_precision + 1}d}"] for i in range(digits)]
        exponents = [word2id[f"E{i}"] for i in range(-config.max_exponent, config.max_exponent + 1)]
        mixing = torch.linalg.qr(torch.randn(2, width, width)).Q
        with torch.no_grad():
            table[mantissas] = waves(torch.arange(digits) / digits, width) @ mixing[0]
            table[exponents] = waves(torch.arange(len(exponents)) / 20, width) @ mixing[1]


_FIXED: dict[str, Any] = {
    "activation": "silu",
    "norm_attention": False,
    "dropout": 0,
    "attention_dropout": 0,
    "share_inout_emb": True,
    "enc_positional_embeddings": None,
    "dec_positional_embeddings": "learnable",
    "use_cross_attention": True,
    "masked_input": 0,
    "reload_model": "",
    "fp16": False,
    "nvidia_apex": False,
    "cpu": True,
    "debug": False,
}
"""What the package's command line calls by default, and no size."""


def _package() -> tuple[Any, Any]:
    if not hasattr(np, "infty"):
        np.infty = np.inf  # type: ignore[attr-defined]  # left in NumPy 2, and the package needs it
    try:
        with warnings.catch_warnings():  # on import the package silences the warnings of the whole process
            warnings.simplefilter("ignore")
            from odeformer import model  # noqa: PLC0415 - importing mechtests works without the package
            from odeformer.envs import environment as package  # noqa: PLC0415
    except ImportError as error:
        raise OdeformerMissingError(
            f"The odeformer package cannot be imported ({error}). Its pins clash with today's torch, so install it "
            "with: pip install --no-deps odeformer==0.1.7, and beside it numexpr, regex, sympy and tqdm."
        ) from error
    return package, model
