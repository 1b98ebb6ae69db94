"""What a verdict means for a test, and that what a claim says of itself is text."""

import pytest

from mechtests.pytest_plugin.outcome import conclude
from tests.results.records import FOUND, judged


@pytest.mark.parametrize(
    ("verdict", "recorded", "strict", "outcome"),
    [
        ("supported", None, True, None),
        ("supported", "refuted", True, None),
        ("refuted", None, False, pytest.fail.Exception),
        ("vacuous", None, False, pytest.fail.Exception),
        ("refuted", "refuted", False, pytest.xfail.Exception),
        ("vacuous", "refuted", False, pytest.xfail.Exception),
        ("refuted", "vacuous", False, pytest.fail.Exception),
        ("vacuous", "supported", False, pytest.fail.Exception),
        ("inconclusive", None, False, pytest.skip.Exception),
        ("inconclusive", "refuted", False, pytest.skip.Exception),
        ("inconclusive", "supported", False, pytest.fail.Exception),
        ("inconclusive", None, True, pytest.fail.Exception),
    ],
)
def test_passes_fails_is_expected_to_fail_or_is_skipped(verdict, recorded, strict, outcome):
    if outcome is None:
        conclude(judged(verdict), recorded, strict)
        return
    with pytest.raises(outcome, match=f"{verdict.upper()} toy/weights/sum: They are large"):
        conclude(judged(verdict), recorded, strict)


def test_shows_no_sequence_that_a_terminal_obeys():
    record = judged("refuted", search=FOUND)
    record["statement"] = record["reason"] = record["rerun"] = "\x1b[2J"
    record["counterexample"] = {**record["counterexample"], "text": "\x1b]0;title\x07"}
    with pytest.raises(pytest.fail.Exception) as raised:
        conclude(record, None, strict=False)
    message = str(raised.value)
    assert message.replace("\n", "").isprintable()
    assert message.count("\n") > 2
