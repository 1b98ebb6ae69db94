"""The pytest plugin: from pytest's hooks to the session, collection, outcomes and the terminal."""

from collections.abc import Generator
from typing import Any

import pytest

from mechtests.claiming.claim import claim_of
from mechtests.pytest_plugin import collection, options, outcome, registration, terminal, users_code
from mechtests.pytest_plugin.cache_summary import CacheSummary
from mechtests.pytest_plugin.fixtures import evidence, judge, registry
from mechtests.pytest_plugin.session import SESSION, ClaimSession

__all__ = ["evidence", "judge", "registry"]


def pytest_addoption(parser: pytest.Parser) -> None:
    options.add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    session = config.stash[SESSION] = ClaimSession(config, terminal.progress_line(config))
    config.pluginmanager.register(session)
    config.pluginmanager.register(CacheSummary(session))


def pytest_report_header(config: pytest.Config) -> list[str]:
    return terminal.header(config, config.stash[SESSION])


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """What the user named must be usable: the run stops before any claim is judged."""
    claims = session.config.stash[SESSION]
    claims.check_checkpoints(all_known=claims.is_distributed)
    if not claims.is_worker:
        claims.check_outputs(defaults=False)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Generator[None, Any, pytest.CollectReport]:
    report = yield
    users_code.show_in_collection(report, collector)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> Generator[None, None, None]:
    session, claim = metafunc.config.stash[SESSION], claim_of(metafunc.function)
    if claim:
        collection.check_claim_test(metafunc, claim, session)
    collection.set_on_checkpoints(metafunc, session.registry)
    session.names_parameters = claim is not None
    try:
        yield
    finally:
        session.names_parameters = False


def pytest_make_parametrize_id(config: pytest.Config, val: object) -> str | None:
    return collection.parameter_id(val) if config.stash[SESSION].names_parameters else None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    claims, names = config.stash[SESSION], config.option.claims_of
    if message := collection.unknown_system(items, names, claims.registry):
        claims.refuse(message)
    collection.put_in_order(items, claims.registry)
    if names and (others := collection.select_systems(items, names, claims.registry)):
        config.hook.pytest_deselected(items=others)
    registration.check(config, items, claims)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """By now the systems of every folder are known; before, those of the root and of the folders named."""
    claims = session.config.stash[SESSION]
    if not claims.is_worker:
        claims.check_checkpoints(all_known=True)
        claims.check_outputs(defaults=any(map(collection.claim_of_item, session.items)))
    if claims.judgement_cache:
        claims.judgement_cache.collected()


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    claim = claim_of(pyfuncitem.function)
    if claim is None:
        return None
    outcome.judge_test(pyfuncitem, claim, pyfuncitem.config.stash[SESSION])
    return True


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, Any, pytest.TestReport]:
    claim = collection.claim_of_item(item)
    if claim is None or not isinstance(item, pytest.Function):
        return (yield)
    raised = call.excinfo
    call.excinfo = raised and users_code.shown(raised, item)
    report = yield
    outcome.add_record(report, item, call, claim, item.config.stash[SESSION])
    call.excinfo = raised  # for what other plugins make of it
    return report


def pytest_report_teststatus(report: pytest.CollectReport | pytest.TestReport) -> tuple[str, str, str] | None:
    return outcome.status(report)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    claims = session.config.stash[SESSION]
    if not claims.is_worker:
        claims.finish()
        session.exitstatus = claims.exit_code or session.exitstatus


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    terminal.summarize(terminalreporter, config, config.stash[SESSION])
