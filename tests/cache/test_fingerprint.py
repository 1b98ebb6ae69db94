import dataclasses
import functools
import importlib.util
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from mechtests.cache import code_fingerprint, fingerprint
from mechtests.cache.fingerprint import folder_fingerprint, value_fingerprint
from mechtests.systems import Subtraction, System

BASE = """
from torch import nn

class Base(nn.Module):
    def double(self, x):
        return 2 * x
"""
DERIVED = """
import functools, torch
from base import Base

class Derived(Base):
    @torch.no_grad()
    def forward(self, x):
        return self.double(x)

class Bare(Base):
    axes = "batch"

def measure(system):
    return 1

@functools.lru_cache
def wrapped(system):
    return measure(system)
"""


@pytest.fixture
def code(tmp_path, monkeypatch):
    """Writes modules, imports them anew and returns what they define."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def load(name, base=BASE, derived=DERIVED):
        (tmp_path / "base.py").write_text(base)
        (tmp_path / "derived.py").write_text(derived)
        for module in ("base", "derived"):
            sys.modules.pop(module, None)
        return getattr(importlib.import_module("derived"), name)

    yield load
    for module in ("base", "derived"):
        sys.modules.pop(module, None)


NAMES = ["Derived", "Bare", "measure", "wrapped"]


@pytest.mark.parametrize("name", NAMES)
def test_the_same_files_have_the_same_fingerprint_though_loaded_anew(code, name):
    first = code_fingerprint(code(name))
    assert code_fingerprint(code(name)) == first


@pytest.mark.parametrize("name", NAMES)
def test_another_line_in_the_defining_file_is_another_fingerprint(code, name):
    before = code_fingerprint(code(name))
    assert code_fingerprint(code(name, derived=DERIVED + "# a comment\n")) != before


@pytest.mark.parametrize(("name", "changes"), [("Derived", True), ("Bare", True), ("measure", False)])
def test_a_class_is_also_what_it_derives_from(code, name, changes):
    before = code_fingerprint(code(name))
    assert (code_fingerprint(code(name, base=BASE.replace("2 *", "3 *"))) != before) == changes


def test_the_order_and_repetition_of_things_do_not_matter(code):
    derived, measure = code("Derived"), code("measure")
    assert code_fingerprint(derived, measure) == code_fingerprint(measure, derived, measure)
    assert code_fingerprint(derived) != code_fingerprint(System)


def test_partials_methods_and_callable_objects_are_told_by_what_they_run(code):
    derived, measure = code("Derived"), code("measure")
    assert code_fingerprint(functools.partial(measure, 1)) == code_fingerprint(measure)
    assert code_fingerprint(derived().double) == code_fingerprint(derived)
    assert code_fingerprint(derived()) == code_fingerprint(derived)


@pytest.mark.parametrize("thing", [nn.Linear, torch.relu, np.mean, int, functools.reduce])
def test_code_of_torch_numpy_and_python_is_told_by_their_versions(thing, monkeypatch):
    plain = code_fingerprint()
    assert code_fingerprint(thing) == plain
    for package in (torch, np):
        with monkeypatch.context() as patched:
            patched.setattr(package, "__version__", "another")
            assert anew() != plain


def anew():
    """The fingerprint of mechtests by itself, not from memory."""
    return fingerprint.hashed(fingerprint._mechtests.__wrapped__())


def test_every_file_of_mechtests_counts(monkeypatch, tmp_path):
    assert anew() == code_fingerprint()
    for path in fingerprint.PACKAGE.rglob("*.py"):
        copy = tmp_path / path.relative_to(fingerprint.PACKAGE)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    monkeypatch.setattr(fingerprint, "PACKAGE", tmp_path)
    assert anew() == code_fingerprint()
    file = tmp_path / "systems" / "subtraction" / "transformer.py"
    file.write_text(file.read_text() + "\n")
    assert anew() != code_fingerprint()
    file.rename(file.with_name("renamed.py"))
    assert anew() != code_fingerprint()


def test_another_process_has_the_same_fingerprint():
    asked = (
        "from mechtests.cache import code_fingerprint\n"
        "from mechtests.systems import Subtraction\n"
        "print(code_fingerprint(Subtraction))"
    )
    told = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == code_fingerprint(Subtraction)


class TestWithoutAFile:
    def defined(self, name="<string>"):
        scope = {"__name__": "__main__"}
        exec(compile("class Mine:\n    def f(self): return 1\n\ndef f(): return 1\n", name, "exec"), scope)
        return scope["Mine"], scope["f"]

    @pytest.mark.parametrize("name", ["<stdin>", "/tmp/ipykernel_1/2.py"])
    def test_the_fingerprint_is_kept_in_this_process_and_no_other_has_it(self, monkeypatch, name):
        for thing in self.defined(name):
            here = code_fingerprint(thing)
            assert code_fingerprint(thing) == here != code_fingerprint()
            with monkeypatch.context() as elsewhere:
                elsewhere.setattr(fingerprint, "_PROCESS", "another")
                assert code_fingerprint.__wrapped__(thing) != here

    def test_code_defined_again_has_another(self):
        for first, second in zip(self.defined(), self.defined(), strict=True):
            assert code_fingerprint(first) != code_fingerprint(second)

    def test_a_file_that_is_gone_counts_as_none(self, code, tmp_path):
        measure = code("measure")
        (tmp_path / "derived.py").unlink()
        assert fingerprint._PROCESS in fingerprint._source(measure)

    def test_a_class_whose_module_was_replaced_is_not_taken_for_that_modules(self, code, tmp_path):
        bare = code("Bare")
        code("Bare", derived=DERIVED + "# another\n")
        assert fingerprint._PROCESS in fingerprint._source(bare)


class TestFolder:
    def load(self, folder, **files):
        folder.mkdir(exist_ok=True)
        for name, content in files.items():
            (folder / f"{name}.py").write_text(content)
        spec = importlib.util.spec_from_file_location("selectors_of_a_test", folder / "selectors.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module.measure

    FUNCTION = "def measure(system):\n    return 1\n"

    def test_modules_beside_the_function_count(self, tmp_path):
        first = folder_fingerprint(self.load(tmp_path / "a", selectors=self.FUNCTION, source="X = 1"))
        assert folder_fingerprint(self.load(tmp_path / "b", selectors=self.FUNCTION, source="X = 1")) == first
        assert folder_fingerprint(self.load(tmp_path / "b", source="X = 2")) != first
        assert folder_fingerprint(self.load(tmp_path / "b", source="X = 1", more="")) != first

    def test_other_files_do_not(self, tmp_path):
        first = folder_fingerprint(self.load(tmp_path / "a", selectors=self.FUNCTION))
        (tmp_path / "a" / "notes.md").write_text("notes")
        assert folder_fingerprint(self.load(tmp_path / "a")) == first


@dataclasses.dataclass
class Point:
    x: int


class Plain:
    def __str__(self):
        return "plain"


def closing_over(value):
    return lambda: value


class TestValues:
    @pytest.mark.parametrize(
        ("one", "other"),
        [
            (1, 2),
            (1, 1.0),
            (1, True),
            ("1", 1),
            (["ab"], ["a", "b"]),
            ((1, 2), [1, 2]),
            ({"a": 1}, {"a": 2}),
            ({1, 2}, {1, 3}),
            (closing_over(1), closing_over(2)),
            (closing_over(closing_over(1)), closing_over(closing_over(2))),
            (lambda: 1, lambda: 2),
            (lambda x=1: x, lambda x=2: x),
            (functools.partial(max, 1), functools.partial(max, 2)),
            (Point(1).__eq__, Point(2).__eq__),
            (Point(1), Point(2)),
            (Point, Plain),
            (Plain(), Plain()),
            (np.mean, torch.mean),
        ],
    )
    def test_that_differ_have_different_fingerprints(self, one, other):
        assert value_fingerprint(one) == value_fingerprint(one) != value_fingerprint(other)

    def test_that_are_made_again_have_the_same(self):
        def made():
            return [{"a": (1, None, 2.5)}, {3, 4}, Point(1), closing_over(["x"]), functools.partial(max, 1)]

        assert value_fingerprint(made()) == value_fingerprint(made())

    def test_may_hold_themselves(self):
        def again():
            return again

        assert value_fingerprint(again) == value_fingerprint(again)

    def test_have_the_same_in_another_process_where_all_of_them_is_known(self):
        asked = (
            "import functools\n"
            "from mechtests.cache.fingerprint import value_fingerprint\n"
            "known = [{'b', 'a'}, lambda x: x in {'a', 'b', 'c'}, functools.partial(max, 1), functools.wraps]\n"
            "print(value_fingerprint(known), value_fingerprint(object()))"
        )
        told = [
            subprocess.run(
                [sys.executable, "-c", asked], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed}
            ).stdout.split()
            for seed in "12"
        ]
        assert told[0][0] == told[1][0]
        assert told[0][1] != told[1][1]
