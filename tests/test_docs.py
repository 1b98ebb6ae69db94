"""What the documentation shows works as shown."""

import re
from pathlib import Path

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
