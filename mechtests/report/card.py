"""Verdicts in a model card: a ``model-index`` in its front matter, and a section to read, both updated in place.

The form of ``model-index`` is that of Hugging Face's ``huggingface_hub.EvalResult``. The rest of the file stays as it
is, byte for byte.
"""

import re
from collections.abc import Sequence
from typing import Any

import yaml

from mechtests.report.markdown import escaped, table
from mechtests.report.text import estimate_text, published_text, verdict_text, word_of
from mechtests.results.document import tested
from mechtests.results.record import CheckpointRecord, ClaimRecord, ResultsDocument, finding_name

BEGIN, END = "<!-- mechtests:begin -->", "<!-- mechtests:end -->"
KEY = "model-index"
TASK, DATASET, METRIC = "mechanistic-claims", "mechtests", "verdict"

_FRONT = re.compile(
    r"\A(?P<open>\s*---[ \t]*\r?\n)(?P<yaml>.*?)(?P<close>^---[ \t]*(?:\r?\n|\Z))", re.DOTALL | re.MULTILINE
)


class CardError(Exception):
    """A model card that cannot be updated: what was expected, what was found, what to do."""


def card_claims(document: ResultsDocument, checkpoint: str | None) -> list[ClaimRecord]:
    """The claims of a results file that were tested on one checkpoint.

    Args:
        document: the results file.
        checkpoint: its name, or the first digits of its sha256; needed where there are several.

    Raises:
        CardError: there is none, or there are several.
    """
    single = [(claim, judged) for claim, judged in tested(document) if "members" not in judged]
    known = {judged["sha256"]: judged["name"] for _, judged in single}
    wanted = [
        sha256
        for sha256, name in known.items()
        if checkpoint is None or name == checkpoint or (len(checkpoint) >= 6 and sha256.startswith(checkpoint))
    ]
    names = ", ".join(sorted(known.values())) or "none"
    if not wanted:
        raise CardError(f"no verdict on {checkpoint or 'any checkpoint'}. Judged here: {names}.")
    if len(wanted) > 1:
        raise CardError(f"a card is about one checkpoint. Name it with --checkpoint: {names}.")
    return [claim for claim, judged in single if judged["sha256"] == wanted[0]]


def updated_card(text: str, document: ResultsDocument, claims: Sequence[ClaimRecord]) -> str:
    """The card with the verdicts in it.

    Args:
        text: the card; empty where there is none yet.
        document: the results file, for what it says of its run.
        claims: those of one checkpoint, from :func:`card_claims`.

    Raises:
        CardError: the card's front matter cannot be read, or its markers do not make a pair.
    """
    line = "\r\n" if "\r\n" in text else "\n"
    name = _checkpoint(claims)["name"]
    text = _with_index(text, claims, name, line)
    if not text[_end_of_front(text) :].strip():
        text += f"{line}# {escaped(name)}{line}"
    return _with_section(text, section(document, claims).replace("\n", line), line)


def section(document: ResultsDocument, claims: Sequence[ClaimRecord]) -> str:
    """The section to read, between its markers."""
    judged, run = _checkpoint(claims), document["run"]
    supported = sum(claim["verdict"] == "supported" for claim in claims)
    by, on = escaped(f"mechtests {run['versions'].get('mechtests', '')}".strip()), escaped(run["started"][:10])
    lines = [
        BEGIN,
        "## Mechanistic claims",
        "",
        f"{supported} of {len(claims)} claims are supported on {escaped(judged['name'])} "
        f"(sha256 {escaped(judged['sha256'][:12])}), as judged by {by} on {on}.",
        "",
        *table(("mechanism", "claim", "verdict", "estimate", "region", "published"), map(_row, claims)),
        "",
        "A claim is supported where the whole interval lies in the region that was stated before, and the model stands "
        "clear of every control; vacuous where a control does as much.",
        END,
    ]
    return "\n".join(lines)


def _checkpoint(claims: Sequence[ClaimRecord]) -> CheckpointRecord:
    """What all of ``claims`` were judged on."""
    checkpoint = claims[0]["checkpoint"]
    if checkpoint is None:
        raise CardError("a card is about one checkpoint, and these claims are about none.")
    return checkpoint


def _row(claim: ClaimRecord) -> tuple[str, ...]:
    params = ", ".join(claim["params"].values())
    return (
        claim["mechanism"],
        claim["statement"] + (f" [{params}]" if params else ""),
        verdict_text(word_of(claim)),
        estimate_text(claim["estimate"], claim["interval"]),
        claim["expect"]["region"],
        published_text(claim["published"]),
    )


