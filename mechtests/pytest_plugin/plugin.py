"""The pytest plugin: options, fixtures, and what a verdict means for a test."""

import inspect
import os
import platform
import shlex
import subprocess
import time
import uuid
from collections.abc import Callable, Collection, Generator
from contextlib import nullcontext
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from hypothesis.database import DirectoryBasedExampleDatabase

from mechtests.cache import Cache, CacheError, Disk
from mechtests.checkpoints import CheckpointError
from mechtests.claiming.claim import Claim, claim_of
from mechtests.claiming.controls import system_argument
from mechtests.claiming.expectations import ClaimError
from mechtests.judging.judge import Judge, Settings, parameter_text
from mechtests.judging.judgement_cache import JudgementCache
from mechtests.pytest_plugin.cache_summary import CacheSummary
from mechtests.pytest_plugin.outcome import conclude
from mechtests.pytest_plugin.stash import MODELS
from mechtests.report.html import write_html
from mechtests.report.terminal import print_claims
from mechtests.results.baseline import Baseline, BaselineError, is_worse
from mechtests.results.record import checkpoint_record, claim_record, results_document, untested_record, write_results
from mechtests.systems.base import System
from mechtests.systems.registry import SystemRegistry, device_named

if TYPE_CHECKING:
    from mechtests.results.ledger import Timeline

RESULTS = "reports/latest/results.json"
CACHE = ".mechtests_cache"
HTML = "reports/latest/index.html"
HISTORY = "reports/history.db"

RUNS_SHOWN = 20
"""So many runs of the ledger are shown in a report, the last ones."""

JUDGE = pytest.StashKey[Judge]()
BASELINE = pytest.StashKey[Baseline]()
RECORD = pytest.StashKey[dict[str, Any]]()
RECORDS = pytest.StashKey["Records"]()
DOCUMENT = pytest.StashKey[dict[str, Any]]()
BEGAN = pytest.StashKey[datetime]()
NOT_ADDED = pytest.StashKey[str]()
"""Why the run could not be added to the ledger."""
TAKEN = pytest.StashKey[dict[str, tuple[Callable[..., object], str]]]()
"""Which test states each claim id."""

# ---------------------------------------------------------------------------------------------------------------------
# Options


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("mechtests", "mechanistic claims")
    group.addoption(
        "--checkpoint",
        action="append",
        default=[],
        metavar="SYSTEM=PATH",
        help="judge these weights; repeatable, globs allowed",
    )
    group.addoption(
        "--claims-of",
        action="append",
        default=[],
        metavar="SYSTEM",
        help="judge the claims of this system alone; repeatable",
    )
    group.addoption("--device", default="auto", help="where models run: auto (the default), cpu, cuda, cuda:1")
    group.addoption(
        "--claims-alpha", type=float, default=Settings.alpha, help="error rate of a claim (default %(default)s)"
    )
    group.addoption(
        "--claims-budget",
        type=int,
        default=Settings.budget,
        help="most units sampled for a claim (default %(default)s)",
    )
    group.addoption(
        "--claims-seed", type=int, default=Settings.seed, help="decides every random draw (default %(default)s)"
    )
    group.addoption("--strict-claims", action="store_true", help="an inconclusive claim fails")
    group.addoption("--claims-baseline", metavar="FILE", help="recorded verdicts to compare with")
    group.addoption("--update-claims-baseline", action="store_true", help="record this run's verdicts in the baseline")
    group.addoption(
        "--claims-results",
        metavar="FILE",
        help=f"where results go (default {RESULTS} in the root)",
    )
    group.addoption(
        "--claims-cache-dir", metavar="DIR", help=f"where activations are kept (default {CACHE} in the root)"
    )
    group.addoption("--no-claims-cache", action="store_true", help="compute every activation anew, and keep none")
    group.addoption(
        "--claims-html",
        metavar="FILE",
        help=f"where the report to read goes (default {HTML} in the root)",
    )
    group.addoption(
        "--claims-history",
        metavar="URL",
        help=f"the ledger that the run is added to: a file, or a database's URL (default {HISTORY} in the root)",
    )
    group.addoption("--no-claims-history", action="store_true", help="add the run to no ledger")
    parser.addini("claims_cache_dir", "where activations are kept, where --claims-cache-dir is not given")
    parser.addini("claims_baseline", "recorded verdicts to compare with, where --claims-baseline is not given")


