"""The ODEFormer: it reads the points of a trajectory and writes the equations that the trajectory solves.

Source: d'Ascoli et al., "ODEFormer: Symbolic Regression of Dynamical Systems with Transformers" (2023). The modules are
those of the published package. Layers are counted from 0 in each stack: the encoder's, and the decoder's, which has
self-attention and, called ``cross``, attention on the encoded points.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mechtests import checkpoints
from mechtests.activations.capture import FEWEST, INPUT, Inputs, batches, run
from mechtests.activations.interventions import Axes, Edit, Place, SiteError, at, note
from mechtests.cache import Cache
from mechtests.checkpoints import Checkpoint, CheckpointError
from mechtests.families.ode import Equations, Fault, Trajectories
from mechtests.instruments.attention import attention_pattern, causal_mask, value_weighted
from mechtests.systems.base import Derived, Head, System
from mechtests.systems.odeformer.decoding import beam, greedy, sampled
from mechtests.systems.odeformer.equations import Vocabulary, Written, r2
from mechtests.systems.odeformer.modules import OdeformerModules
from mechtests.systems.odeformer.package import OdeformerConfig, OdeformerMissingError

Stack = Literal["encoder", "decoder", "cross"]
Weighting = Literal["plain", "value"]

MOST_POINTS = 4096
"""Points of a trajectory at most: the package's own longest sequence. Attention takes memory by their square."""

LONGEST = 100
"""Words of a generated equation at most, the end mark among them."""

_LAYERS = range(32)
"""Layers that sites are named for, more than any ODEFormer has."""

_ATTENTION = {"encoder": "encoder.attentions", "decoder": "decoder.attentions", "cross": "decoder.encoder_attn"}


class TrajectoryError(ValueError):
    """Trajectories that an ODEFormer cannot read: what was expected, what was found, what to do."""


def _axes() -> Axes:
    axes = {
        "counts": "batch",
        "embedder": "batch point model",
        "encoder.layer_norm_emb": "batch point model",
        "encoded": "batch point model",
        "decoder.layer_norm_emb": "batch word model",
        "decoder.proj": "batch word vocab",
        "logits": "batch word vocab",
    }
    for i in _LAYERS:
        for stack, token, key in (
            ("encoder", "point", "point"),
            ("decoder", "word", "word"),
            ("cross", "word", "point"),
        ):
            attention = f"{_ATTENTION[stack]}.{i}"
            ours = ("", INPUT, ".q_lin", f".out_lin{INPUT}", ".out_lin")
            axes |= {f"{attention}{end}": f"batch {token} model" for end in ours}
            axes |= {f"{attention}{end}": f"batch {key} model" for end in (".k_lin", ".v_lin")}
        for stack, token in (("encoder", "point"), ("decoder", "word")):
            axes |= {
                f"{stack}.{norm}.{i}": f"batch {token} model" for norm in ("layer_norm1", "layer_norm15", "layer_norm2")
            }
            axes |= {f"{stack}.ffns.{i}{end}": f"batch {token} neuron" for end in (".lin1", f".lin2{INPUT}")}
            axes[f"{stack}.ffns.{i}"] = f"batch {token} model"
    return axes


def _derived() -> Mapping[str, Derived]:
    derived = {}
    for i in _LAYERS:
        for stack, query in (("encoder", "point"), ("decoder", "word"), ("cross", "word")):
            site = f"{_ATTENTION[stack]}.{i}"
            split = _split(stack)
            for name, source, axis in (
                ("q", ".q_lin", query),
                ("k", ".k_lin", "key"),
                ("v", ".v_lin", "key"),
                ("z", f".out_lin{INPUT}", query),
            ):
                derived[f"{site}.{name}"] = Derived((site + source,), split, f"batch head {axis} d_head")
            # The decoder's own attention is causal, and padding comes last; elsewhere padding must be left out.
            seen = () if stack == "decoder" else ("counts",)
            axes = f"batch head {query} key"
            derived[f"{site}.pattern"] = Derived((f"{site}.q", f"{site}.k", *seen), _pattern, axes)
            sources = f"{site}.v", f"{site}.q", f"{site}.k", *seen
            derived[f"{site}.value_weighted"] = Derived(sources, _value_weighted, axes)
    return derived


