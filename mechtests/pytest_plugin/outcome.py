"""What a verdict means for a test: it passes, fails, is expected to fail, or is skipped."""

from collections.abc import Mapping
from typing import Any

import pytest

from mechtests.results.baseline import is_worse
from mechtests.results.record import counterexample_text, extent_text, interventions_text


def conclude(record: Mapping[str, Any], recorded: str | None, strict: bool) -> None:
    """Pass, fail, expect to fail or skip.

    Args:
        record: the claim as the results file has it.
        recorded: the verdict on record, or ``None``.
        strict: whether an inconclusive claim fails.
    """
    verdict = record["verdict"]
    told = _explained(record)
    if recorded is not None and is_worse(verdict, recorded):
        pytest.fail(f"{told}\non record as {recorded}: this is worse", pytrace=False)
    if verdict in ("refuted", "vacuous"):
        if recorded is None:
            pytest.fail(told, pytrace=False)
        # Not pytest.xfail(told), which makes pytest read the source of every function on the way here for a traceback.
        raise pytest.xfail.Exception(told, pytrace=False)
    if verdict == "inconclusive":
        if strict:
            pytest.fail(told, pytrace=False)
        pytest.skip(told)


def _explained(record: Mapping[str, Any]) -> str:
    lines = [f"{record['verdict'].upper()} {record['id']}: {record['statement']}"]
    if record["estimate"] is not None:
        interval = "" if record["interval"] is None else " in [{:.4g}, {:.4g}]".format(*record["interval"])
        observed = f"observed {record['estimate']:.4g}{interval} over {record['units']} units"
        lines.append(f"{observed}; region {record['expect']['region']}")
    if edits := interventions_text(record):
        lines.append(f"with {edits}")
    lines += filter(None, [record["reason"], counterexample_text(record), extent_text(record)])
    lines.append(f"again: {record['rerun']}")
    return "\n".join(lines)
