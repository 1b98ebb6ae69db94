"""The ODEFormer: it reads the points of a trajectory and writes the equations that the trajectory solves.

Source: d'Ascoli et al., "ODEFormer: Symbolic Regression of Dynamical Systems with Transformers" (2023). The modules are
those of the published package. Layers are counted from 0 in each stack: the encoder's, and the decoder's, which has
self-attention and, called ``cross``, attention on the encoded points.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from jaxtyping import Float
from torch import Tensor

from mechtests import checkpoints
from mechtests.activations.capture import Inputs, run
from mechtests.activations.interventions import Edit, SiteError, record
from mechtests.cache import Cache
from mechtests.checkpoints import Checkpoint, CheckpointError
from mechtests.families.ode import Equations, Trajectories
from mechtests.systems.base import Head
from mechtests.systems.odeformer.decoding import beam, greedy, sampled
from mechtests.systems.odeformer.equations import Vocabulary, Written, r2
from mechtests.systems.odeformer.modules import OdeformerModules
from mechtests.systems.odeformer.package import OdeformerConfig, OdeformerMissingError
from mechtests.systems.odeformer.sites import WEIGHTINGS, Stack, Weighting
from mechtests.systems.odeformer.stacks import OdeformerStacks
from mechtests.systems.odeformer.trajectories import TrajectoryError, check

LONGEST = 100
"""Words of a generated equation at most, the end mark among them."""


class Odeformer(OdeformerStacks):
    """An ODEFormer on trajectories, prepared as the package's ``fit`` prepares them, without its random permutation.

    What reads trajectories also takes what :meth:`tokens` makes of them, prepared otherwise.

    Attributes:
        vocabulary: the words it reads and writes.
        longest: words that it may write of an equation, the end mark among them.
    """

    def __init__(
        self,
        module: OdeformerModules,
        name: str = "odeformer",
        *,
        checkpoint: Checkpoint | None = None,
        identity: str | None = None,
        cache: Cache | None = None,
    ) -> None:
        super().__init__(module, name, checkpoint=checkpoint, identity=identity, cache=cache)
        self.vocabulary = Vocabulary(module.config)
        self.longest = LONGEST

    @classmethod
    def load(cls, path: Path, device: torch.device, cache: Cache) -> Self:
        """The system with the weights at ``path``, in single precision whatever they are on disk.

        Raises:
            CheckpointError: the file cannot be used, or the package is not installed.
        """
        try:
            checkpoint, module = checkpoints.load(path, "odeformer", OdeformerConfig, OdeformerModules)
        except OdeformerMissingError as error:
            raise CheckpointError(str(error)) from error
        return cls(module.to(device), checkpoint=checkpoint, cache=cache)

    def fresh_module(self) -> OdeformerModules:
        return OdeformerModules(self.module.config)

    # What goes in

    def tokens(
        self,
        trajectories: Trajectories,
        equations: Written | None = None,
        *,
        rescale: bool = True,
        permute: torch.Generator | None = None,
    ) -> Inputs:
        """What :meth:`activations` and :meth:`sweep` take: points and their counts, then words and their lengths.

        Args:
            trajectories: of two points or more, and no more dimensions than the model has.
            equations: what the decoder is made to write, one system per trajectory; without, only the encoder's sites
                are reached. Its input is the start mark and all words but the last, so ``logits[:, t]`` are those of
                word ``t``. After a row's end they mean nothing.
            rescale: whether times are brought to 1…10 and every dimension to start at 1, as ``fit`` does.
            permute: shuffles the points of each trajectory, as ``fit`` does.

        Raises:
            TrajectoryError: the trajectories cannot be read.
        """
        check(trajectories, self.module.config.max_dimension)
        points = self.vocabulary.points(trajectories.rescaled() if rescale else trajectories)
        if permute is not None:
            order = torch.rand(points.shape[:2], generator=permute).argsort(1).to(points.device)
            points = points.gather(1, order[..., None].expand(points.shape))
        inputs = points, torch.full((len(points),), points.shape[1], device=points.device)
        return inputs if equations is None else (*inputs, *_written(equations, len(points)))

    def truth(self, trajectories: Trajectories) -> Written:
        """The equations that the trajectories solve, as the model was taught to write them, for :meth:`tokens`.

        Raises:
            TrajectoryError: they are not sums of the terms that are taught.
        """
        system = trajectories.rescaled().system
        if not isinstance(system, Equations):
            raise TrajectoryError(
                f"{type(system).__name__} is no sum of terms, so it has no canonical words. Expected Equations, as "
                "those families have that are made of polynomials and sines."
            )
        return self.vocabulary.write(system)

    # Attention

    def attention(
        self,
        trajectories: Trajectories | Inputs,
        head: Head,
        *edits: Edit,
        stack: Stack = "encoder",
        weighting: Weighting = "plain",
        equations: Written | None = None,
        keep: bool = True,
    ) -> Float[Tensor, "trajectory query key"]:
        """One head's attention: from points or, in the decoder, from words; see :meth:`encoder_attention`."""
        site = self.attention_site(head.layer, WEIGHTINGS[weighting], stack)
        inputs = self._inputs(trajectories) if stack == "encoder" else self._with_words(trajectories, equations)
        return self.activations(inputs, [site], *edits, keep=keep)[site][:, head.index]

    def encoder_attention(
        self,
        trajectories: Trajectories | Inputs,
        *edits: Edit,
        weighting: Weighting = "plain",
        layers: Iterable[int] | None = None,
        keep: bool = True,
    ) -> tuple[Float[Tensor, "trajectory head query key"], ...]:
        """The encoder's attention from point to point, one tensor per layer, in one pass.

        Args:
            trajectories: what is read.
            edits: made on the way.
            weighting: ``plain`` is the pattern, whose rows sum to one; ``value`` multiplies it by the length of what is
                attended to: ``pattern[q, k] * norm(v[k])``.
            layers: all of them when ``None``.
            keep: whether the patterns are cached, or only a summary of them is wanted again.
        """
        return self._patterns(self._inputs(trajectories), "encoder", edits, weighting, layers, keep=keep)

    def cross_attention(
        self,
        trajectories: Trajectories | Inputs,
        equations: Written | None = None,
        *edits: Edit,
        weighting: Weighting = "plain",
        layers: Iterable[int] | None = None,
        keep: bool = True,
    ) -> tuple[Float[Tensor, "trajectory head word point"], ...]:
        """The decoder's attention from each word to the points, one tensor per layer; the rest as in the encoder.

        The query at ``t`` is where word ``t`` of the equation is predicted.

        ``equations`` are what is written; the model's own greedy output when ``None``.
        """
        return self._patterns(self._with_words(trajectories, equations), "cross", edits, weighting, layers, keep=keep)

    # What is written

    def logits(
        self, trajectories: Trajectories | Inputs, equations: Written | None = None, *edits: Edit
    ) -> Float[Tensor, "trajectory word vocab"]:
        """Logits of each word, given those before it.

        ``equations`` are what is written; when ``None``, the model's own greedy output, which it wrote without edits.
        """
        return self.activations(self._with_words(trajectories, equations), ["logits"], *edits)["logits"]

    def logit_lens(
        self,
        trajectories: Trajectories | Inputs,
        equations: Written | None = None,
        *edits: Edit,
        layers: Iterable[int] | None = None,
    ) -> Float[Tensor, "layer trajectory word vocab"]:
        """What each decoder layer would say: the output projection of the residual stream after it.

        The last layer's are the logits themselves. Source: nostalgebraist, "interpreting GPT: the logit lens" (2020).

        ``equations`` are what is written; the model's own greedy output when ``None``. So are all layers.
        """
        asked = range(self.n_decoder_layers) if layers is None else layers
        sites = [self.residual_site(layer) for layer in asked]
        stream = self.activations(self._with_words(trajectories, equations), sites, *edits)
        with torch.inference_mode():
            return torch.stack([self.module.decoder.proj(stream[site]) for site in sites])

    def decode(self, trajectories: Trajectories | Inputs, *edits: Edit, max_tokens: int | None = None) -> Written:
        """What the model writes with the likeliest token at each step.

        Edits in the decoder are made at every step, which sees one token: they can select heads, but no tokens.

        Args:
            trajectories: what is read.
            edits: made on the way.
            max_tokens: of an equation at most, the end mark among them; :attr:`longest` when ``None``.
        """
        rows = self._generate(trajectories, edits, greedy, max_tokens)
        return Written(rows[0], self.vocabulary, rows[1])

    def sample(
        self,
        trajectories: Trajectories | Inputs,
        count: int,
        temperature: float,
        generator: torch.Generator,
        *edits: Edit,
        max_tokens: int | None = None,
    ) -> list[Written]:
        """``count`` equations for each trajectory, their words drawn from ``softmax(logits / temperature)``."""

        def drawn(decoder: Any, encoded: Tensor, counts: Tensor, longest: int) -> tuple[Tensor, Tensor]:
            return sampled(decoder, encoded, counts, longest, temperature, generator)

        drawings = (self._generate(trajectories, edits, drawn, max_tokens) for _ in range(count))
        return [Written(words, self.vocabulary, scores) for words, scores in drawings]

    def beam(
        self,
        trajectories: Trajectories | Inputs,
        size: int,
        *edits: Edit,
        length_penalty: float = 1.0,
        max_tokens: int | None = None,
    ) -> list[Written]:
        """The ``size`` best equations that a beam of that size finds for each trajectory: the best of each first.

        Scores are log-probabilities over ``length ** length_penalty``, as the package has it.
        """

        def searched(decoder: Any, encoded: Tensor, counts: Tensor, longest: int) -> tuple[Tensor, Tensor]:
            return beam(decoder, encoded, counts, longest, size, length_penalty)

        words, scores = self._generate(trajectories, edits, searched, max_tokens)
        return [Written(words[:, place], self.vocabulary, scores[:, place]) for place in range(size)]

    def r2(self, written: Written, trajectories: Trajectories, *, rescale: bool = True) -> Float[Tensor, " trajectory"]:
        """R² of the trajectories that written systems make; see :func:`~mechtests.systems.odeformer.equations.r2`."""
        return r2(written, trajectories.rescaled() if rescale else trajectories)

    # Within

    def _patterns(
        self,
        inputs: Inputs,
        stack: Stack,
        edits: Sequence[Edit],
        weighting: Weighting,
        layers: Iterable[int] | None,
        *,
        keep: bool,
    ) -> tuple[Tensor, ...]:
        every = range(self.n_encoder_layers if stack == "encoder" else self.n_decoder_layers)
        asked = every if layers is None else layers
        sites = [self.attention_site(layer, WEIGHTINGS[weighting], stack) for layer in asked]
        patterns = self.activations(inputs, sites, *edits, keep=keep)
        return tuple(patterns[site] for site in sites)

    def _on_reference(self, reference: Any, sites: Sequence[str]) -> Mapping[str, Tensor]:
        return super()._on_reference(self._inputs(reference), sites)

    def _inputs(self, trajectories: Trajectories | Inputs) -> Inputs:
        return trajectories if isinstance(trajectories, tuple) else self.tokens(trajectories)

    def _with_words(self, trajectories: Trajectories | Inputs, equations: Written | None) -> Inputs:
        inputs = self._inputs(trajectories)
        if equations is None:
            if len(inputs) > 2:
                return inputs
            equations = self.decode(inputs)
        return (*inputs[:2], *_written(equations, len(inputs[0])))

    def _generate(
        self,
        trajectories: Trajectories | Inputs,
        edits: Sequence[Edit],
        generate: Callable[[Any, Tensor, Tensor, int], tuple[Tensor, Tensor]],
        max_tokens: int | None,
    ) -> tuple[Tensor, Tensor]:
        most = self.longest if max_tokens is None else max_tokens
        if most < 1:
            raise ValueError(f"Expected max_tokens of 1 or more, found {most}.")
        inputs = self._inputs(trajectories)[:2]
        early = [edit for edit in edits if not edit.site.startswith("decoder.")]
        late = [edit for edit in edits if edit.site.startswith("decoder.")]
        if unknown := [str(edit) for edit in edits if edit.site == "logits"]:
            raise SiteError(f"{'; '.join(unknown)}: words are chosen from decoder.proj; change that.")
        encoded = self.activations(inputs, ["encoded", "counts"], *early)
        record(late)
        made: list[tuple[Tensor, Tensor]] = []

        def whole(encoded: Tensor, counts: Tensor) -> None:
            made.append(generate(self.module.decoder, encoded, counts, most))

        # Through `run`, which makes the edits at every call of a submodule and takes them back.
        run(self.module, (encoded["encoded"], encoded["counts"]), [], late, self.axes, forward=whole)
        return made[0]


def _written(equations: Written, trajectories: int) -> Inputs:
    """The decoder's input, the start mark first, and how many of its words count."""
    if len(equations) != trajectories:
        raise TrajectoryError(f"Expected one system per trajectory, found {len(equations)} for {trajectories}.")
    start = equations.words.new_full((len(equations), 1), equations.vocabulary.end)
    lengths = equations.lengths
    return torch.cat([start, equations.words[:, : int(lengths.max()) - 1]], 1), lengths
