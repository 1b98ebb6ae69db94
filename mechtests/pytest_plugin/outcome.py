"""From a claim test to its outcome: judged, recorded, and passed, failed, expected to fail or skipped."""

import inspect
from typing import Any

import pytest

from mechtests.claiming.claim import Claim, default_parameters, parameter_text
from mechtests.claiming.controls import system_argument
from mechtests.judging.verdict import Verdict
from mechtests.pytest_plugin.options import rerun_command
from mechtests.pytest_plugin.session import ClaimSession
from mechtests.report.text import counterexample_text, extent_text, interventions_text, printable
from mechtests.results.making import checkpoint_record, claim_record, untested_record
from mechtests.results.record import ClaimRecord
from mechtests.systems.base import System

_RECORD = pytest.StashKey[ClaimRecord]()
"""On a claim test that was judged: its record."""


def judge_test(test: pytest.Function, claim: Claim, session: ClaimSession) -> None:
    """Judge the claim of ``test``, record the verdict, and raise the outcome that it means."""
    body, arguments = test.obj, _arguments(test)
    judgement = session.judge.judge(claim, body, arguments, _parameters(test, session))
    judgement = session.judge.search(judgement, body, arguments)
    systems = [judgement.system] if judgement.system else session.registry.load_all(claim.system)
    record = claim_record(judgement, checkpoint_record(systems), _story(test), rerun_command(test))
    _add_history(record, session)
    test.stash[_RECORD] = record
    test.user_properties += [
        ("claim_id", record["id"]),
        ("claim_verdict", record["verdict"]),
        ("claim_estimate", record["estimate"]),
    ]
    option = test.config.option
    recorded = record["verdict"] if option.update_claims_baseline else session.baseline.recorded(record)
    conclude(record, recorded, option.strict_claims)


def add_record(
    report: pytest.TestReport, test: pytest.Function, call: pytest.CallInfo[None], claim: Claim, session: ClaimSession
) -> None:
    """Put the record of a claim on the report of its test, also where the claim could not be judged."""
    if _RECORD in test.stash and report.when == "call":
        report.claim_record = test.stash[_RECORD]  # type: ignore[attr-defined]
    elif report.when != "teardown" and not report.passed:
        # The fixture could not load a checkpoint, or the claim's own code failed: no verdict, and the reason.
        params = {name: parameter_text(value) for name, value in _parameters(test, session).items()}
        system = system_argument(test.funcargs)
        checkpoint = checkpoint_record([system[1]] if system else [])
        record = untested_record(claim, params, checkpoint, _story(test), rerun_command(test), _reason(report, call))
        _add_history(record, session)
        report.claim_record = record  # type: ignore[attr-defined]
        test.user_properties += [("claim_id", claim.id), ("claim_verdict", "untested")]


def conclude(record: ClaimRecord, recorded: str | None, strict: bool) -> None:
    """Pass, fail, expect to fail or skip.

    Args:
        record: the claim as the results file has it.
        recorded: the verdict on record, or ``None``.
        strict: whether an inconclusive claim fails.
    """
    verdict = record["verdict"]
    if verdict == "untested":
        pytest.skip(record["reason"] or verdict)
    message = _message(record)
    if recorded is not None and Verdict(verdict).is_worse_than(Verdict(recorded)):
        pytest.fail(f"{message}\non record as {recorded}: this is worse", pytrace=False)
    if verdict in ("refuted", "vacuous"):
        if recorded is None:
            pytest.fail(message, pytrace=False)
        # Not pytest.xfail(message), which makes pytest read the source of every function on the way here.
        raise pytest.xfail.Exception(message, pytrace=False)
    if verdict == "inconclusive":
        if strict:
            pytest.fail(message, pytrace=False)
        pytest.skip(message)


def status(report: pytest.CollectReport | pytest.TestReport) -> tuple[str, str, str] | None:
    """How pytest counts and shows a claim that was not judged or not decided; ``None`` for any other test."""
    record = getattr(report, "claim_record", None)
    if record and report.skipped and not hasattr(report, "wasxfail"):
        if record["verdict"] == "inconclusive":
            return "inconclusive", "?", "INCONCLUSIVE"
        return "untested", "u", "UNTESTED"
    return None


def _add_history(record: ClaimRecord, session: ClaimSession) -> None:
    """Add when the claim was registered and what was changed since, where its suite has a registry."""
    if entry := session.registered.get(record["id"]):
        record["registered"], record["amendments"] = entry.registered, entry.amendments


def _message(record: ClaimRecord) -> str:
    lines = [f"{record['verdict'].upper()} {record['id']}: {record['statement']}"]
    if record["estimate"] is not None:
        interval = "" if record["interval"] is None else " in [{:.4g}, {:.4g}]".format(*record["interval"])
        observed = f"observed {record['estimate']:.4g}{interval} over {record['units']} units"
        lines.append(f"{observed}; region {record['expect']['region']}")
    if edits := interventions_text(record):
        lines.append(f"with {edits}")
    lines += filter(None, [record["reason"], counterexample_text(record), extent_text(record)])
    lines.append(f"again: {record['rerun']}")
    return printable("\n".join(lines), keep="\n")


def _reason(report: pytest.TestReport, call: pytest.CallInfo[None]) -> str:
    """Why a claim could not be judged."""
    if isinstance(report.longrepr, tuple):  # skipped
        return report.longrepr[2]
    if call.excinfo is None:
        return report.longreprtext
    error = call.excinfo.value
    return str(error) if isinstance(error, pytest.fail.Exception) and not error.pytrace else call.excinfo.exconly()


def _arguments(test: pytest.Function) -> dict[str, Any]:
    names = inspect.signature(test.obj).parameters
    return {name: test.funcargs[name] for name in names if name in test.funcargs and name != "evidence"}


def _parameters(test: pytest.Function, session: ClaimSession) -> dict[str, Any]:
    """The parameters of the test and of its fixtures, but for the system under test."""
    params = test.callspec.params.items() if hasattr(test, "callspec") else ()
    values = {**default_parameters(test.obj), **{name: test.funcargs.get(name, value) for name, value in params}}
    systems = session.registry.systems
    return {name: value for name, value in values.items() if name not in systems and not isinstance(value, System)}


def _story(test: pytest.Function) -> str:
    return (inspect.getdoc(test.module) or test.module.__name__).splitlines()[0]