def pytest_configure(config: pytest.Config) -> None:
    settings = Settings(config.option.claims_alpha, config.option.claims_budget, config.option.claims_seed)
    if not 0 < settings.alpha < 1:
        raise pytest.UsageError(
            f"--claims-alpha {settings.alpha:g}: expected an error rate between 0 and 1, such as 0.001."
        )
    if settings.budget < 1:
        raise pytest.UsageError(f"--claims-budget {settings.budget}: expected at least 1 unit.")
    # A file named on the command line is where the user stands, one in the ini file or by default is in the root.
    for option in ("claims_baseline", "claims_results", "claims_html", "claims_cache_dir"):
        if given := getattr(config.option, option):
            setattr(config.option, option, str(config.invocation_params.dir / given))
    if (history := config.option.claims_history) and "://" not in history:
        config.option.claims_history = str(config.invocation_params.dir / history)
    file = config.option.claims_baseline or config.getini("claims_baseline")
    if config.option.update_claims_baseline and not file:
        raise pytest.UsageError("--update-claims-baseline: which one? Add --claims-baseline FILE.")
    warnings: list[str] = []
    try:
        device = device_named(config.option.device)
        cache = _cache(config, device, warnings)
        models = SystemRegistry(config.option.checkpoint, device, cache)
        baseline = Baseline.read(config.rootpath / file) if file else Baseline(Path())
    except (CheckpointError, BaselineError, CacheError, ValueError) as error:
        raise pytest.UsageError(str(error)) from error
    config.stash[MODELS], config.stash[BASELINE] = models, baseline
    counterexamples = DirectoryBasedExampleDatabase(config.rootpath / ".hypothesis" / "examples")
    kept = None if cache.disk is None else JudgementCache(cache.disk.folder)
    config.stash[JUDGE] = Judge(settings, _progress_line(config), counterexamples, kept)
    config.stash[RECORDS], config.stash[BEGAN] = Records(), datetime.now(UTC)
    config.stash[TAKEN] = {}
    config.pluginmanager.register(config.stash[RECORDS])
    config.pluginmanager.register(CacheSummary(cache, kept, warnings))


def cache_folder(config: pytest.Config) -> Path:
    """Where the run keeps what it computed."""
    return config.rootpath / (config.option.claims_cache_dir or config.getini("claims_cache_dir") or CACHE)


def _cache(config: pytest.Config, device: torch.device, warnings: list[str]) -> Cache:
    if config.option.no_claims_cache:
        return Cache(0, tell=warnings.append)
    disk = Disk(cache_folder(config), device=device, tell=warnings.append)
    return Cache(host=0 if device.type == "cpu" else 4 << 30, disk=disk, tell=warnings.append)


def pytest_report_header(config: pytest.Config) -> str | None:
    """How long it may take, so that nobody waits in doubt."""
    seconds = config.stash[BASELINE].seconds
    if not seconds or config.option.collectonly:
        return None
    workers = getattr(config.option, "numprocesses", None) or 1
    minutes = max(1, round(sum(seconds.values()) / workers / 60))
    return (
        f"claims: judging all that are on record, with nothing kept, took {minutes} min"
        f"{f' for each of {workers} workers' if workers > 1 else ''}; what is kept takes none"
    )


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """A checkpoint that the user named must be usable: the run stops before any claim is judged."""
    distributed = bool(getattr(session.config.option, "numprocesses", None))
    _check_named(session.config, all_known=distributed or _is_worker(session.config))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """By now the systems of every folder are known; before, those of the root and of the folders named."""
    if not _is_worker(session.config):
        _check_named(session.config, all_known=True)
    if kept := session.config.stash[JUDGE].kept:
        kept.collected()


def _check_named(config: pytest.Config, all_known: bool) -> None:
    try:
        config.stash[MODELS].check_named(all_known)
    except CheckpointError as error:
        raise pytest.UsageError(str(error)) from error


# ---------------------------------------------------------------------------------------------------------------------
# Fixtures and collection


