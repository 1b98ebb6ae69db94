"""What a claim test states, as it is registered."""

import importlib.util
import itertools
from dataclasses import dataclass

import pytest

from mechtests import Integer, Parameters, Real, Source, emergence, findings, universality
from mechtests.claiming.stated import plain_text, stated_claim

HEAD = """
import pytest
from mechtests import *

POINTS = Parameters(x=Real(0, 1))
THRESHOLD = 0.9

@claim("toy/weights/often", "It is so.", source=Source("A post", "A. Author", 2024).section("Weights"),
       expect=Mean(at_least=0.7, bounds=(0, 1)), controls=[untrained.drawn(99), instead(rate=[0.1, 0.2])])
@pytest.mark.parametrize("head", [Head(2, 7), len])
"""
BODY = """def test_often(toy, head, evidence, rate=0.5):
    for points in evidence.batches(POINTS, most=256, size=32):
        evidence.observe(points["x"] < rate * THRESHOLD)
"""
NUMBER = itertools.count()


@pytest.fixture
def stated(tmp_path):
    """What the claim test states that a file defines."""

    def from_code(body=BODY, head=HEAD):
        path = tmp_path / f"claims{next(NUMBER)}.py"
        path.write_text(head + body)
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        (test,) = (value for name, value in vars(module).items() if name.startswith("test_"))
        return stated_claim(test)

    return from_code


def test_all_that_the_decorator_and_the_code_say_is_stated(stated):
    states = stated()
    assert len(states.pop("code")) == 64
    assert states == {
        "statement": "It is so.",
        "source": "A post, “Weights” (A. Author, 2024)",
        "expect": "Mean(at_least=0.7, bounds=(0, 1))",
        "kind": "correlational",
        "controls": ["untrained, 99 draws", "rate: 0.1, 0.2"],
        "arguments": ["toy", "head", "evidence", "rate=0.5"],
        "parameters": {"head": "L2H7, len"},
        "inputs": ["POINTS, most=256"],
        "constants": {"POINTS": "Parameters(x=Real(low=0, high=1))", "THRESHOLD": "0.9"},
    }


@pytest.mark.parametrize(
    "same",
    [
        BODY.replace("test_often", "test_renamed"),
        BODY.replace("evidence, rate=0.5", "evidence, rate: float = 0.5"),
        BODY.replace("):\n", ") -> None:\n    '''What is measured.'''\n\n    # Below it.\n", 1),
        BODY.replace("evidence.observe(", "evidence.observe(\n            "),
    ],
    ids=["name", "annotations", "docstring and comment", "layout"],
)
def test_what_measures_the_same_states_the_same(stated, same):
    assert stated(same) == stated()


@pytest.mark.parametrize(
    ("body", "head", "fields"),
    [
        (BODY.replace("<", ">"), HEAD, {"code"}),
        (BODY.replace("size=32", "size=16"), HEAD, {"code"}),
        (BODY.replace("most=256", "most=512"), HEAD, {"code", "inputs"}),
        (BODY.replace("rate=0.5", "rate=0.6"), HEAD, {"arguments"}),
        (BODY, HEAD.replace("at_least=0.7", "at_least=0.6"), {"expect"}),
        (BODY, HEAD.replace("drawn(99)", "drawn(19)"), {"controls"}),
        (BODY, HEAD.replace("THRESHOLD = 0.9", "THRESHOLD = 0.8"), {"constants"}),
        (BODY, HEAD.replace("Real(0, 1)", "Real(0, 2)"), {"constants"}),
        (BODY, HEAD.replace("[Head(2, 7), len]", "[Head(2, 7)]"), {"parameters"}),
        (BODY, HEAD.replace("It is so.", "It is often so."), {"statement"}),
    ],
)
def test_a_change_is_one_of_its_field(stated, body, head, fields):
    before, after = stated(), stated(body, head)
    assert {name for name in {*before, *after} if before.get(name) != after.get(name)} == fields


def test_a_claim_made_by_the_package_states_its_arguments_and_none_of_the_packages_code():
    class Module:
        """No claims."""

    common = {"source": Source("A post"), "over": "toy_seeds"}
    universal = stated_claim(universality("toy/weights/universal", findings(Module), at_least=0.8, **common))
    assert universal["arguments"] == ["finding", "toy_seeds", "judge", "evidence"]
    assert universal["expect"].startswith("Rate(at_least=0.8, alpha=0.05")
    emergent = stated_claim(emergence("toy/weights/emergence", findings(Module), **common))
    assert not {"code", "constants"} & {*universal, *emergent}


def test_a_function_that_states_no_claim_is_an_error():
    with pytest.raises(ValueError, match="states no claim"):
        stated_claim(len)


def test_names_from_around_the_test_count_by_their_values(stated):
    made = """
def made(threshold):
    @claim("toy/weights/often", "It is so.", source=Source("A post"), expect=Value(above=0))
    def test_often(toy, evidence):
        evidence.value(threshold)
    return test_often

test_made = made({})
"""
    head = "from mechtests import *\n"
    states = [stated(made.format(threshold), head)["constants"] for threshold in (1, 2)]
    assert states == [{"threshold": "1"}, {"threshold": "2"}]


@dataclass
class Dose:
    """A dataclass with a default."""

    size: float
    unit: str = "mg"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "True"),
        (0.1 + 0.2, "0.3"),
        (10_000_000, "10000000"),
        ({"a": (1, 2.5)}, "(('a', (1, 2.5)))"),
        ({"b", "a"}, "('a', 'b')"),
        (Dose(1), "Dose(size=1)"),
        (Dose(1, "g"), "Dose(size=1, unit='g')"),
        (Parameters(n=Integer(0, 9), x=Real(0, 1)), "Parameters(n=Integer(low=0, high=9), x=Real(low=0, high=1))"),
        (plain_text, "plain_text"),
        (object(), None),
        ([object()], None),
        (Dose(object()), None),
    ],
)
def test_a_value_is_the_same_text_everywhere_or_none(value, text):
    assert plain_text(value) == text
