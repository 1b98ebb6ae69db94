"""What the documentation shows works as shown."""

import doctest
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