@pytest.fixture
def evidence(request: pytest.FixtureRequest) -> None:
    """Where a claim test records what it observes: a :class:`mechtests.judging.evidence.Evidence`."""
    if claim_of(request.function) is None:
        raise ClaimError(
            f"{request.node.name} takes evidence and states no claim. Decorate it with @mechtests.claim(…)."
        )
    # The judge gives the body its own record for the model and for every control.


@pytest.fixture(scope="session")
def judge(request: pytest.FixtureRequest) -> Judge:
    """Judges other claims: for claims about how often, and from which step on, they hold."""
    return request.config.stash[JUDGE]


@pytest.fixture(scope="session")
def models(request: pytest.FixtureRequest) -> SystemRegistry:
    """The checkpoints that this run judges, by system."""
    return request.config.stash[MODELS]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if claim := claim_of(metafunc.function):
        _check_test(metafunc, claim)
    known = metafunc.config.stash[MODELS]
    for name in metafunc.fixturenames:
        if name in known.systems:
            try:
                found = known.found(name)
            except CheckpointError as error:
                pytest.fail(str(error), pytrace=False)
            ids = [one.label for one in found]
            metafunc.parametrize(name, found, ids=ids, indirect=True, scope="session")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    # A claim runs on all checkpoints before the next does: its inputs and its untrained twins are the same on each.
    # Claims that judge others come last, when most of what they ask for is kept already, by another worker perhaps.
    systems, place = config.stash[MODELS].systems, dict[object, int]()
    items.sort(
        key=lambda item: (
            isinstance(item, pytest.Function) and "judge" in item.fixturenames,
            place.setdefault(_whatever_the_checkpoint(item, systems), len(place)),
        )
    )
    if not config.option.claims_of:
        return
    sources = config.stash[MODELS].sources
    wanted = {sources[name].system if name in sources else name for name in config.option.claims_of}
    of_others = [item for item in items if not _is_claim_of(item, wanted)]
    items[:] = [item for item in items if _is_claim_of(item, wanted)]
    if of_others:
        config.hook.pytest_deselected(items=of_others)


def _whatever_the_checkpoint(item: pytest.Item, systems: Collection[str]) -> object:
    """Tells the claim of ``item``, with its parameters, from others; not the checkpoint that it is about."""
    if not isinstance(item, pytest.Function) or claim_of(item.function) is None:
        return item.nodeid
    chosen = item.callspec.params.items() if hasattr(item, "callspec") else ()
    return item.function, frozenset((name, parameter_text(value)) for name, value in chosen if name not in systems)


def _is_claim_of(item: pytest.Item, systems: set[str]) -> bool:
    claim = claim_of(item.function) if isinstance(item, pytest.Function) else None
    return claim is not None and claim.system in systems


def _check_test(metafunc: pytest.Metafunc, claim: Claim) -> None:
    """What is wrong with a claim's test is an error of its collection, which workers tell too."""
    test = metafunc.definition
    function: Callable[..., object] = metafunc.function
    first, where = test.config.stash[TAKEN].setdefault(claim.id, (function, test.nodeid))
    if first is not function:
        pytest.fail(
            f"{test.nodeid}: the claim id {claim.id} is taken by {where}. Give each claim an id of its own.",
            pytrace=False,
        )
    arguments = [name for name in inspect.signature(function).parameters if name != "self"]
    if "evidence" not in arguments:
        pytest.fail(
            f"{test.nodeid}: a claim test records what it observes. Add the argument `evidence`.", pytrace=False
        )
    for control in claim.controls:
        if control.parameter is not None and control.parameter not in arguments:
            pytest.fail(
                f"{test.nodeid}: the control “{control.name}” replaces the argument {control.parameter!r}, "
                f"which the test does not take. It takes: {', '.join(arguments)}.",
                pytrace=False,
            )


