"""The claim files stay small: what they need more of belongs in the engine."""

import ast
from collections.abc import Iterator
from pathlib import Path

CLAIMS = Path(__file__).parents[2] / "claims"
HELPERS = 120
LINES = 10


def functions() -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Every function under ``claims/`` with its file, methods and functions within functions too."""
    for path in sorted(CLAIMS.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield str(path.relative_to(CLAIMS)), node


def lines_of_the_body(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """From the first statement's first line to the last one's last, without the docstring."""
    statements = function.body[ast.get_docstring(function) is not None :]
    return (statements[-1].end_lineno or 0) - statements[0].lineno + 1 if statements else 0


FUNCTIONS = list(functions())
TESTS = [(file, function) for file, function in FUNCTIONS if function.name.startswith("test_")]


def test_there_are_few_helpers():
    helpers = [f"{file}: {function.name}" for file, function in FUNCTIONS if (file, function) not in TESTS]
    assert 0 < len(helpers) <= HELPERS


def test_a_tests_body_is_short():
    assert len(TESTS) > 100
    longer = {f"{file}: {function.name}": lines_of_the_body(function) for file, function in TESTS}
    assert {name: lines for name, lines in longer.items() if lines > LINES} == {}


def test_the_lines_of_a_body_are_counted_without_decorators_and_docstring():
    code = [
        "@decorated(",
        "1",
        ")",
        "def f(",
        "x",
        "):",
        "  'Of ' \\",
        "  'two lines.'",
        "  a = (",
        "x",
        ")",
        "",
        "  return a",
    ]
    (function,) = ast.parse("\n".join(code)).body
    assert lines_of_the_body(function) == 5