def _results(claims: Sequence[ClaimRecord]) -> list[dict[str, Any]]:
    """``results`` of a model index: one per mechanism, with a metric for each of its findings."""
    results: dict[str, dict[str, Any]] = {}
    for claim in claims:
        mechanism = f"{claim['system']}/{claim['mechanism']}"
        task = {"type": TASK, "name": claim["mechanism"]}
        result = results.setdefault(
            mechanism, {"task": task, "dataset": {"type": DATASET, "name": mechanism}, "metrics": []}
        )
        args = {"region": claim["expect"]["region"], "estimate": claim["estimate"], "interval": claim["interval"]}
        known = {name: value for name, value in args.items() if value is not None}
        result["metrics"].append(
            {
                "type": METRIC,
                "name": finding_name(claim),
                "value": claim["verdict"],
                "args": {**known, "units": claim["units"]},
            }
        )
    return list(results.values())


# ---------------------------------------------------------------------------------------------------------------------
# The front matter


def _with_index(text: str, claims: Sequence[ClaimRecord], name: str, line: str) -> str:
    front = _FRONT.match(text)
    if front is None:
        return f"---{line}{_dumped(_merged(None, claims, name), line)}---{line}{text}"
    content = front["yaml"]
    start, end = _block(content)
    before, after = content[:start], content[end:]
    index = _merged((yaml.safe_load(content) or {}).get(KEY), claims, name)
    updated = before + _dumped(index, line) + after
    _parsed(updated)  # what is outside the block may refer into it
    return text[: front.start("yaml")] + updated + text[front.end("yaml") :]


def _block(content: str) -> tuple[int, int]:
    """Where the model index begins and ends in a front matter; where there is none, at its end."""
    root = _parsed(content)
    if root is None:
        return len(content), len(content)
    if root.flow_style:
        raise CardError("the front matter is written in braces. Write one `key: value` per line.")
    blocks = [(key.start_mark.index, value.end_mark.index) for key, value in root.value if key.value == KEY]
    if not blocks:
        return len(content), len(content)
    if len(blocks) > 1:
        raise CardError(f"the front matter has {KEY} {len(blocks)} times. Remove all but one.")
    ((start, end),) = blocks
    if content[end - 1] != "\n":  # a value on one line, whose end is before that of the line
        return start, content.index("\n", end) + 1
    # A block ends where the next key begins. Comments and empty lines before that belong to it.
    lines = content[start:end].splitlines(keepends=True)
    while not lines[-1].strip() or lines[-1].lstrip().startswith("#"):
        lines.pop()
    return start, start + sum(map(len, lines))


def _merged(index: Any, claims: Sequence[ClaimRecord], name: str) -> list[dict[str, Any]]:
    """A model index with our results in place of the earlier ones; what others put there stays."""
    if index is None:
        index = []
    if not isinstance(index, list) or not all(
        isinstance(model, dict) and isinstance(model.get("results", []), list) for model in index
    ):
        raise CardError(f"{KEY} in the front matter is not a list of models with results. Correct or remove it.")
    if not index:
        return [{"name": name, "results": _results(claims)}]
    model, *others = index
    theirs = [result for result in model.get("results", []) if not _ours(result)]
    return [{**model, "name": model.get("name") or name, "results": theirs + _results(claims)}, *others]


def _ours(result: Any) -> bool:
    dataset = result.get("dataset") if isinstance(result, dict) else None
    return isinstance(dataset, dict) and dataset.get("type") == DATASET


def _parsed(content: str) -> Any:
    try:
        root = yaml.compose(content, Loader=yaml.SafeLoader)
        if root is not None and not isinstance(root, yaml.MappingNode):
            raise CardError("the front matter is not a mapping. Expected one `key: value` per line.")
        yaml.safe_load(content)
    except yaml.YAMLError as error:
        problem = " ".join(str(error).split())
        raise CardError(f"the front matter is not YAML: {problem}. Correct it first.") from error
    return root


def _dumped(index: list[dict[str, Any]], line: str) -> str:
    block: str = yaml.safe_dump({KEY: index}, sort_keys=False, allow_unicode=True, width=120)
    return block.replace("\n", line)


def _end_of_front(text: str) -> int:
    front = _FRONT.match(text)
    return front.end() if front else 0


# ---------------------------------------------------------------------------------------------------------------------
# The section


def _with_section(text: str, content: str, line: str) -> str:
    begins, ends = text.count(BEGIN), text.count(END)
    if (begins, ends) == (0, 0):
        gap = "" if text.endswith(line * 2) else line if text.endswith("\n") else line * 2
        return f"{text}{gap}{content}{line}"
    if (begins, ends) != (1, 1) or text.index(BEGIN) > text.index(END):
        raise CardError(f"expected {BEGIN} and {END} once each and in this order. Correct them, or remove both.")
    return text[: text.index(BEGIN)] + content + text[text.index(END) + len(END) :]
