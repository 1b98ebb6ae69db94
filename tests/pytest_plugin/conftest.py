import pytest

from tests.suite import ON_TINY, TINY_CONFTEST, Suite


@pytest.fixture
def suite(pytester):
    return Suite(pytester)


@pytest.fixture
def tiny(suite):
    """The suite with one claim about the system ``tiny``, whose checkpoints are files."""
    return suite.claims(ON_TINY, conftest=TINY_CONFTEST)
