"""Records in words: what the terminal, Markdown, the page and test reports say in the same way."""

from collections.abc import Sequence

from mechtests.judging.verdict import Support, Verdict
from mechtests.results.record import ClaimRecord, PlacedRecord

NO_CONTROL = "no-control"
"""What stands in tables for a claim that is supported and was compared with nothing."""

_SUPPORTED, *_OTHERS = Verdict
SYMBOLS = {
    _SUPPORTED.value: _SUPPORTED.symbol,
    NO_CONTROL: f"({_SUPPORTED.symbol})",
    **{verdict.value: verdict.symbol for verdict in _OTHERS},
}
"""A symbol for each word that tables count, in the order in which they list them: the verdicts, and
:data:`NO_CONTROL`."""

LABELS = {word: word for word in SYMBOLS} | {NO_CONTROL: "supported (no control)"}
"""How each word of :data:`SYMBOLS` reads."""

INTERVENTIONS_SHOWN = 4
"""So many interventions are written out; the others are counted."""


def printable(text: str, keep: str = "", replacement: str = "\N{REPLACEMENT CHARACTER}") -> str:
    """``text`` without characters that a terminal, a log or XML would obey in place of showing.

    Args:
        text: text of unknown origin.
        keep: characters that are kept although they are not printable, such as a line break.
        replacement: what stands in the place of each other one.
    """
    return "".join(character if character.isprintable() or character in keep else replacement for character in text)


def number(value: float) -> str:
    """``value`` to three digits, as tables show it."""
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.4g}"


def count(many: int, noun: str) -> str:
    """``many`` of a noun that takes an s: ``1 claim``, ``2 claims``."""
    return f"{many} {noun}" if many == 1 else f"{many} {noun}s"


def word_of(record: ClaimRecord) -> str:
    """The verdict of a record as tables count it, a word of :data:`SYMBOLS`."""
    return NO_CONTROL if record["support"] == Support.NO_CONTROL.value else record["verdict"]


def verdict_text(word: str, many: int | None = None) -> str:
    """The symbol and the name of a verdict, as in ``✓ supported``; with ``many``, ``✓ 3 supported``."""
    label = LABELS[word]
    return f"{SYMBOLS[word]} {label}" if many is None else f"{SYMBOLS[word]} {many} {label}"


def estimate_text(estimate: float | None, interval: Sequence[float] | None) -> str:
    """An estimate with its interval, where it has one; a dash where there is no estimate."""
    if estimate is None:
        return "–"
    return number(estimate) + (f" [{number(interval[0])}, {number(interval[1])}]" if interval else "")


def published_text(published: float | str | None) -> str:
    """What a claim's source reports; empty where it reports nothing."""
    return "" if published is None else published if isinstance(published, str) else number(published)


def claim_name(claim_id: str) -> str:
    """The last part of a claim's id."""
    return claim_id.rpartition("/")[2]


def checkpoint_text(record: PlacedRecord) -> str:
    """The name of what a record is about; empty for no checkpoint."""
    return record["checkpoint"]["name"] if record["checkpoint"] else ""


def counterexample_text(record: ClaimRecord) -> str | None:
    """The counterexample of a claim, or why it has none; ``None`` where none was searched for."""
    counterexample, reason = record["counterexample"], record["no_counterexample"]
    if counterexample is None:
        return reason and f"no counterexample: {reason}"
    if counterexample["raised"]:
        return (
            f"simplest input that the claim's body cannot answer: {counterexample['text']} ({counterexample['raised']})"
        )
    return f"simplest input on which it fails: {counterexample['text']}"


def extent_text(record: ClaimRecord) -> str | None:
    """By how much a claim fails on its counterexample, and how far around it; ``None`` where it has none."""
    if (counterexample := record["counterexample"]) is None:
        return None
    by = "" if counterexample["margin"] is None else f" by {-counterexample['margin']:.4g}"
    ends = [
        f"with {name} " + (f"at {low:.4g} alone" if low == high else f"from {low:.4g} to {high:.4g}")
        for name, (low, high) in counterexample["fails"].items()
    ]
    return f"it fails there{by}, and {', '.join(ends)}"


def interventions_text(record: ClaimRecord) -> str | None:
    """What was changed in the model while a claim was measured; ``None`` where nothing was."""
    edits = record["interventions"]
    if not edits:
        return None
    more = len(edits) - INTERVENTIONS_SHOWN
    return "; ".join(edits[:INTERVENTIONS_SHOWN]) + (f"; and {more} more" if more > 0 else "")