def _split(stack: str) -> Callable[["Odeformer", Tensor], Tensor]:
    def split(odeformer: "Odeformer", side_by_side: Tensor) -> Tensor:
        heads = odeformer.module.config.n_enc_heads if stack == "encoder" else odeformer.module.config.n_dec_heads
        return side_by_side.unflatten(-1, (heads, -1)).transpose(1, 2)

    return split


def _pattern(_: "Odeformer", q: Tensor, k: Tensor, counts: Tensor | None = None) -> Tensor:
    return _by_rows(attention_pattern, q, k, mask=_mask(k.shape[2], counts, k.device))


def _value_weighted(_: "Odeformer", v: Tensor, q: Tensor, k: Tensor, counts: Tensor | None = None) -> Tensor:
    def weighted(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        return value_weighted(attention_pattern(q, k, mask), v)

    return _by_rows(weighted, q, k, v, mask=_mask(k.shape[2], counts, k.device))


def _by_rows(compute: Callable[..., Tensor], *inputs: Tensor, mask: Tensor | None) -> Tensor:
    """``compute(*inputs, mask)``, some rows at a time, because patterns are large and a processor's caches are not."""
    made: Tensor | None = None
    for rows in batches(len(inputs[0]), FEWEST):
        of_rows = mask[rows.slice] if mask is not None and mask.ndim == 4 else mask
        part = compute(*(one[rows.slice] for one in inputs), of_rows)
        if made is None:
            made = part.new_empty(rows.total, *part.shape[1:])
        made[rows.slice] = part
    assert made is not None
    return made


def _mask(keys: int, counts: Tensor | None, device: torch.device) -> Bool[Tensor, "*#batch #query key"] | None:
    """Which keys a query sees: those before it without ``counts``, else as many; ``None`` where those are all."""
    if counts is None:
        return causal_mask(keys, device)
    seen = _seen(counts, keys)
    return None if bool(seen.all()) else seen[:, None, None, :]


def _seen(counts: Tensor, points: int) -> Bool[Tensor, "batch point"]:
    return torch.arange(points, device=counts.device) < counts[:, None]


class Odeformer(System):
    """An ODEFormer on trajectories, prepared as the package's ``fit`` prepares them, without its random permutation.

    What reads trajectories also takes what :meth:`tokens` makes of them, prepared otherwise.

    Attributes:
        vocabulary: the words it reads and writes.
        longest: words that it may write of an equation, the end mark among them.
    """

    module: OdeformerModules
    axes: ClassVar[Axes] = _axes()
    derived: ClassVar[Mapping[str, Derived]] = _derived()

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
            equations: what the decoder is made to write, one system a trajectory; without, only the encoder's sites
                are reached. Its input is the start mark and all words but the last, so ``logits[:, t]`` are those of
                word ``t``. After a row's end they mean nothing.
            rescale: whether times are brought to 1…10 and every dimension to start at 1, as ``fit`` does.
            permute: shuffles the points of each trajectory, as ``fit`` does.

        Raises:
            TrajectoryError: the trajectories cannot be read.
        """
        _check(trajectories, self.module.config.max_dimension)
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

    def attention(
        self,
        trajectories: Trajectories | Inputs,
        head: Head,
        *edits: Edit,
        stack: Stack = "encoder",
        weighting: Weighting = "plain",
        equations: Written | None = None,
    ) -> Float[Tensor, "trajectory query key"]:
        """One head's attention: from points or, in the decoder, from words; see :meth:`encoder_attention`."""
        kind = _KINDS[weighting]
        site = f"{self._attention(head.layer, stack)}.{kind}"
        inputs = self._inputs(trajectories) if stack == "encoder" else self._with_words(trajectories, equations)
        return self.activations(inputs, [site], *edits)[site][:, head.index]

    def encoder_attention(
        self,
        trajectories: Trajectories | Inputs,
        *edits: Edit,
        weighting: Weighting = "plain",
        layers: Iterable[int] | None = None,
    ) -> tuple[Float[Tensor, "trajectory head query key"], ...]:
        """The encoder's attention from point to point, one tensor a layer, in one pass.

        Args:
            trajectories: what is read.
            edits: made on the way.
            weighting: ``plain`` is the pattern, whose rows sum to one; ``value`` multiplies it by the length of what is
                attended to: ``pattern[q, k] * norm(v[k])``.
            layers: all of them when ``None``.
        """
        return self._patterns(self._inputs(trajectories), "encoder", edits, weighting, layers)

    def cross_attention(
        self,
        trajectories: Trajectories | Inputs,
        equations: Written | None = None,
        *edits: Edit,
        weighting: Weighting = "plain",
        layers: Iterable[int] | None = None,
    ) -> tuple[Float[Tensor, "trajectory head word point"], ...]:
        """The decoder's attention from each word to the points, one tensor a layer; the rest as in the encoder.

        The query at ``t`` is where word ``t`` of the equation is predicted.

        ``equations`` are what is written; the model's own greedy output when ``None``.
        """
        return self._patterns(self._with_words(trajectories, equations), "cross", edits, weighting, layers)

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
        asked = range(self.module.config.n_dec_layers) if layers is None else layers
        sites = [f"decoder.layer_norm2.{layer}" for layer in asked]
        found = self.activations(self._with_words(trajectories, equations), sites, *edits)
        with torch.inference_mode():
            return torch.stack([self.module.decoder.proj(found[site]) for site in sites])

    def decode(self, trajectories: Trajectories | Inputs, *edits: Edit) -> Written:
        """What the model writes with the likeliest word at each step.

        Edits in the decoder are made at every step, which sees one word: they can select heads, but no words.
        """
        rows = self._generate(trajectories, edits, greedy)
        return Written(rows[0], self.vocabulary, rows[1])

    def sample(
        self,
        trajectories: Trajectories | Inputs,
        count: int,
        temperature: float,
        generator: torch.Generator,
        *edits: Edit,
    ) -> list[Written]:
        """``count`` equations for each trajectory, their words drawn from ``softmax(logits / temperature)``."""

        def drawn(decoder: Any, encoded: Tensor, counts: Tensor, longest: int) -> tuple[Tensor, Tensor]:
            return sampled(decoder, encoded, counts, longest, temperature, generator)

        drawings = (self._generate(trajectories, edits, drawn) for _ in range(count))
        return [Written(words, self.vocabulary, scores) for words, scores in drawings]

    def beam(
        self, trajectories: Trajectories | Inputs, size: int, *edits: Edit, length_penalty: float = 1.0
    ) -> list[Written]:
        """The ``size`` best equations that a beam of that size finds for each trajectory: the best of each first.

        Scores are log-probabilities over ``length ** length_penalty``, as the package has it.
        """

        def searched(decoder: Any, encoded: Tensor, counts: Tensor, longest: int) -> tuple[Tensor, Tensor]:
            return beam(decoder, encoded, counts, longest, size, length_penalty)

        words, scores = self._generate(trajectories, edits, searched)
        return [Written(words[:, place], self.vocabulary, scores[:, place]) for place in range(size)]

    def r2(self, written: Written, trajectories: Trajectories, *, rescale: bool = True) -> Float[Tensor, " trajectory"]:
        """R² of the trajectories that written systems make; see :func:`~mechtests.systems.odeformer.equations.r2`."""
        return r2(written, trajectories.rescaled() if rescale else trajectories)

    # Within

    def _attention(self, layer: int, stack: Stack) -> str:
        if stack not in _ATTENTION:
            raise SiteError(f"{self.name} has no stack {stack!r}. It has {', '.join(_ATTENTION)}.")
        config = self.module.config
        layers = config.n_enc_layers if stack == "encoder" else config.n_dec_layers
        if not 0 <= layer < layers:
            raise SiteError(f"{self.name} has no {stack} layer {layer}. Its layers: 0 to {layers - 1}.")
        return f"{_ATTENTION[stack]}.{layer}"

    def _patterns(
        self, inputs: Inputs, stack: Stack, edits: Sequence[Edit], weighting: Weighting, layers: Iterable[int] | None
    ) -> tuple[Tensor, ...]:
        config = self.module.config
        every = range(config.n_enc_layers if stack == "encoder" else config.n_dec_layers)
        sites = [
            f"{self._attention(layer, stack)}.{_KINDS[weighting]}" for layer in (every if layers is None else layers)
        ]
        found = self.activations(inputs, sites, *edits)
        return tuple(found[site] for site in sites)

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
    ) -> tuple[Tensor, Tensor]:
        inputs = self._inputs(trajectories)[:2]
        early = [edit for edit in edits if not edit.site.startswith("decoder.")]
        late = [edit for edit in edits if edit.site.startswith("decoder.")]
        if unknown := [str(edit) for edit in edits if edit.site == "logits"]:
            raise SiteError(f"{'; '.join(unknown)}: words are chosen from decoder.proj; change that.")
        found = self.activations(inputs, ["encoded", "counts"], *early)
        note(late)
        made: list[tuple[Tensor, Tensor]] = []

        def whole(encoded: Tensor, counts: Tensor) -> None:
            made.append(generate(self.module.decoder, encoded, counts, self.longest))

        # Through `run`, which makes the edits at every call of a submodule and takes them back.
        run(self.module, (found["encoded"], found["counts"]), [], late, self.axes, forward=whole)
        return made[0]


