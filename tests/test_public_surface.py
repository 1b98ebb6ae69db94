"""What ``import mechtests`` offers."""

import inspect
import subprocess
import sys

import pytest

import mechtests


@pytest.mark.parametrize("name", mechtests.__all__)
def test_every_public_name_is_there_and_says_what_it_is(name):
    value = getattr(mechtests, name)
    doc = value.__doc__ if callable(value) else inspect.getdoc(type(value))
    assert doc
    assert not doc.startswith(f"{name}("), "dataclasses without a docstring have their signature for one"


def test_names_are_listed_in_order():
    assert mechtests.__all__ == sorted(mechtests.__all__)


def test_another_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'clam'"):
        _ = mechtests.clam


def test_stating_claims_needs_neither_pytest_nor_the_report():
    loaded = "import sys, mechtests; print(*(n for n in ('pytest', 'mechtests.report', 'plotly') if n in sys.modules))"
    assert subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True).stdout == "\n"
