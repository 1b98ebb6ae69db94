"""The two stacks of an ODEFormer: their sizes, their heads, how their sites are spelled, and weights of attention."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from jaxtyping import Float
from torch import Tensor

from mechtests.activations.capture import INPUT
from mechtests.activations.interventions import Axes, Place, SiteError, at
from mechtests.systems.base import Head, System
from mechtests.systems.derived import Derived
from mechtests.systems.odeformer.modules import OdeformerModules
from mechtests.systems.odeformer.sites import ATTENTION, Part, Stack, axes_of_sites, derived_sites


class OdeformerStacks(System):
    """What the modules of an ODEFormer alone decide. Layers are counted from 0 in each stack."""

    module: OdeformerModules
    axes: ClassVar[Axes] = axes_of_sites()
    derived: ClassVar[Mapping[str, Derived]] = derived_sites()

    @property
    def n_encoder_layers(self) -> int:
        return self.module.config.n_enc_layers

    @property
    def n_decoder_layers(self) -> int:
        """How many layers the decoder has; each attends to its own tokens and, in ``cross``, to the encoded points."""
        return self.module.config.n_dec_layers

    @property
    def n_encoder_heads(self) -> int:
        """How many heads each encoder layer has."""
        return self.module.config.n_enc_heads

    @property
    def n_decoder_heads(self) -> int:
        """How many heads each decoder layer has, in self-attention and in ``cross`` alike."""
        return self.module.config.n_dec_heads

    @property
    def n_point_tokens(self) -> int:
        """How many tokens points are written in. Those of equations are ``len(vocabulary)``."""
        return self.module.embedder.embeddings.num_embeddings

    @property
    def heads(self) -> Sequence[Head]:
        """The encoder's heads."""
        config = self.module.config
        return [Head(layer, i) for layer in range(config.n_enc_layers) for i in range(config.n_enc_heads)]

    @property
    def decoder_heads(self) -> Sequence[Head]:
        """The decoder's heads: as many for its own words as for the points."""
        config = self.module.config
        return [Head(layer, i) for layer in range(config.n_dec_layers) for i in range(config.n_dec_heads)]

    def head(self, head: Head, stack: Stack = "encoder") -> Place:
        """Where a head's output is, before its ``W_O``: its columns among those of all heads of the layer.

        Raises:
            SiteError: the stack has no such head.
        """
        site = f"{self._attention(head.layer, stack)}.out_lin{INPUT}"
        heads = self.heads if stack == "encoder" else self.decoder_heads
        if head not in heads:
            raise SiteError(f"{self.name} has no {stack} head {head}. Its last one is {heads[-1]}.")
        module: Any = self.module.get_submodule(self._attention(head.layer, stack))
        width = module.dim // module.n_heads
        return at(site, model=range(head.index * width, (head.index + 1) * width))

    def attention_site(self, layer: int, part: Part | None = None, stack: Stack = "encoder") -> str:
        """The site of an attention layer, or of a part of it: ``attention_site(2, "pattern", "cross")``.

        Args:
            layer: from 0.
            part: of all heads of the layer, their queries ``q``, keys ``k``, values ``v``, outputs before ``W_O``
                ``z`` (each ``[batch head token d_head]``), ``pattern`` or ``value_weighted`` pattern
                (``[batch head query key]``); read only. ``None`` is what the layer adds to the residual stream
                (``[batch token model]``), which edits can change.
            stack: ``encoder``, ``decoder`` or ``cross``.

        Raises:
            SiteError: there is no such stack or layer.
        """
        site = self._attention(layer, stack)
        return site if part is None else f"{site}.{part}"

    def cross_attention_site(self, layer: int, part: Part | None = "pattern") -> str:
        """The site of the decoder's attention on the encoded points; see :meth:`attention_site`."""
        return self.attention_site(layer, part, "cross")

    def residual_site(self, layer: int, stack: Literal["encoder", "decoder"] = "decoder") -> str:
        """The site of the residual stream after a layer; after layer -1 it is what the first layer reads.

        Raises:
            SiteError: there is no such layer.
        """
        if layer == -1:
            return f"{stack}.layer_norm_emb"
        self._attention(layer, stack)
        return f"{stack}.layer_norm2.{layer}"

    def W_OV(self, layer: int, stack: Stack = "encoder", head: int | None = None) -> Float[Tensor, "source model"]:
        """``W_V W_O``, for row vectors, of one head or summed over the heads of a layer: what attending adds.

        Biases are left out. Square where keys are as wide as queries, which they are but in ``cross``.
        """
        module: Any = self.module.get_submodule(self._attention(layer, stack))
        columns = slice(None)
        if head is not None:
            width = module.dim // module.n_heads
            columns = slice(head * width, (head + 1) * width)
        return module.v_lin.weight[columns].T @ module.out_lin.weight[:, columns].T

    def b_O(self, layer: int, stack: Stack = "encoder") -> Float[Tensor, " model"]:
        """The bias of an attention layer's output: what it adds when every head's output is zero."""
        module: Any = self.module.get_submodule(self._attention(layer, stack))
        return module.out_lin.bias

    def _attention(self, layer: int, stack: Stack) -> str:
        if stack not in ATTENTION:
            raise SiteError(f"{self.name} has no stack {stack!r}. It has {', '.join(ATTENTION)}.")
        config = self.module.config
        layers = config.n_enc_layers if stack == "encoder" else config.n_dec_layers
        if not 0 <= layer < layers:
            raise SiteError(f"{self.name} has no {stack} layer {layer}. Its layers: 0 to {layers - 1}.")
        return f"{ATTENTION[stack]}.{layer}"