# ---------------------------------------------------------------------------------------------------------------------
# From a claim to an outcome


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    claim = claim_of(pyfuncitem.function)
    if claim is None:
        return None
    config = pyfuncitem.config
    arguments = _arguments(pyfuncitem)
    judge, body = config.stash[JUDGE], pyfuncitem.obj
    judgement = judge.judge(claim, body, arguments, _parameters(pyfuncitem))
    judgement = judge.search(judgement, body, arguments)
    checkpoint = checkpoint_record([judgement.system] if judgement.system else config.stash[MODELS].all(claim.system))
    record = claim_record(judgement, checkpoint, _story(pyfuncitem), _rerun(pyfuncitem))
    pyfuncitem.stash[RECORD] = record
    for name in ("id", "verdict", "estimate"):
        pyfuncitem.user_properties.append((f"claim_{name}", record[name]))
    updating = config.option.update_claims_baseline
    recorded = record["verdict"] if updating else config.stash[BASELINE].recorded(record)
    conclude(record, recorded, config.option.strict_claims)
    return True


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    report: Any = yield
    if isinstance(item, pytest.Function) and (claim := claim_of(item.function)):
        if RECORD in item.stash and report.when == "call":
            report.claim_record = item.stash[RECORD]
        elif report.when != "teardown" and not report.passed:
            # The fixture could not load a checkpoint, or the claim's own code failed: no verdict, and the reason.
            skipped = isinstance(report.longrepr, tuple)
            reason = report.longrepr[2] if skipped else call.excinfo.exconly() if call.excinfo else report.longreprtext
            params = {name: parameter_text(value) for name, value in _parameters(item).items()}
            found = system_argument(item.funcargs)
            checkpoint = checkpoint_record([found[1]] if found else [])
            report.claim_record = untested_record(claim, params, checkpoint, _story(item), _rerun(item), reason)
            item.user_properties += [("claim_id", claim.id), ("claim_verdict", "untested")]
    return report


def pytest_report_teststatus(report: pytest.CollectReport | pytest.TestReport) -> tuple[str, str, str] | None:
    record = getattr(report, "claim_record", None)
    if record and report.skipped and not hasattr(report, "wasxfail"):
        if record["verdict"] == "inconclusive":
            return "inconclusive", "?", "INCONCLUSIVE"
        return "untested", "u", "UNTESTED"
    return None


def _arguments(item: pytest.Function) -> dict[str, Any]:
    taken = inspect.signature(item.obj).parameters
    return {name: item.funcargs[name] for name in taken if name in item.funcargs and name != "evidence"}


def _parameters(item: pytest.Function) -> dict[str, Any]:
    """The parameters of the test and of its fixtures, but for the system under test."""
    if not hasattr(item, "callspec"):
        return {}
    given = {name: item.funcargs.get(name, value) for name, value in item.callspec.params.items()}
    systems = item.config.stash[MODELS].systems
    return {name: value for name, value in given.items() if name not in systems and not isinstance(value, System)}


def _story(item: pytest.Function) -> str:
    return (inspect.getdoc(item.module) or item.module.__name__).splitlines()[0]


def _rerun(item: pytest.Function) -> str:
    option = item.config.option
    words = ["pytest", shlex.quote(item.nodeid)]
    words += [f"--checkpoint {shlex.quote(named)}" for named in option.checkpoint]
    for name, default in vars(Settings()).items():
        given = getattr(option, f"claims_{name}")
        words += [f"--claims-{name} {given}"] if given != default else []
    return " ".join(words)


# ---------------------------------------------------------------------------------------------------------------------
# The end of the run


