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


def test_claims_and_forward_passes_load_nothing_that_takes_long_and_is_not_needed():
    script = """
import sys, torch, mechtests
mechtests.System(torch.nn.Linear(2, 1), "toy").activations(torch.zeros(1000, 2), [""])
print(*({"pytest", "mechtests.report", "plotly", "scipy.stats", "scipy.optimize", "torch._dynamo"} & set(sys.modules)))
"""
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "\n"
