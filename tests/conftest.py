"""What every test needs loaded."""

import sys

import pytest
import torch._dynamo
import torch._inductor.test_operators
import torch.distributed._functional_collectives  # noqa: F401

# A run inside this process (pytester) has every module taken away that it was the first to load. SQLAlchemy and torch's
# compiler and collectives, which models of transformers load, cannot be loaded a second time.
import mechtests.results.ledger  # noqa: F401
from mechtests.systems import registry


@pytest.fixture(autouse=True)
def new_process(monkeypatch):
    """A run in this process knows nothing of what tests and runs before it read, nor of the systems they registered."""
    monkeypatch.setattr(registry, "_SOURCES", dict(registry._SOURCES))
    heard, run = sys.modules["mechtests.cache.environment"], pytest.Pytester.inline_run

    def run_anew(self, *arguments, **options):
        monkeypatch.setattr(heard, "_events", [event for event in heard._events if event.kind == "code"])
        return run(self, *arguments, **options)

    monkeypatch.setattr(pytest.Pytester, "inline_run", run_anew)
