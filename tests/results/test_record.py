"""The types of records are what the schema of results files describes, and names tell findings and weights apart."""

import types
import typing
from typing import Literal, NotRequired, TypedDict

import pytest

from mechtests.claiming import expectations
from mechtests.claiming.claim import Criterion, EvidenceKind
from mechtests.judging.verdict import Verdict
from mechtests.results import document
from mechtests.results.document import schema
from mechtests.results.record import ResultsDocument, VerdictName, finding_name, weights_name

PLAIN = {str: "string", int: "integer", float: "number", bool: "boolean", types.NoneType: "null"}


def mismatches(annotation, described, at="$"):
    """Where a type and a JSON Schema do not say the same of a value: its type, its keys, which of them are required."""
    if "$ref" in described:
        described = schema()["$defs"][described["$ref"].rpartition("/")[2]]
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return union_mismatches(arguments, described, at)
    if typing.is_typeddict(annotation):
        return object_mismatches(annotation, described, at)
    inside = []
    if origin is list:
        expected, stated = "array", described.get("type")
        inside = mismatches(arguments[0], described.get("items", {}), f"{at}[]")
    elif origin is dict:
        expected, stated = "object", described.get("type") if "properties" not in described else "object of these keys"
        inside = mismatches(arguments[1], described.get("additionalProperties") or {}, f"{at}.*")
    elif origin is Literal:
        expected, stated = set(arguments), set(described.get("enum", [described.get("const")]))
    elif "const" in described:
        expected, stated = annotation, type(described["const"])
    elif "enum" in described:
        expected, stated = {annotation}, {type(value) for value in described["enum"]}
    else:
        expected, stated = PLAIN[annotation], described.get("type")
    return [*([] if stated == expected else [f"{at}: {stated} for {expected}"]), *inside]


def union_mismatches(members, described, at):
    """A union is written as several types, of which all but one are plain, or as an enumeration."""
    if "enum" in described:
        values = {value for member in members for value in typing.get_args(member) or [None]}
        return [] if values == set(described["enum"]) else [f"{at}: {described['enum']}"]
    plain = {PLAIN[member] for member in members if member in PLAIN}
    stated = set(described["type"]) if isinstance(described["type"], list) else {described["type"]}
    others = [member for member in members if member not in PLAIN]
    if not others:
        return [] if stated == plain else [f"{at}: {sorted(stated)} for {sorted(plain)}"]
    (other,), (kind,) = others, stated - plain
    return ([] if plain < stated else [f"{at}: {stated}"]) + mismatches(other, {**described, "type": kind}, at)


def object_mismatches(typed, described, at):
    hints = typing.get_type_hints(typed)
    wrong = [] if described.get("type") == "object" else [f"{at}: {described.get('type')} for an object"]
    wrong += [] if described.get("additionalProperties") is False else [f"{at}: takes other keys"]
    properties = described.get("properties", {})
    wrong += [f"{at}.{name}: in one of them alone" for name in hints.keys() ^ properties.keys()]
    required = typed.__required_keys__ ^ set(described.get("required", ()))
    wrong += [f"{at}.{name}: required by one of them alone" for name in required]
    for name in hints.keys() & properties.keys():
        wrong += mismatches(hints[name], properties[name], f"{at}.{name}")
    return wrong


class TestTypes:
    def test_are_those_of_the_schema(self):
        assert mismatches(ResultsDocument, schema()) == []

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            (lambda claim: claim["properties"].pop("units"), "$.claims[].units: in one of them alone"),
            (lambda claim: claim["required"].remove("units"), "$.claims[].units: required by one of them alone"),
            (lambda claim: claim["properties"]["units"].update(type="number"), "$.claims[].units: number"),
            (lambda claim: claim["properties"]["reason"].update(type="string"), "$.claims[].reason: ['string']"),
            (lambda claim: claim["properties"]["published"]["type"].remove("string"), "$.claims[].published: "),
            (lambda claim: claim["properties"]["evidence_kind"]["enum"].pop(), "$.claims[].evidence_kind: "),
            (lambda claim: claim["properties"]["criterion"]["enum"].remove(None), "$.claims[].criterion: "),
            (lambda claim: claim["properties"]["interval"]["items"].update(type="string"), "$.claims[].interval[]: "),
            (lambda claim: claim["properties"]["params"].update(type="array"), "$.claims[].params: array"),
            (lambda claim: claim.pop("additionalProperties"), "$.claims[]: takes other keys"),
        ],
    )
    def test_are_seen_to_differ_from_another_schema(self, change, said):
        changed = schema()
        change(changed["properties"]["claims"]["items"])
        wrong = mismatches(ResultsDocument, changed)
        assert [one for one in wrong if one.startswith(said)]

    def test_with_keys_that_may_be_absent_are_compared_as_well(self):
        class Record(TypedDict):
            name: str
            members: NotRequired[list[str]]

        described = {
            "type": "object",
            "required": ["name"],
            "properties": {"name": {"type": "string"}, "members": {"type": "array", "items": {"type": "string"}}},
            "additionalProperties": False,
        }
        assert mismatches(Record, described) == []
        assert mismatches(Record, {**described, "required": ["name", "members"]}) == [
            "$.members: required by one of them alone"
        ]

    def test_name_the_verdicts_kinds_and_criteria_that_there_are(self):
        assert set(typing.get_args(VerdictName)) == {verdict.value for verdict in Verdict}
        claim = schema()["properties"]["claims"]["items"]["properties"]
        assert set(claim["evidence_kind"]["enum"]) == set(typing.get_args(EvidenceKind))
        assert set(claim["criterion"]["enum"]) == {*typing.get_args(Criterion), None}
        assert schema()["properties"]["schema"]["const"] == document.SCHEMA

    def test_know_every_kind_of_expectation(self):
        classes = [one for one in vars(expectations).values() if isinstance(one, type)]
        kinds = {one.kind for one in classes if issubclass(one, expectations.Expectation) and hasattr(one, "kind")}
        assert set(schema()["$defs"]["expect"]["properties"]["kind"]["enum"]) == kinds


class TestNames:
    def test_of_a_finding_have_its_parameters_in_any_order(self):
        one = {"id": "toy/weights/sum", "params": {"layer": "1", "head": "2"}}
        other = {"id": "toy/weights/sum", "params": {"head": "2", "layer": "1"}}
        assert finding_name(one) == finding_name(other) == "toy/weights/sum[head=2,layer=1]"
        assert finding_name({**one, "params": {}}) == "toy/weights/sum"

    def test_of_weights_have_twelve_digits_of_their_sha256(self):
        assert weights_name({"name": "seed0", "sha256": "ab" * 32}) == "seed0@abababababab"
        assert weights_name(None) == "none"
