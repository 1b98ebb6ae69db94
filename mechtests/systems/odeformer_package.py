"""The installed ``odeformer`` package: its modules, unchanged, at any size. The only place that imports it."""

import argparse
import warnings
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from torch import nn


class OdeformerMissingError(ImportError):
    """The ``odeformer`` package is not installed."""


@dataclass(frozen=True)
class OdeformerConfig:
    """Sizes of an ODEFormer, under the package's own names; the defaults are those of the small one trained here."""

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


def build(config: OdeformerConfig) -> nn.Module:
    """A ``ModelWrapper`` of these sizes with its environment and freshly drawn weights, as the package makes it.

    Raises:
        OdeformerMissingError: the package is not installed.
    """
    environment, model = _package()
    parser = argparse.ArgumentParser()
    environment.FunctionEnvironment.register_args(parser)
    params = parser.parse_args([])
    settings = asdict(config) | _FIXED
    for name, value in settings.items():
        setattr(params, name, value)
    env = environment.FunctionEnvironment(params)
    return model.ModelWrapper(env=env, **model.build_modules(env, params))


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
            from odeformer.envs import environment  # noqa: PLC0415
    except ImportError as error:
        raise OdeformerMissingError(
            f"The odeformer package cannot be imported ({error}). Its pins clash with today's torch, so install it "
            "with: pip install --no-deps odeformer==0.1.7, and beside it numexpr, regex, sympy and tqdm."
        ) from error
    return environment, model
