"""Without the package, claims about the ODEFormer are untested and say what to install."""

import json
import sys

import torch

from mechtests.checkpoints import Provenance, save

CONFTEST = """
import sys
sys.modules["odeformer"] = None  # importing it fails, as where it is not installed

from mechtests import system_fixture
from mechtests.systems import Odeformer

odeformer = system_fixture("odeformer", Odeformer.load, "*.safetensors", "python train.py")
"""

CLAIM = """
from mechtests import Value, Source, claim

@claim("odeformer/toy/steep", "It attends.", source=Source("x"), expect=Value(above=0), kind="structural")
def test_it_attends(odeformer, evidence):
    evidence.value(odeformer.W_OV(0).sum())
"""


def judged(pytester):
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(CLAIM)
    results = pytester.path / "results.json"
    done = pytester.runpytest_subprocess("-p", "no:cacheprovider", f"--claims-results={results}")
    assert done.ret == 0
    (record,) = json.loads(results.read_text())["claims"]
    return record


def test_claims_are_untested_with_the_command_to_install_it(pytester):
    save(pytester.path / "some.safetensors", torch.nn.Linear(1, 1), Provenance("odeformer", {}))
    record = judged(pytester)
    assert record["verdict"] == "untested"
    assert "pip install --no-deps odeformer==0.1.7" in record["reason"]
    assert "odeformer" not in sys.modules or sys.modules["odeformer"] is not None


def test_claims_without_a_checkpoint_are_untested_with_the_command_to_get_one(pytester):
    record = judged(pytester)
    assert record["verdict"] == "untested"
    assert "python train.py" in record["reason"]
