"""What the documentation shows works as shown."""

import doctest
import json
import re
import shlex
from pathlib import Path

import pytest
import torch
import yaml

from mechtests.cli import parser
from mechtests.systems import Subtraction
from mechtests.systems.subtraction.transformer import SubtractionConfig, SubtractionTransformer

DOCS = Path(__file__).parent.parent / "docs"
GUIDE = DOCS / "guides" / "adding-a-system.md"


def test_the_first_claim_of_the_docs_runs_as_written(pytester):
    shown = re.findall(r'```python title="(.+?)"\n(.+?)```', (DOCS / "first-claim.md").read_text(), re.DOTALL)
    assert [name for name, _ in shown] == ["conftest.py", "test_adding.py"]
    for name, code in shown:
        pytester.makepyfile(**{name.removesuffix(".py"): code})
    result = pytester.runpytest_inprocess()
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(
        ["*adder*adding*does the model add its inputs?*", "*supported*close-to-the-sum*untrained:*"]
    )


ON_THE_ADDER = '''
    """Adding: does the model add?"""

    import mechtests as mt
    import torch

    PAIRS = mt.Parameters(x=mt.Real(0, 1), y=mt.Real(0, 1))

    @mt.claim("adder/adding/right", "It is right.", source=mt.Source("A test"), expect=mt.Rate(at_least=0.9),
              controls=[mt.untrained])
    def test_right(adder, evidence):
        for drawn in evidence.batches(PAIRS):
            pairs = torch.stack([drawn["x"], drawn["y"]], 1).float()
            assert not torch.equal(adder.sums(pairs), adder.sums(pairs, mt.zero(adder.neurons)))
            evidence.observe((adder.sums(pairs) - pairs.sum(1)).abs() < 0.1)
'''


def test_the_adapter_template_judges_a_checkpoint_that_it_wrote(pytester):
    shown = re.findall(
        r'```python title="(.+?)"\n(.+?)```', (DOCS / "guides/adding-a-system.md").read_text(), re.DOTALL
    )
    assert [name for name, _ in shown] == ["adapter.py", "conftest.py", "train.py"]
    for name, code in shown:
        pytester.makepyfile(**{name.removesuffix(".py"): code})
    pytester.makepyfile(test_adding=ON_THE_ADDER)
    assert pytester.runpython("train.py").ret == 0
    result = pytester.runpytest_inprocess()
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*supported*right*untrained: clear*"])


def test_the_first_claim_on_the_odeformer_gets_a_verdict(pytester):
    ((name, code),) = re.findall(
        r'```python title="(.+?)"\n(.+?)```',
        (DOCS / "guides" / "your-first-claim-on-the-odeformer.md").read_text(),
        re.DOTALL,
    )
    pytester.makepyfile(**{Path(name).stem: code})
    pytester.makeconftest('pytest_plugins = ["fixtures.odeformer"]')
    (checkpoint,) = (DOCS.parent / "fixtures" / "checkpoints" / "odeformer").glob("*-seed00.safetensors")
    pytester.syspathinsert(DOCS.parent)
    pytester.runpytest_inprocess(f"--checkpoint=odeformer={checkpoint}")
    (record,) = json.loads((pytester.path / "reports/latest/results.json").read_text())["claims"]
    assert record["verdict"] in {"supported", "refuted", "inconclusive"}
    assert record["params"] == {"layer": "0"}
    assert record["units"] >= 32
    assert record["interventions"]


def test_the_interventions_of_the_docs_print_as_shown():
    (shown,) = re.findall(r"```pycon\n(.+?)```", (DOCS / "interventions.md").read_text(), re.DOTALL)
    names = {
        "subtraction": Subtraction(SubtractionTransformer(SubtractionConfig()), "subtraction"),
        "embeddings": torch.zeros(10_000, 4, 1),
    }
    test = doctest.DocTestParser().get_doctest(shown, names, "interventions.md", None, None)
    assert test.examples
    assert doctest.DocTestRunner().run(test).failed == 0


COMMANDS = re.findall(r"^\$ mechtests (.+)$", (DOCS / "ci.md").read_text(), re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_of_the_docs_are_understood(command):
    assert callable(parser().parse_args(shlex.split(command)).run)


def test_the_workflow_of_the_docs_gives_inputs_that_there_are():
    (shown,) = re.findall(r"```yaml\n(.+?)```", (DOCS / "ci.md").read_text(), re.DOTALL)
    (job,) = yaml.safe_load(shown)["jobs"].values()
    called = yaml.safe_load((DOCS.parent / ".github" / "workflows" / "verify.yml").read_text())
    assert set(job["with"]) <= set(called[True]["workflow_call"]["inputs"])
