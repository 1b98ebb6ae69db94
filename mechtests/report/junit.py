"""Verdicts as JUnit XML, as continuous integration shows test results."""

import xml.etree.ElementTree as ET
from collections.abc import Collection

from mechtests.report.text import printable
from mechtests.results.record import ClaimRecord, ResultsDocument, finding_name, weights_name


def junit_xml(document: ResultsDocument, regressions: Collection[tuple[str, str]]) -> str:
    """A results file as JUnit XML.

    Args:
        document: the results file.
        regressions: what counts as a failure, by :func:`mechtests.results.record.finding_name` and
            :func:`mechtests.results.record.weights_name`, whether it is in the results or missing there. A supported
            claim passes. The others are skipped with their verdict, which is a result and no failure.
    """
    claims = document["claims"]
    names = [_names(claim) for claim in claims]
    failed = [name in regressions for name in names]
    skipped = sum(claim["verdict"] != "supported" and not lost for claim, lost in zip(claims, failed, strict=True))
    missing = sorted({*regressions} - {*names})
    tests, failures = len(claims) + len(missing), sum(failed) + len(missing)
    counts = {"tests": tests, "failures": failures, "errors": 0, "skipped": skipped}
    suites = ET.Element("testsuites")
    suite = ET.SubElement(suites, "testsuite", {"name": "claims", **{name: str(many) for name, many in counts.items()}})
    suite.set("time", f"{document['run']['seconds']:.3f}")
    suite.set("timestamp", document["run"]["started"])
    for claim, (finding, checkpoint), lost in zip(claims, names, failed, strict=True):
        classname = f"{claim['system']}.{claim['mechanism']}"
        named = {"classname": _allowed(classname), "name": _allowed(f"{finding} on {checkpoint}")}
        case = ET.SubElement(suite, "testcase", {**named, "time": f"{claim['seconds']:.3f}"})
        if lost or claim["verdict"] != "supported":
            message = f"{claim['verdict']}: {claim['statement']}" + (f" ({claim['reason']})" if claim["reason"] else "")
            result = ET.SubElement(case, "failure" if lost else "skipped", {"message": _allowed(message)})
            result.text = _allowed(f"again: {claim['rerun']}")
    for finding, checkpoint in missing:
        named = {"classname": "missing", "name": _allowed(f"{finding} on {checkpoint}")}
        case = ET.SubElement(suite, "testcase", named)
        ET.SubElement(case, "failure", {"message": "it was supported, and is not judged any more"})
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(suites, encoding="unicode") + "\n"


def _names(claim: ClaimRecord) -> tuple[str, str]:
    return finding_name(claim), weights_name(claim["checkpoint"])


def _allowed(text: str) -> str:
    """``text`` without the characters that XML has no way to write."""
    return printable(text, keep="\n\t")