class Records:
    """Collects what the tests report, from this process or from the workers."""

    def __init__(self) -> None:
        self.claims: list[dict[str, Any]] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if (record := getattr(report, "claim_record", None)) is not None:
            self.claims.append(record)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    config = session.config
    records = config.stash[RECORDS].claims
    if not records or _is_worker(config):
        return
    document = config.stash[DOCUMENT] = results_document(_run(config), records)
    write_results(_results_path(config), document)
    write_html(_html_path(config), [document], _add_to_history(config, document))
    if config.option.update_claims_baseline:
        for record in records:
            config.stash[BASELINE].note(record)
        config.stash[BASELINE].write()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if DOCUMENT not in config.stash:
        return
    records, suite = config.stash[DOCUMENT]["claims"], config.stash[DOCUMENT]["suite"]
    terminalreporter.section("claims")
    writer = terminalreporter._tw
    # A log has no width of its own; the table needs more than the 80 columns that pytest assumes for one.
    width = writer.fullwidth if writer._file.isatty() else max(writer.fullwidth, 120)
    print_claims(records, writer._file, width, writer.hasmarkup, config.get_verbosity() > 0)
    if suite["sampled"]:
        survive = f"{suite['surviving']} of {suite['sampled']} sampled claims"
        terminalreporter.write_line(f"{survive} survive at a false discovery rate of {suite['fdr']:g} (e-BH)")
    for name, path in (("results", _results_path(config)), ("report", _html_path(config))):
        terminalreporter.write_line(f"{name}: {os.path.relpath(path, config.invocation_params.dir)}")
    if NOT_ADDED in config.stash:
        results = os.path.relpath(_results_path(config), config.invocation_params.dir)
        terminalreporter.write_line(
            f"warning: the run is not in the ledger: {config.stash[NOT_ADDED]} "
            f"The results file has all of it: `mechtests history --add {shlex.quote(results)}` adds it later.",
            yellow=True,
        )
    baseline = config.stash[BASELINE]
    if config.option.update_claims_baseline:
        terminalreporter.write_line(f"recorded in {os.path.relpath(baseline.path, config.invocation_params.dir)}")
        return
    recorded = ((record, baseline.recorded(record)) for record in records if record["verdict"] != "untested")
    better = sum(old is not None and is_worse(old, record["verdict"]) for record, old in recorded)
    if better:
        terminalreporter.write_line(
            f"{better} verdicts are better than recorded: run again with --update-claims-baseline"
        )


def _add_to_history(config: pytest.Config, document: dict[str, Any]) -> "Timeline | None":
    """Add the run to the ledger, and give what the report shows of it; where that fails, say so and lose nothing."""
    if config.option.no_claims_history:
        return None
    # Loading it takes a third of a second, which collecting or workers need not wait for.
    from mechtests.results.ledger import Ledger, LedgerError  # noqa: PLC0415

    try:
        ledger = Ledger(history_place(config))
        ledger.add(document)
        return ledger.timeline(sorted({claim["system"] for claim in document["claims"]}), RUNS_SHOWN)
    except LedgerError as error:
        config.stash[NOT_ADDED] = str(error)
        return None


def history_place(config: pytest.Config) -> str:
    """The file or URL of the ledger that runs are added to."""
    return str(config.option.claims_history or config.rootpath / HISTORY)


def _results_path(config: pytest.Config) -> Path:
    return config.rootpath / (config.option.claims_results or RESULTS)


def _html_path(config: pytest.Config) -> Path:
    return config.rootpath / (config.option.claims_html or HTML)


def _run(config: pytest.Config) -> dict[str, Any]:
    began, settings = config.stash[BEGAN], config.stash[JUDGE].settings
    asked = ["git", "rev-parse", "HEAD"]
    try:
        commit = subprocess.run(asked, cwd=config.rootpath, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:  # no git here
        commit = ""
    return {
        "id": uuid.uuid4().hex,
        "started": began.isoformat(),
        "seconds": round((datetime.now(UTC) - began).total_seconds(), 2),
        "commit": commit or None,
        "device": str(config.stash[MODELS].device),
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("mechtests", "torch", "numpy", "pytest")},
        },
        "seed": settings.seed,
        "alpha": settings.alpha,
        "budget": settings.budget,
    }


def _is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


def _progress_line(config: pytest.Config) -> Callable[[str], None] | None:
    """Shows what is being sampled behind pytest's own line, a few times a second; nothing where nobody watches."""
    if _is_worker(config):
        return None
    last = 0.0

    def show(text: str) -> None:
        nonlocal last
        if text and time.monotonic() - last < 0.2:
            return
        last = time.monotonic()
        writer = config.get_terminal_writer()
        capture = config.pluginmanager.getplugin("capturemanager")
        with capture.global_and_fixture_disabled() if capture else nullcontext():
            if writer._file.isatty():
                room = max(writer.fullwidth - writer.width_of_current_line - 2, 0)
                # Save the cursor, write, clear the rest of the line, go back: pytest writes on where it was.
                writer._file.write(f"\0337 {text[:room]}\033[K\0338")
                writer._file.flush()

    return show