_KINDS: Mapping[str, str] = {"plain": "pattern", "value": "value_weighted"}


def _written(equations: Written, trajectories: int) -> Inputs:
    """The decoder's input, the start mark first, and how many of its words count."""
    if len(equations) != trajectories:
        raise TrajectoryError(f"Expected one system a trajectory, found {len(equations)} for {trajectories}.")
    start = equations.words.new_full((len(equations), 1), equations.vocabulary.end)
    lengths = equations.lengths
    return torch.cat([start, equations.words[:, : int(lengths.max()) - 1]], 1), lengths


def _check(trajectories: Trajectories, dimensions: int) -> None:
    times, states = trajectories.times, trajectories.states
    if times.ndim != 2 or states.ndim != 3 or states.shape[:2] != times.shape:
        raise TrajectoryError(
            f"Expected times [trajectory, point] and states [trajectory, point, dimension], found {tuple(times.shape)} "
            f"and {tuple(states.shape)}."
        )
    if not len(times):
        raise TrajectoryError("Expected one trajectory or more, found none. Did the validity mask leave any?")
    if not 2 <= times.shape[1] <= MOST_POINTS:
        raise TrajectoryError(
            f"Expected 2 to {MOST_POINTS:,} points a trajectory, found {times.shape[1]:,}. "
            "Thin long trajectories out, as in trajectories.at(index)."
        )
    if not 1 <= states.shape[2] <= dimensions:
        raise TrajectoryError(
            f"Expected 1 to {dimensions} dimensions, which is what this checkpoint reads, found {states.shape[2]}."
        )
    if not (times.isfinite().all() and states.isfinite().all()):
        row = int((~(times.isfinite().all(1) & states.isfinite().all(2).all(1))).nonzero()[0])
        raise TrajectoryError(f"Expected finite numbers, found NaN or infinity in trajectory {row}. Leave it out.")
    if not trajectories.valid.all():
        row = int((~trajectories.valid).nonzero()[0])
        raise TrajectoryError(
            f"Expected valid trajectories, found trajectory {row} {Fault(int(trajectories.fault[row])).name}. "
            "Take trajectories[trajectories.valid]."
        )
    if bool((times.diff() <= 0).any()):
        row = int((times.diff() <= 0).any(1).nonzero()[0])
        raise TrajectoryError(
            f"Expected times that increase, found unsorted or repeated ones in trajectory {row}. "
            "Sort the points by time and keep one of each."
        )
