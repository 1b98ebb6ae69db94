"""Dependencies between the packages of mechtests point one way, and only the plugin knows pytest."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "mechtests"

FLOORS = (
    {"files"},
    {"inference", "instruments", "families", "cache"},
    {"activations", "checkpoints"},
    {"systems"},
    {"claiming"},
    {"judging"},
    {"results"},
    {"report"},
    {"monitor", "notebook", "pytest_plugin"},
    {"cli"},
)
"""Packages from the ground up; one imports from floors below its own, never from beside it or above."""

FLOOR = {name: floor for floor, names in enumerate(FLOORS) for name in names}


def modules() -> dict[str, Path]:
    """Every module of mechtests by its dotted name."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = ("mechtests", *path.relative_to(PACKAGE).with_suffix("").parts)
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(path: Path) -> Iterator[str]:
    """What a file imports, as dotted names, wherever in it the import stands."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


MODULES = modules()
LINES = 350
"""The most lines a module has."""


def dependencies(name: str) -> set[str]:
    """The modules of mechtests that the module ``name`` imports from."""
    return {module_of(target) for target in imported(MODULES[name])} - {"", "mechtests", name}


def module_of(target: str) -> str:
    """The module in which ``target`` lies: itself, or the nearest one above; empty outside of mechtests."""
    while target and target not in MODULES:
        target = target.rpartition(".")[0]
    return target


def package_of(module: str) -> str:
    return module.split(".")[1]


def test_every_package_has_a_floor():
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert packages == set(FLOOR)
    assert {path.name for path in PACKAGE.glob("*.py")} <= {"__init__.py", "__main__.py"}


@pytest.mark.parametrize("name", sorted(set(MODULES) - {"mechtests", "mechtests.__main__"}))
def test_a_module_imports_from_its_own_package_and_from_floors_below(name):
    own = package_of(name)
    wrong = {
        target for target in dependencies(name) if package_of(target) != own and FLOOR[package_of(target)] >= FLOOR[own]
    }
    assert not wrong


def test_no_module_depends_on_itself_by_way_of_others():
    graph = {name: {one for one in dependencies(name) if not name.startswith(f"{one}.")} for name in MODULES}
    # A package's face imports its modules, and they import one another, never the face.
    TopologicalSorter(graph).prepare()


@pytest.mark.parametrize("name", sorted(MODULES))
def test_only_the_plugin_imports_pytest(name):
    tops = {target.partition(".")[0] for target in imported(MODULES[name])}
    assert not tops & {"pytest", "_pytest"} or package_of(f"{name}.") == "pytest_plugin"


@pytest.mark.parametrize("name", sorted(MODULES))
def test_a_module_is_of_a_length_that_can_be_read(name):
    assert len(MODULES[name].read_text(encoding="utf-8").splitlines()) <= LINES
