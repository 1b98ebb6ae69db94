"""A repository of a user's own, with claims about a model of its own, and what a run of pytest in it says."""

import json

import jsonschema
import pytest
import torch

from mechtests.checkpoints import Provenance, save
from mechtests.results.document import schema

CONFTEST = """
import pytest, torch
from mechtests import System

@pytest.fixture
def toy():
    module = torch.nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        module.weight.fill_(5.0)
    return System(module, "toy")
"""

TINY_CONFTEST = """
from pathlib import Path
import torch
from mechtests import System, system_fixture
from mechtests.checkpoints import fill, read

def load(path, device, cache):
    checkpoint, tensors = read(path)
    module = torch.nn.Linear(2, 1)
    fill(module, tensors, path)
    return System(module.to(device), "tiny", checkpoint=checkpoint, cache=cache)

tiny = system_fixture("tiny", load, Path(__file__).parent / "weights" / "*.safetensors", "make weights")
"""

HEAD = '''"""Are the weights what they are said to be?

More about it.
"""

import pytest, torch
from mechtests import *

POST, POINTS = Source("A post", "A. Author", 2024), Parameters(x=Real(0, 1))


def share_below(evidence, rate):
    for points in evidence.batches(POINTS):
        evidence.observe(points["x"] < rate)
'''


def claim_test(name, expect, body, takes="toy, evidence", controls="[]", marks="", of="toy"):
    return f"""
@claim("{of}/weights/{name}", "It is so.", source=POST, expect={expect}, controls={controls})
{marks}
def test_{name.replace("-", "_")}({takes}):
    {body}
"""


SUPPORTED = claim_test(
    "positive", "Value(above=1)", "evidence.value(toy.module.weight.mean(), 2)", controls="[untrained]"
)
SAMPLED = claim_test("often", "Rate(at_least=0.7)", "share_below(evidence, 0.9)")
REFUTED = claim_test("negative", "Value(below=0)", "evidence.value(toy.module.weight.mean(), 2)")
INCONCLUSIVE = claim_test("half", "Rate(at_least=0.5)", "share_below(evidence, 0.5)")
VACUOUS = claim_test("two", "Value(at_least=2)", "evidence.value(toy.module.weight.numel())", controls="[untrained]")
UNTESTED = claim_test("elsewhere", "Value(above=0)", "pytest.skip('the data is not here')")
BY_VERDICT = {
    "supported": SUPPORTED,
    "refuted": REFUTED,
    "inconclusive": INCONCLUSIVE,
    "vacuous": VACUOUS,
    "untested": UNTESTED,
}
ON_TINY = claim_test(
    "bias", "Value(above=0)", "evidence.value(tiny.module.bias.sum())", takes="tiny, evidence", of="tiny"
)
USAGE_ERROR = pytest.ExitCode.USAGE_ERROR


class Suite:
    """A user's repository with claims, and what a run of pytest in it says."""

    def __init__(self, pytester):
        self.pytester = pytester
        self.path = pytester.path
        self.results = self.path / "reports" / "latest" / "results.json"
        self.claims(conftest=CONFTEST)

    def claims(self, *tests, conftest=None, name="test_toy"):
        if tests:
            self.pytester.makepyfile(**{name: HEAD + "\n".join(tests)})
        if conftest:
            self.pytester.makeconftest(conftest)
        return self

    def run(self, *args):
        return self.pytester.runpytest_inprocess("-p", "no:cacheprovider", "--claims-budget=256", *args)

    def document(self):
        document = json.loads(self.results.read_text())
        jsonschema.validate(document, schema(), jsonschema.Draft202012Validator)
        return document

    def records(self, *args):
        """The claims of the results file that a run leaves, by the last part of their id."""
        self.results.unlink(missing_ok=True)
        self.run(*args)
        return {claim["id"].split("/")[-1]: claim for claim in self.document()["claims"]}

    def weights(self, name="good", bias=1.0, inputs=2):
        module = torch.nn.Linear(inputs, 1)
        with torch.no_grad():
            module.bias.fill_(bias)
        path = self.path / "weights" / f"{name}.safetensors"
        save(path, module, Provenance("tiny", {"inputs": inputs}, recipe="by hand", seed=4, step=7))
        return path


def outcomes(result):
    return {word: count for word, count in result.parseoutcomes().items() if not word.startswith("warning")}


def printed(result):
    return result.stdout.str() + result.stderr.str()


def without_seconds(records):
    return {
        name: {key: value for key, value in record.items() if key not in ("seconds", "rerun")}
        for name, record in records.items()
    }


def corrupt(suite):
    path = suite.path / "weights" / "bad.safetensors"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"these are no weights")
    return path
