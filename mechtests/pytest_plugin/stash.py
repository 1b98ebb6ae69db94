"""What the plugin keeps on pytest's configuration, by key."""

import pytest

from mechtests.systems.registry import SystemRegistry

MODELS = pytest.StashKey[SystemRegistry]()
