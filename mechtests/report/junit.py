"""Verdicts as JUnit XML, as continuous integration shows test results."""

import xml.etree.ElementTree as ET
from collections.abc import Collection, Mapping
from typing import Any

from mechtests.results.baseline import place


def junit_xml(document: Mapping[str, Any], regressions: Collection[tuple[str, str]]) -> str:
    """A results file as JUnit XML.

    Args:
        document: the results file.
        regressions: the places, by finding and checkpoint as :func:`mechtests.results.baseline.place` names them, that
            count as failures, whether they are in the results or miss there. A supported claim passes. The others are
            skipped with their verdict: they are results, and as they were before.
    """
    claims = document["claims"]
    failed = [place(claim) in regressions for claim in claims]
    skipped = sum(claim["verdict"] != "supported" and not lost for claim, lost in zip(claims, failed, strict=True))
    missing = sorted({*regressions} - {place(claim) for claim in claims})
    tests, failures = len(claims) + len(missing), sum(failed) + len(missing)
    counts = {"tests": tests, "failures": failures, "errors": 0, "skipped": skipped}
    suites = ET.Element("testsuites")
    suite = ET.SubElement(suites, "testsuite", {"name": "claims", **{name: str(many) for name, many in counts.items()}})
    suite.set("time", f"{document['run']['seconds']:.3f}")
    suite.set("timestamp", document["run"]["started"])
    for claim, lost in zip(claims, failed, strict=True):
        finding, checkpoint = place(claim)
        classname = f"{claim['system']}.{claim['mechanism']}"
        named = {"classname": _allowed(classname), "name": _allowed(f"{finding} on {checkpoint}")}
        case = ET.SubElement(suite, "testcase", {**named, "time": f"{claim['seconds']:.3f}"})
        if lost or claim["verdict"] != "supported":
            told = f"{claim['verdict']}: {claim['statement']}" + (f" ({claim['reason']})" if claim["reason"] else "")
            result = ET.SubElement(case, "failure" if lost else "skipped", {"message": _allowed(told)})
            result.text = _allowed(f"again: {claim['rerun']}")
    for finding, checkpoint in missing:
        named = {"classname": "missing", "name": _allowed(f"{finding} on {checkpoint}")}
        case = ET.SubElement(suite, "testcase", named)
        ET.SubElement(case, "failure", {"message": "it was supported, and is not judged any more"})
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(suites, encoding="unicode") + "\n"


def _allowed(text: str) -> str:
    """``text`` without the characters that XML has no way to write."""
    return "".join(sign if sign.isprintable() or sign in "\n\t" else "\N{REPLACEMENT CHARACTER}" for sign in text)
