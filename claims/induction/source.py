"""The lecture that the claims of this folder come from, the papers that it builds on, and the inputs they speak of."""

from mechtests import Source
from mechtests.families import Integer, RepeatedTokens
from mechtests.systems import LanguageModel

LECTURE = Source("Transformer mechanistic interpretability", "Xavier Poncini", 2024)
CIRCUITS = Source("A Mathematical Framework for Transformer Circuits", "Nelson Elhage et al.", 2021)
IN_CONTEXT = Source("In-context Learning and Induction Heads", "Catherine Olsson et al.", 2022)


def sequences(model: LanguageModel) -> RepeatedTokens:
    """Sequences of 64 different tokens of the model's vocabulary in which one segment is shown twice."""
    return RepeatedTokens(d_vocab=model.d_vocab)


def short_sequences(model: LanguageModel) -> RepeatedTokens:
    """Sequences of 24 tokens with segments of two to four: another family than the one that heads are looked for on."""
    return RepeatedTokens(model.d_vocab, n_ctx=24, length=Integer(2, 4), distance=Integer(4, 12))


def long_segments(model: LanguageModel) -> RepeatedTokens:
    """Sequences of 64 tokens with segments of 24 to 30, shown again soon after."""
    return RepeatedTokens(model.d_vocab, length=Integer(24, 30), distance=Integer(30, 34))
