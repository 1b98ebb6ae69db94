"""Train small causal language models of ``transformers``: ``python training/causal_lm.py --recipe gpt2-small-copying``.

They are of the families GPT-2 and Llama, made of the library's own modules, and learn from the sequences that the
induction system learns from (:mod:`copying_source` says how). A checkpoint is a directory as ``save_pretrained`` writes
it, with its provenance in the header of the weights. Needs ``pip install 'mechtests[hf]'``.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from copying_source import CopyingSource
from induction import Induction
from run import Recipe, is_there, train
from torch import Tensor
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, PreTrainedModel

from mechtests.checkpoints import Provenance, save

SOURCE = CopyingSource()
CONFIGS = {
    "gpt2-small-copying": GPT2Config(
        vocab_size=SOURCE.d_vocab,
        n_positions=SOURCE.n_ctx,
        n_embd=128,
        n_layer=2,
        n_head=4,
        n_inner=256,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        resid_pdrop=0.0,
        bos_token_id=None,
        eos_token_id=None,
    ),
    "llama-small-copying": LlamaConfig(
        vocab_size=SOURCE.d_vocab,
        max_position_embeddings=SOURCE.n_ctx,
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        bos_token_id=None,
        eos_token_id=None,
    ),
}
RECIPE = Recipe(weight_decay=0.01, learning_rate=3e-3, batch=64, steps=4_000)


class CausalLM(Induction):
    """The task of the induction system, learned by a model of ``transformers``."""

    system = "causal-lm"

    def __init__(self, name: str, seed: int, batch: int, device: str) -> None:
        self.config = CONFIGS[name]
        super().__init__(seed, batch, device)

    def drawn_model(self) -> Any:
        return AutoModelForCausalLM.from_config(self.config, attn_implementation="eager")

    def logits(self, tokens: Tensor) -> Tensor:
        return self.model(tokens, use_cache=False).logits

    def patterns(self, tokens: Tensor) -> Sequence[Tensor]:
        return self.model(tokens, use_cache=False, output_attentions=True).attentions


def write_directory(path: Path, model: PreTrainedModel, provenance: Provenance) -> None:
    """Write a directory that ``from_pretrained`` reads, named as the stem of ``path``."""
    folder = path.with_suffix("")
    model.config.save_pretrained(folder)  # first, so that a directory with weights is whole
    save(folder / "model.safetensors", model, replace(provenance, config={}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", choices=CONFIGS, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for seed in options.seeds:
        if not is_there("causal-lm", options.recipe, seed):
            task = CausalLM(options.recipe, seed, RECIPE.batch, options.device)
            train(task, options.recipe, RECIPE, seed, measure_every=50, write=write_directory)


if __name__ == "__main__":
    main()
