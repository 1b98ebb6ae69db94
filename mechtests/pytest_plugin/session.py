"""One run of pytest: what it judges, by which settings, and what came of it."""

import subprocess
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from hypothesis.database import DirectoryBasedExampleDatabase

from mechtests.cache import Cache, CacheError, Disk
from mechtests.checkpoints import CheckpointError
from mechtests.claiming.registry import Entry
from mechtests.judging.judge import Judge
from mechtests.judging.judgement_cache import JudgementCache
from mechtests.pytest_plugin.options import WORKERS_SEED, settings_of
from mechtests.pytest_plugin.paths import Paths, why_unwritable
from mechtests.report.html import write_html
from mechtests.results.baseline import Baseline, BaselineError
from mechtests.results.document import results_document, write_results
from mechtests.results.record import ClaimRecord, ResultsDocument, RunRecord
from mechtests.results.run import run_record
from mechtests.systems.registry import SystemRegistry, device_named

if TYPE_CHECKING:
    from mechtests.results.ledger import Timeline

SESSION = pytest.StashKey["ClaimSession"]()

RUNS_SHOWN = 20
"""A report shows at most so many runs of the ledger, the latest."""


class ClaimSession:
    """What one run judges and what came of it. As a plugin, it collects what tests and workers report.

    Attributes:
        settings: the error rate, the budget and the seed.
        paths: where the run reads and writes.
        registry: the checkpoints to judge.
        baseline: the recorded verdicts.
        cache: activations, in memory and on disk.
        cache_warnings: what went wrong with the cache.
        judgement_cache: judgements of earlier runs; ``None`` where nothing is cached on disk.
        judge: judges the claims.
        names_parameters: whether the parameters of a claim test are being named.
        test_of_claim: for each claim id, the test function that states it and its node id.
        registered: for each claim id whose suite has a registry, its registration.
        records: a record for each claim judged, as the results file has them, in the order of their reports.
        document: the results file; ``None`` until the end of a run that judged claims.
        written: the files written at the end, by what they are.
        errors: what went wrong besides the claims.
        exit_code: what the run ends with because of ``errors``.
        not_in_ledger: why the run could not be added to the ledger.
    """

    def __init__(self, config: pytest.Config, progress: Callable[[str], None] | None) -> None:
        """The session of the run that ``config`` describes.

        Args:
            config: pytest's configuration.
            progress: shows a line of text while a claim is being sampled.

        Raises:
            pytest.UsageError: an option has a value that cannot be used.
        """
        self._config, self._began = config, datetime.now(UTC)
        self.settings, self.paths = settings_of(config), Paths.of(config)
        self.cache_warnings: list[str] = []
        try:
            device = device_named(config.option.device)
            self.cache = self._new_cache(device)
            self.registry = SystemRegistry(config.option.checkpoint, device, self.cache, config.option.claims_nulls)
            self.baseline = self._read_baseline()
        except (CheckpointError, BaselineError, CacheError, ValueError) as error:
            raise pytest.UsageError(str(error)) from error
        self.judgement_cache = None if self.cache.disk is None else JudgementCache(self.cache.disk.folder)
        counterexamples = DirectoryBasedExampleDatabase(config.rootpath / ".hypothesis" / "examples")
        self.judge = Judge(self.settings, progress, counterexamples, self.judgement_cache)
        self.names_parameters = False
        self.test_of_claim: dict[str, tuple[Callable[..., object], str]] = {}
        self.registered: dict[str, Entry] = {}
        self.records: list[ClaimRecord] = []
        self.document: ResultsDocument | None = None
        self.written: dict[str, Path] = {}
        self.errors: list[str] = []
        self.exit_code: pytest.ExitCode | None = None
        self.not_in_ledger: str | None = None

    @property
    def is_worker(self) -> bool:
        """Whether this process is one of pytest-xdist's workers."""
        return hasattr(self._config, "workerinput")

    @property
    def is_distributed(self) -> bool:
        """Whether the tests run in workers, so that this process or its controller collects none."""
        return self.is_worker or bool(getattr(self._config.option, "numprocesses", None))

    def check_checkpoints(self, all_known: bool) -> None:
        """Load every checkpoint that the user named.

        Args:
            all_known: whether every system is registered by now, so that another one is an error.

        Raises:
            pytest.UsageError: one cannot be used.
        """
        try:
            self.registry.check_named(all_known)
        except CheckpointError as error:
            raise pytest.UsageError(str(error)) from error

    def check_outputs(self, defaults: bool) -> None:
        """Try whether the run's files can be written.

        Args:
            defaults: whether to try the default paths, not only those on the command line.

        Raises:
            pytest.UsageError: one cannot be written.
        """
        option = self._config.option
        outputs = {"--claims-results": self.paths.results, "--claims-html": self.paths.html}
        if option.update_claims_baseline and self.paths.baseline:
            outputs["--claims-baseline"] = self.paths.baseline
        for name, path in outputs.items():
            chosen = getattr(option, name.strip("-").replace("-", "_"))
            if (defaults or chosen) and (reason := why_unwritable(path)):
                raise pytest.UsageError(
                    f"{path}: nothing can be written there ({reason}). Name another file with {name} FILE."
                )

    def refuse(self, message: str) -> None:
        """Stop the run because of what the user asked for; a worker leaves that to the controller.

        Raises:
            pytest.UsageError: with ``message``, where this is no worker.
        """
        if not self.is_worker:
            raise pytest.UsageError(message)
        self._config.workeroutput["mechtests_refusal"] = message  # type: ignore[attr-defined]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if (record := getattr(report, "claim_record", None)) is not None:
            self.records.append(record)

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        node.workerinput[WORKERS_SEED] = self.settings.seed

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        message = getattr(node, "workeroutput", {}).get("mechtests_refusal")
        if message and message not in self.errors:
            self._fail(message, pytest.ExitCode.USAGE_ERROR)

    def finish(self) -> None:
        """Write what the run came to; what cannot be written becomes one of ``errors``."""
        if not self.records:
            return
        document = self.document = results_document(self._run(), self.records)
        if not self._write("results", self.paths.results, lambda path: write_results(path, document)):
            # Judging may have taken hours.
            elsewhere = Path(tempfile.mkdtemp(prefix="mechtests-")) / self.paths.results.name
            self._write("results", elsewhere, lambda path: write_results(path, document))
        timeline = self._add_to_ledger(document)
        self._write("report", self.paths.html, lambda path: write_html(path, [document], timeline))
        if self._config.option.update_claims_baseline:
            for record in self.records:
                self.baseline.update(record)
            self._write("baseline", self.baseline.path, lambda _path: self.baseline.write())

    def _fail(self, message: str, exit_code: pytest.ExitCode) -> None:
        self.errors.append(message)
        self.exit_code = exit_code

    def _write(self, name: str, path: Path, write: Callable[[Path], None]) -> bool:
        try:
            write(path)
        except OSError as error:
            message = f"the {name} cannot be written to {path}: {error.strerror or error}."
            self._fail(message, pytest.ExitCode.INTERNAL_ERROR)
            return False
        self.written[name] = path
        return True

    def _add_to_ledger(self, document: ResultsDocument) -> "Timeline | None":
        """Add the run to the ledger, and give what the report shows of it; ``None`` where it could not be added."""
        if self._config.option.no_claims_history:
            return None
        # Loading it takes a third of a second, which collecting or workers need not wait for.
        from mechtests.results.ledger import Ledger, LedgerError  # noqa: PLC0415

        try:
            ledger = Ledger(self.paths.history)
            ledger.add(document)
            return ledger.timeline(sorted({claim["system"] for claim in document["claims"]}), RUNS_SHOWN)
        except LedgerError as error:
            self.not_in_ledger = str(error)
            return None

    def _new_cache(self, device: torch.device) -> Cache:
        if self._config.option.no_claims_cache:
            return Cache(0, tell=self.cache_warnings.append)
        disk = Disk(self.paths.cache, device=device, tell=self.cache_warnings.append)
        return Cache(host=0 if device.type == "cpu" else 4 << 30, disk=disk, tell=self.cache_warnings.append)

    def _read_baseline(self) -> Baseline:
        option, path = self._config.option, self.paths.baseline
        if path is None:
            if option.update_claims_baseline:
                raise BaselineError("--update-claims-baseline: which one? Add --claims-baseline FILE.")
            return Baseline(Path())
        if option.claims_baseline and not option.update_claims_baseline and not path.exists():
            raise BaselineError(
                f"--claims-baseline {option.claims_baseline}: no such file. "
                "Add --update-claims-baseline to write one, or leave the option out."
            )
        return Baseline.read(path)

    def _run(self) -> RunRecord:
        """The run as the results file describes it."""
        commit = _git("rev-parse", "HEAD", folder=self._config.rootpath) or None
        return run_record(self.settings, self.registry.device, self._began, commit)


def _git(*words: str, folder: Path) -> str:
    """What ``git`` prints; nothing where there is no git."""
    command: Sequence[str] = ("git", *words)
    try:
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        return ""
