"""What the documentation shows works as shown."""

import doctest
import re
from pathlib import Path

import torch

from mechtests.systems import Subtraction
from mechtests.systems.subtraction_transformer import SubtractionConfig, SubtractionTransformer

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
